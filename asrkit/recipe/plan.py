"""What a training will take, as `asrkit plan` predicts it, held against what it took."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from time import perf_counter
from typing import Any

import torch

from asrkit.nn.model import AcousticModel
from asrkit.recipe.record import load_record, save_record
from asrkit.settings import Settings
from asrkit.train.checkpoint import Position
from asrkit.train.dev_result import DevResult, Evaluate
from asrkit.train.distributed import World

_ENDS_ONLY = {"max_epochs", "early_stopping_epochs", "initial_weights"}
"""Settings of `[train]` that decide when it ends and what it starts from, not what a step takes."""


@dataclass(frozen=True)
class Cost:
    """What a training takes, apart from the number of its epochs."""

    epoch_s: float
    """Seconds an epoch, the evaluation and checkpoints included."""
    memory_bytes: int
    """Most that the process holds."""
    gpu_memory_bytes: int
    """Most that torch reserves on the GPU; 0 without one."""
    disk_bytes: int
    """Size of the run folder after training, without the packed model and the decoded sets."""


@dataclass
class Plan:
    """A prediction of what training takes, and what it took once that is known.

    Attributes
    ----------
    device
        In words.
    num_utterances, audio_s, num_steps
        Of an epoch.
    max_epochs
        Of the training, if nothing stops it early.
    cost
        What is predicted.
    epoch_range_s
        Least and most seconds an epoch by the rounds that were measured.
    made_for
        The settings that matter to it.
    seen
        What the training took, empty before.
    """

    device: str
    num_utterances: int
    audio_s: float
    num_steps: int
    max_epochs: int
    cost: Cost
    epoch_range_s: tuple[float, float]
    made_for: dict[str, Any]
    seen: dict[str, float] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_record(path, self)

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            If the file is damaged.
        """
        return load_record(path, cls, "delete it, or plan anew")

    def text(self) -> str:
        """Say what is predicted, as a table."""
        low_s, high_s = self.epoch_range_s
        cost, epochs = self.cost, self.max_epochs
        rows = [
            ("device", self.device),
            (
                "an epoch",
                f"{self.num_utterances} utterances, {_duration(self.audio_s)} of audio, "
                f"{self.num_steps} steps",
            ),
            (
                "takes",
                f"{_duration(cost.epoch_s)} (between {_duration(low_s)} and {_duration(high_s)}), "
                f"{self.audio_s / cost.epoch_s:.0f} x real time",
            ),
            (f"{epochs} epochs", _duration(epochs * cost.epoch_s)),
            ("memory", _size(cost.memory_bytes)),
        ]
        if cost.gpu_memory_bytes:
            rows.append(("GPU memory", _size(cost.gpu_memory_bytes)))
        rows.append(("disk", f"{_size(cost.disk_bytes)}, the run folder after training"))
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {what}" for name, what in rows)

    def compare(
        self, settings: Settings, world: World, clock: EpochClock, run_folder: Path
    ) -> Sequence[str]:
        """Note what a training took, and say in lines how far off the plan was."""
        if self.made_for != relevant(settings):
            return ["plan: was made for other settings, so it is not compared with what was seen"]
        if self.device != describe(world.device) or world.size > 1:
            return [
                f"plan: was made for one process on {self.device}, so it is not compared with "
                f"{world.size} on {describe(world.device)}"
            ]
        if not clock.epochs_s:
            return []
        files = [path for path in run_folder.rglob("*") if path.is_file()]
        seen = Cost(
            epoch_s=median_low(clock.epochs_s),  # of two, not the first, which reads the audio
            memory_bytes=peak_memory_bytes(),
            gpu_memory_bytes=peak_gpu_memory_bytes(world.device),
            disk_bytes=sum(path.stat().st_size for path in files),
        )
        self.seen = asdict(seen)
        parts = [_compared("an epoch", _duration, self.cost.epoch_s, seen.epoch_s)]
        parts.append(_compared("memory", _size, self.cost.memory_bytes, seen.memory_bytes))
        if seen.gpu_memory_bytes:
            gpu = (self.cost.gpu_memory_bytes, seen.gpu_memory_bytes)
            parts.append(_compared("GPU memory", _size, *gpu))
        parts.append(_compared("disk", _size, self.cost.disk_bytes, seen.disk_bytes))
        return parts


class EpochClock:
    """An evaluation that also tells how long epochs take: from the end of one to that of the next.

    Parameters
    ----------
    evaluate
        What is done at the end of each epoch.
    """

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate
        self._ends_s = [perf_counter()]
        self._position = Position()
        self._begun = (0, False)

    def __call__(self, model: AcousticModel) -> DevResult:
        """Evaluate."""
        result = self._evaluate(model)
        self._ends_s.append(perf_counter())
        return result

    def start(self, position: Position) -> None:
        """Begin to count, at a position that training will advance."""
        self._ends_s = [perf_counter()]
        self._position = position
        self._begun = (position.epoch, position.batch > 0)

    @property
    def epochs_s(self) -> list[float]:
        """Seconds of each epoch that was done from its beginning to its end."""
        first_epoch, amid = self._begun
        # The mean of several epochs is evaluated too, after the last one.
        ends_s = self._ends_s[: self._position.epoch - first_epoch + 1]
        return [end - begin for begin, end in pairwise(ends_s)][amid:]


def relevant(settings: Settings) -> dict[str, Any]:
    """Give the settings that decide what an epoch takes, ready for JSON."""
    content = settings.model_dump(
        mode="json", include={"data", "features", "augment", "model", "train"}
    )
    for name in _ENDS_ONLY:
        del content["train"][name]
    return content


def describe(device: torch.device) -> str:
    """Name a device: the GPU, or the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} of {os.cpu_count()} threads"


def peak_memory_bytes() -> int:
    """Give the most memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def peak_gpu_memory_bytes(device: torch.device) -> int:
    """Give the most memory that torch has reserved on a GPU so far; 0 on a CPU."""
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else 0


def _compared(name: str, form: Callable[[float], str], predicted: float, seen: float) -> str:
    return f"plan: {name}: {form(seen)}, predicted {form(predicted)} ({predicted / seen - 1:+.0%})"


def _duration(seconds: float) -> str:
    for unit, length_s in (("h", 3600), ("min", 60)):
        if seconds >= length_s:
            return f"{seconds / length_s:.3g} {unit}"
    return f"{seconds:.3g} s"


def _size(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.3g} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.3g} MB"
