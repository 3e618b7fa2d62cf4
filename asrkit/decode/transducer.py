"""Best path of a transducer, and the best path of a given labelling.

A transducer goes through a lattice. In frame t, having emitted u labels, it either emits one more
and stays in its frame, or it emits a blank and goes to the next frame; what it emits depends on the
frame and on all labels before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asrkit.data.tokens import TokenTable
from asrkit.decode.hypothesis import Hypothesis, TimedToken
from asrkit.errors import DataError

BLANK = TokenTable.blank_id
MAX_LABELS_PER_FRAME = 10
"""Searches leave a frame after so many labels, or a model that never says blank would hold them."""

_MAX_JOINED = 1 << 14
"""Points of the lattice that are computed at once, which bounds the memory."""

State = tuple[Tensor, ...]
"""Of the prediction network, each tensor with one row a hypothesis."""


class Transducer(Protocol):
    """What a search asks of a network. J is the width of the joint layer, K hypotheses."""

    def begin(self) -> tuple[Tensor, State]:
        """Give what the joint layer hears before any label, shape (1, J), and the state."""
        ...

    def extend(self, state: State, labels: Tensor) -> tuple[Tensor, State]:
        """Give the same after one more label each; `labels` is (K,) int64, the answer (K, J)."""
        ...

    def join(self, frames: Tensor, heard: Tensor) -> Tensor:
        """Log-probabilities (..., V) from frames and from labels, (..., J) each."""
        ...


def greedy_transducer_search(
    frames: Tensor, transducer: Transducer, tokens: TokenTable, frame_s: float
) -> Hypothesis:
    """Take the likeliest token again and again, to the last frame.

    Parameters
    ----------
    frames : Tensor, shape (T, J)
        What the joint layer hears from each valid frame of one utterance. T = 0 gives an empty
        hypothesis.
    transducer : Transducer
    tokens : TokenTable
    frame_s : float
        Seconds from one frame to the next.

    Returns
    -------
    Hypothesis
        `log_prob` is that of the path. Of equally likely tokens the lowest id is taken. A frame
        that has emitted `MAX_LABELS_PER_FRAME` is left.
    """
    heard, state = transducer.begin()
    labels: list[int] = []
    emitted_in: list[int] = []
    probabilities: list[float] = []
    log_prob, frame, in_this_frame = 0.0, 0, 0
    while frame < len(frames):
        # Until the next label the prediction stays, so that many frames can be looked at together.
        ahead = join(transducer, frames[frame : frame + 32], heard)
        best = ahead.argmax(axis=1)
        if in_this_frame == MAX_LABELS_PER_FRAME:
            best[0] = BLANK
        num_blanks = int(np.argmax(best != BLANK)) if (best != BLANK).any() else len(best)
        log_prob += float(ahead[:num_blanks, BLANK].sum())
        frame += num_blanks
        if num_blanks > 0:
            in_this_frame = 0
        if num_blanks < len(best):
            label = int(best[num_blanks])
            labels.append(label)
            emitted_in.append(frame)
            probabilities.append(float(np.exp(ahead[num_blanks, label])))
            log_prob += float(ahead[num_blanks, label])
            in_this_frame += 1
            heard, state = transducer.extend(state, torch.tensor([label], device=frames.device))
    return _timed(labels, emitted_in, probabilities, tokens, frame_s, log_prob)


def join(transducer: Transducer, frames: Tensor, heard: Tensor) -> NDArray[np.float64]:
    """Compute log-probabilities (..., V) in float64, from (..., J) of frames and of labels.

    Raises
    ------
    DataError
        If one is NaN.
    """
    tensor = transducer.join(frames, heard).detach()
    log_probs: NDArray[np.float64] = tensor.to("cpu", torch.float64).numpy()
    if np.isnan(log_probs).any():
        raise DataError(
            "decode: the model's output is not finite; expected log-probabilities; the audio or "
            "the model's weights are damaged"
        )
    return log_probs


def align_labels(
    labels: Sequence[int],
    log_prob: float,
    frames: Tensor,
    transducer: Transducer,
    tokens: TokenTable,
    frame_s: float,
) -> Hypothesis:
    """Give a labelling the times and probabilities of its best path; `log_prob` is kept as it is.

    Parameters
    ----------
    labels : sequence of int
        Of U tokens.
    log_prob : float
    frames : Tensor, shape (T, J)
        As for `greedy_transducer_search`; T >= 1 if there are labels.
    """
    if not labels:
        return _timed([], [], [], tokens, frame_s, log_prob)
    blanks, emissions = _lattice(labels, frames, transducer)
    num_labels = len(labels)
    before = np.concatenate([[0.0], np.full(num_labels, -np.inf)])  # log-prob of u labels so far
    entered = np.empty((len(frames), num_labels + 1), dtype=np.int64)
    for t, (blank, emission) in enumerate(zip(blanks, emissions, strict=True)):
        # Best of all ways to have v labels on entering the frame and to emit those from v to u in
        # it: the score of the latter is a difference of these running sums.
        within = np.concatenate([[0.0], np.cumsum(emission)])
        relative = before - within
        best = np.maximum.accumulate(relative)
        starts = np.where(relative == best, np.arange(num_labels + 1), 0)
        entered[t] = np.maximum.accumulate(starts)
        before = best + within + blank
    emitted_in = np.empty(num_labels, dtype=np.int64)
    end = num_labels
    for t in reversed(range(len(frames))):
        start = int(entered[t, end])
        emitted_in[start:end] = t
        end = start
    probabilities = np.exp(emissions[emitted_in, np.arange(num_labels)])
    return _timed(labels, emitted_in.tolist(), probabilities.tolist(), tokens, frame_s, log_prob)


def _lattice(
    labels: Sequence[int], frames: Tensor, transducer: Transducer
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-probabilities of blank, (T, U + 1), and of each next label, (T, U)."""
    ids = torch.tensor(labels, device=frames.device)
    heard, state = transducer.begin()
    rows = [heard]
    for label in ids:
        heard, state = transducer.extend(state, label[None])
        rows.append(heard)
    said = torch.cat(rows)
    blanks, emissions = [], []
    for some in torch.split(frames, max(1, _MAX_JOINED // len(said))):
        log_probs = join(transducer, some[:, None], said)
        blanks.append(log_probs[..., BLANK])
        emissions.append(log_probs[:, np.arange(len(labels)), labels])
    return np.concatenate(blanks), np.concatenate(emissions)


def _timed(
    labels: Sequence[int],
    emitted_in: Sequence[int],
    probabilities: Sequence[float],
    tokens: TokenTable,
    frame_s: float,
    log_prob: float,
) -> Hypothesis:
    """Make a hypothesis of labels, each with the frame it was emitted in."""
    return Hypothesis(
        text=tokens.decode(labels),
        unit=tokens.unit,
        tokens=tuple(
            TimedToken(tokens.symbols[label], t * frame_s, (t + 1) * frame_s, probability)
            for label, t, probability in zip(labels, emitted_in, probabilities, strict=True)
        ),
        log_prob=log_prob,
    )
