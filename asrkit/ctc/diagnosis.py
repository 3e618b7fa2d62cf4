"""Tell the silence that is normal early in CTC training from collapse, and both from divergence.

A CTC model first learns that blank is a safe guess (Zeyer, Schlüter, Ney, "Why does CTC result in
peaky behavior?", arXiv:2105.14849): after its first, random outputs it falls silent, its loss
creeps down, and only then does it begin to emit, often one frequent token before all others. A
collapse looks the same in one snapshot; the history tells them apart. A divergence is a training
loss that rises for good: that of the dev set rises where a model learns its training set by heart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

import torch
from torch import Tensor

from asrkit.data.tokens import TokenTable

SILENT_RATE = 0.1
"""Below this emission rate a model counts as silent: fewer than one token for ten labels."""
LOST_LOSS_RATIO = 0.75
"""Silence is a collapse if the model once emitted at a loss below this share of today's. The first,
random emissions do not count: their loss is above that of the silence that follows them."""
STALL_STEPS = 5000
"""Silence is a collapse if the loss made no progress in this many optimiser steps."""
STALL_LOSS_RATIO = 0.99
"""Progress means a loss below this share of the lowest loss before."""

MONOTONE_SHARE = 0.95
"""A model whose tokens are the same one to this share says as little as one that is silent."""
DIVERGED_LOSS_RATIO = 1.5
"""Training diverges if its loss is above this multiple of its lowest before, and..."""
DIVERGED_LOSS_SHARE = 0.25
"""...has lost this share of what it had gained; near its end a loss is small and may flicker."""

State = Literal["learning", "plateau", "collapse", "divergence"]

REMEDIES: dict[State, str] = {
    "learning": "",
    "plateau": (
        f"wait as long as the loss falls by 1 % in {STALL_STEPS} steps; beyond that, change "
        "train.learning_rate, lower model.subsampling, or look at the data with asrkit doctor"
    ),
    "collapse": (
        "it will hardly recover; start again with a lower train.learning_rate, train.clip_norm or "
        "more train.warmup_steps"
    ),
    "divergence": (
        "start again with a lower train.learning_rate or train.clip_norm; listen to the utterances "
        "with the largest loss and read their transcripts"
    ),
}
"""What to do in each state."""


@dataclass(frozen=True, slots=True)
class Emission:
    """How much a model emits on some utterances."""

    blank_share: float
    """Mean posterior of blank over the valid frames, 0 to 1; 1 if there are none."""
    emission_rate: float
    """Tokens of the best paths for each reference label; near 1 in a trained model."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One point in the course of training.

    `loss` must be comparable over time: of a fixed dev set, or averaged over many batches.
    """

    step: int
    loss: float
    emission_rate: float
    top_share: float = 0.0
    """Share of the most frequent token among those emitted, 0 to 1."""
    train_loss: float = math.nan
    """Of the training set, averaged over an epoch; NaN where it is not known."""

    @property
    def speaks(self) -> bool:
        """Whether it emits more than blanks and one token."""
        return self.emission_rate >= SILENT_RATE and self.top_share < MONOTONE_SHARE

    @property
    def emits(self) -> str:
        """What it emits if it does not speak, in words."""
        return "only blanks" if self.emission_rate < SILENT_RATE else "hardly more than one token"


def measure_emission(log_probs: Tensor, out_lens: Tensor, label_lens: Tensor) -> Emission:
    """Measure a batch.

    Parameters
    ----------
    log_probs : Tensor, shape (N, T, V)
    out_lens : Tensor, shape (N,), int64
        Valid frames of each utterance; the others are ignored.
    label_lens : Tensor, shape (N,), int64
        Reference labels of each utterance. If there are none at all, tokens count as for one.
    """
    blank = TokenTable.blank_id
    log_probs = log_probs.detach()
    num_frames = log_probs.shape[1]
    valid = (
        torch.arange(num_frames, device=log_probs.device) < out_lens.to(log_probs.device)[:, None]
    )
    best = log_probs.argmax(dim=-1)
    begins = torch.ones_like(valid)
    begins[:, 1:] = best[:, 1:] != best[:, :-1]
    num_emitted = int((valid & begins & (best != blank)).sum())
    posteriors = log_probs[..., blank].exp()[valid]
    return Emission(
        blank_share=float(posteriors.mean()) if posteriors.numel() else 1.0,
        emission_rate=num_emitted / max(1, int(label_lens.sum())),
    )


def diagnose(history: Sequence[Observation]) -> State:
    """Tell how training fares from its observations, oldest first.

    Returns
    -------
    "learning"
        The model emits tokens, right or wrong; judge it by its loss.
    "plateau"
        It is silent, or says one token only, has lost nothing that it had learnt, and its loss
        still falls or few steps were taken. Also the answer to an empty history.
    "collapse"
        It is silent although it once spoke at a clearly lower loss, or it has been silent for
        `STALL_STEPS` without progress.
    "divergence"
        It speaks, but its training loss has risen by `DIVERGED_LOSS_RATIO`.
    """
    if not history:
        return "plateau"
    now = history[-1]
    if now.speaks:
        return "divergence" if _diverges(history) else "learning"
    spoken = [past.loss for past in history if past.speaks]
    if spoken and min(spoken) < LOST_LOSS_RATIO * now.loss:
        return "collapse"
    silence = _silence(history)
    before = [past.loss for past in silence if past.step <= now.step - STALL_STEPS]
    since = [past.loss for past in silence if past.step > now.step - STALL_STEPS]
    if before and min(since) > STALL_LOSS_RATIO * min(before):
        return "collapse"
    return "plateau"


def describe(history: Sequence[Observation]) -> str:
    """Say how training fares and what that means, in a sentence; nothing while it learns."""
    state = diagnose(history)
    if state == "learning" or not history:
        return ""
    now = history[-1]
    if state == "divergence":
        before = [past.train_loss for past in history[:-1]]
        return (
            f"divergence: the training loss rose to {now.train_loss:.4g} from {min(before):.4g} at "
            f"step {history[before.index(min(before))].step}"
        )
    count = len(_silence(history))
    begun = history[-count - 1].step if count < len(history) else 0
    what = f"{state}: the model emits {now.emits}, for {now.step - begun} steps"
    if state == "plateau":
        return f"{what}, which is normal early in training"
    spoken = [past for past in history if past.speaks]
    if spoken and (best := min(spoken, key=lambda past: past.loss)).loss < now.loss:
        return (
            f"{what}, though it spoke at step {best.step}; the dev loss was {best.loss:.4g} then "
            f"and is {now.loss:.4g} now"
        )
    return f"{what}, and its loss made no progress in {STALL_STEPS} of them"


def _silence(history: Sequence[Observation]) -> list[Observation]:
    """Give the observations since it last spoke, newest first."""
    return list(takewhile(lambda past: not past.speaks, reversed(history)))


def _diverges(history: Sequence[Observation]) -> bool:
    now = history[-1].train_loss
    before = [past.train_loss for past in history[:-1]]
    if not before:
        return False
    gained = max(before) - min(before)
    return now > DIVERGED_LOSS_RATIO * min(before) and (
        now - min(before) > DIVERGED_LOSS_SHARE * gained
    )
