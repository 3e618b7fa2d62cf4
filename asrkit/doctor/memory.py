"""Whether the machine has the memory that training needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from asrkit.data.corpus import Corpus
from asrkit.data.pronunciation import Pronunciations
from asrkit.doctor.finding import Case, Finding, utterances
from asrkit.recipe.trial import WorstBatch, try_worst_batch
from asrkit.settings import Settings

_LITTLE_LEFT_SHARE = 0.8
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def machine_memory_bytes(device: torch.device) -> int:
    """Give the memory of a GPU; or of the machine, or what a container may have of it."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = _CGROUP_LIMIT.read_text("ascii").strip()
    except OSError:
        return installed
    return min(installed, int(limit)) if limit.isdigit() else installed


def try_memory(
    corpus: Corpus,
    pronunciations: Pronunciations | None,
    settings: Settings,
    device: torch.device,
) -> tuple[WorstBatch, int]:
    """Try the worst batch; give what it takes, and the bytes that there are."""
    available = machine_memory_bytes(device)
    return try_worst_batch(corpus, pronunciations, settings, device, available), available


def describe_memory(worst: WorstBatch, available: int, device: torch.device) -> str:
    """Say what training takes, and what there is."""
    needed = _needed(worst, device)
    return (
        f"{_gigabytes(needed)} of {_gigabytes(available)}; largest batch: "
        f"{utterances(len(worst.utterances))}, {worst.padded_s:.0f} s with padding"
    )


def examine_memory(worst: WorstBatch, available: int, device: torch.device) -> Iterator[Finding]:
    """Compare what the worst batch takes with what there is."""
    needed = _needed(worst, device)
    if needed <= _LITTLE_LEFT_SHARE * available:
        return
    is_too_much = needed > available
    yield Finding(
        "error" if is_too_much else "warning",
        "memory",
        f"the batch with the most audio, {worst.padded_s:.0f} s with padding, "
        f"{'needs' if worst.is_measured else 'would need'} "
        f"{'' if worst.is_measured else 'about '}{_gigabytes(needed)} of {_gigabytes(available)}"
        f"{': training would be killed there' if is_too_much else ''}",
        f"at most {100 * _LITTLE_LEFT_SHARE:.0f} % of the memory",
        "lower data.max_batch_s, and raise train.accumulate_batches by as much; cut long "
        "utterances",
        [
            Case.of("train", utterance, f"{utterance.duration_s:.4g} s")
            for utterance in sorted(worst.utterances, key=lambda each: -each.duration_s)
        ],
    )


def _needed(worst: WorstBatch, device: torch.device) -> int:
    return worst.gpu_memory_bytes if device.type == "cuda" else worst.memory_bytes


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.3g} GB"
