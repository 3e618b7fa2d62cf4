"""The forward-backward algorithm of `asrkit.ctc.crf` on a CPU, as compiled loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkit.compiled import compiled

Array = NDArray[Any]


def forward_backward(probs: Array, follows: Array, ends: Array) -> tuple[float, Array]:
    """Sum over all label sequences of an utterance.

    Parameters
    ----------
    probs : array, shape (T, V)
        Probabilities of the labels and of the blank, which is 0.
    follows : array, shape (V, V, V)
        p(c | a, b) at (b, a, c), and 0 where c is the blank.
    ends : array, shape (V, V)
        p(end | a, b) at (b, a).

    Returns
    -------
    log_total : float
        Nats.
    occupied : array, shape (T, V)
        Probability that a frame is one of a label or of the blank.
    """
    num_frames, size = probs.shape
    held = np.zeros((num_frames + 1, size, size), probs.dtype)
    rested = np.zeros_like(held)
    occupied = np.zeros_like(probs)
    log_total = _go_forth(probs, follows, ends, held, rested)
    _go_back(probs, follows, ends, held, rested, occupied)
    return log_total, occupied


@compiled(fast=True)
def _go_forth(probs: Array, follows: Array, ends: Array, held: Array, rested: Array) -> float:
    """Fill the probabilities of the states (b, a) after each frame, of each frame's sum 1."""
    num_frames, size = probs.shape
    rested[0, 0, 0] = 1
    log_total = 0.0
    grown = np.empty(size, probs.dtype)
    for t in range(num_frames):
        total = probs.dtype.type(0)
        for b in range(size):
            grown[:] = 0
            again = probs.dtype.type(0)
            for a in range(size):
                state = held[t, b, a] + rested[t, b, a]
                again += rested[t, b, a] * follows[b, a, b]
                rested[t + 1, b, a] = state * probs[t, 0]
                total += rested[t + 1, b, a]
                for c in range(size):
                    grown[c] += state * follows[b, a, c]
            grown[b] = again
            for c in range(size):
                held[t + 1, c, b] = (grown[c] + held[t, c, b]) * probs[t, c]
                total += held[t + 1, c, b]
        held[t + 1] /= total
        rested[t + 1] /= total
        log_total += math.log(total)
    return log_total + math.log(((held[num_frames] + rested[num_frames]) * ends).sum())


@compiled(fast=True)
def _go_back(
    probs: Array, follows: Array, ends: Array, held: Array, rested: Array, occupied: Array
) -> None:
    """Fill the shares of labels and blank in each frame, from those of the states after it."""
    num_frames, size = probs.shape
    from_held, from_rested = ends.copy(), ends.copy()
    reached = np.empty(size, probs.dtype)
    for t in range(num_frames - 1, -1, -1):
        total = probs.dtype.type(0)
        for b in range(size):
            for a in range(size):
                occupied[t, b] += held[t + 1, b, a] * from_held[b, a]
                occupied[t, 0] += rested[t + 1, b, a] * from_rested[b, a]
                from_held[b, a] *= probs[t, b]
        occupied[t] /= occupied[t].sum()
        for b in range(size):
            for c in range(size):
                reached[c] = from_held[c, b]
            again = reached[b]
            reached[b] = 0
            for a in range(size):
                onward = from_rested[b, a] * probs[t, 0]
                for c in range(size):
                    onward += reached[c] * follows[b, a, c]
                from_rested[b, a] = onward + again * follows[b, a, b]
                # from_held is still needed as it was by what follows other labels.
                rested[t + 1, b, a] = onward
        for b in range(size):
            for a in range(size):
                from_held[b, a] += rested[t + 1, b, a]
                total += from_held[b, a] + from_rested[b, a]
        from_held /= total
        from_rested /= total
