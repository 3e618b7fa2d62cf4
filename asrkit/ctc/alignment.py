"""Forced alignment: the likeliest way in which CTC emits given labels, exactly, in linear memory.

The Viterbi algorithm runs over T frames times L labels, 6 billion cells for an hour of speech. Two
things make that small, and neither changes the result.

Time. A path's loss is how much less likely it is than the likeliest token of every frame; it never
falls. If some path loses at most `limit` in all, the best path and its beginnings never lose more.
So cells beyond `limit` are dropped, and only if nothing is left, it is doubled.

Memory. Losses are kept every `_BLOCK_FRAMES` frames only. From a frame where the best path is known
it is traced back one block at a time, through the few labels that it can have passed in a block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrkit.compiled import compiled
from asrkit.ctc.feasibility import frames_needed
from asrkit.errors import DataError, FeasibilityError

_BLANK = 0
_BLOCK_FRAMES = 1024
_UNLIMITED_CELLS = 30_000_000
"""So many take a fraction of a second: no limit is needed."""
_FIRST_LIMIT_PER_FRAME = 0.05
"""Nats. What a good model's labels lose on their own audio, or less."""
_LAST_LIMIT_PER_FRAME = 5.0
"""Nats. What loses more belongs to other audio, and narrows nothing."""

Frames = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Alignment:
    """Where each of L labels is emitted.

    Attributes
    ----------
    starts, ends : array, shape (L,), int64
        First frame of each label's run, and the frame after its last. Runs do not overlap.
    probabilities : array, shape (L,), float64
        Mean posterior of each label over the frames of its run, 0 to 1.
    log_prob : float
        Of the path, in nats.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    log_prob: float


@dataclass(frozen=True, slots=True)
class _Band:
    """Labels `low` to `high` between two frames, with the loss of the best path into each.

    Labels count from 1; 0 is the time before the first. `in_label` and `in_blank` have an element
    for each label of the band: the path has the label last, or the blank after it.
    """

    low: int
    high: int
    in_label: NDArray[np.float64]
    in_blank: NDArray[np.float64]


def align(log_probs: Frames, labels: Sequence[int]) -> Alignment:
    """Find the likeliest path of labels and blanks through all frames.

    Parameters
    ----------
    log_probs : array, shape (T, V), float32 or float64
        Log-probabilities; the blank is 0. Computed in float64.
    labels : sequence of L int
        1 to V - 1 each. None of them gives the path of blanks.

    Raises
    ------
    FeasibilityError
        If T frames are too few for the labels.
    DataError
        If a frame holds NaN or no possible token, or every path is impossible.

    Notes
    -----
    Memory grows as T + L * T / 1024. Time grows as T times the width of the band that is needed,
    at most as T * L, where audio and labels do not belong together.
    """
    num_frames, num_labels = len(log_probs), len(labels)
    if num_frames < frames_needed(labels):
        raise FeasibilityError(
            f"{num_labels} tokens with {frames_needed(labels) - num_labels} repeats need "
            f"{frames_needed(labels)} frames but the model yields {num_frames}; the text is too "
            "long for its audio: check that they belong together"
        )
    best = log_probs.max(axis=1).astype(np.float64) if num_frames else np.zeros(0)
    if not np.isfinite(best).all():
        raise DataError(
            f"frame {int(np.flatnonzero(~np.isfinite(best))[0])} of the model's output is not "
            "finite; expected log-probabilities; the audio or the model's weights are damaged"
        )
    ids = np.concatenate([[_BLANK], np.asarray(labels, dtype=np.int64)]).astype(np.uint32)
    limit = _FIRST_LIMIT_PER_FRAME * num_frames
    if num_frames * num_labels <= _UNLIMITED_CELLS:
        limit = math.inf
    while (bands := _forward(log_probs, best, ids, limit)) is None:
        limit = 2.0 * limit if limit < _LAST_LIMIT_PER_FRAME * num_frames else math.inf
    path, loss = _trace_back(log_probs, best, ids, bands)
    if not math.isfinite(loss):
        raise DataError(
            "the model gives every path of the labels a probability of 0; the text holds a token "
            "that its output rules out"
        )
    return _runs(log_probs, labels, path, float(best.sum()) - loss)


def _forward(
    log_probs: Frames, best: NDArray[np.float64], ids: NDArray[np.uint32], limit: float
) -> list[_Band] | None:
    """Compute the bands before each block of frames and after the last; None if all is dropped."""
    num_frames, num_labels = len(log_probs), len(ids) - 1
    in_label, in_blank, next_label, next_blank = np.full((4, num_labels + 1), np.inf)
    in_blank[0] = 0.0
    skip_loss = np.zeros(num_labels + 1)
    skip_loss[1:][ids[1:] == ids[:-1]] = np.inf
    low = high = 0
    bands = [_Band(0, 0, in_label[:1].copy(), in_blank[:1].copy())]
    for start in range(0, num_frames, _BLOCK_FRAMES):
        block = slice(start, start + _BLOCK_FRAMES)
        buffers = (in_label, in_blank, next_label, next_blank)
        frames_left = num_frames - start
        low, high = _advance(
            log_probs[block], best[block], ids, skip_loss, *buffers, low, high, frames_left, limit
        )
        if low > high:
            return None
        if len(log_probs[block]) % 2:  # each frame swaps the buffers
            in_label, in_blank, next_label, next_blank = next_label, next_blank, in_label, in_blank
        held = slice(low, high + 1)
        bands.append(_Band(low, high, in_label[held].copy(), in_blank[held].copy()))
    return bands if high == num_labels else None


def _trace_back(
    log_probs: Frames, best: NDArray[np.float64], ids: NDArray[np.uint32], bands: Sequence[_Band]
) -> tuple[NDArray[np.int32], float]:
    """Find the best path: in each frame the label, from 1, or 0 for blank, (T,); and its loss."""
    path = np.zeros(len(log_probs), dtype=np.int32)
    last = bands[-1]
    label = len(ids) - 1
    is_blank = bool(last.in_blank[-1] <= last.in_label[-1])
    loss = float(min(last.in_blank[-1], last.in_label[-1]))
    for number in reversed(range(len(bands) - 1)):
        band = bands[number]
        block = slice(number * _BLOCK_FRAMES, (number + 1) * _BLOCK_FRAMES)
        num_frames = len(path[block])
        low = max(0, label - num_frames)
        in_label, in_blank = np.full((2, label - low + 1), np.inf)
        held = slice(max(low, band.low), min(label, band.high) + 1)
        to, of = (slice(held.start - by, held.stop - by) for by in (low, band.low))
        in_label[to], in_blank[to] = band.in_label[of], band.in_blank[of]
        moves = np.empty((num_frames, label - low + 1), dtype=np.uint8)
        _record(log_probs[block], best[block], ids[low : label + 1], in_label, in_blank, moves)
        label, is_blank = _follow(moves, low, label, is_blank, path[block])
    return path, loss


def _runs(
    log_probs: Frames, labels: Sequence[int], path: NDArray[np.int32], log_prob: float
) -> Alignment:
    frames = np.flatnonzero(path)
    if not len(frames):
        nothing = np.zeros(0, dtype=np.int64)
        return Alignment(nothing, nothing, np.zeros(0), log_prob)
    positions = path[frames] - 1
    firsts = np.flatnonzero(np.diff(positions, prepend=-1))
    lasts = np.append(firsts[1:], len(frames)) - 1
    posteriors = np.exp(log_probs[frames, np.asarray(labels)[positions]].astype(np.float64))
    means = np.add.reduceat(posteriors, firsts) / (lasts - firsts + 1)
    return Alignment(frames[firsts], frames[lasts] + 1, np.minimum(means, 1.0), log_prob)


@compiled()
def _advance(  # type: ignore[no-untyped-def]
    log_probs,
    best,
    ids,
    skip_loss,
    in_label,
    in_blank,
    next_label,
    next_blank,
    low,
    high,
    frames_left,
    limit,
):
    """Carry losses through a block of frames, the buffers taking turns; give the band after it."""
    num_labels = len(ids) - 1
    loss = np.empty(log_probs.shape[1])
    for t in range(len(log_probs)):
        for v in range(len(loss)):
            loss[v] = best[t] - log_probs[t, v]
        # A path gains one label a frame at most: those too far behind never reach the last.
        low = max(low, num_labels - (frames_left - t))
        high = min(high + 1, num_labels)
        if low > high:
            return low, high
        # Up to `high` what was beyond the band is infinite, and so is what was just below it.
        next_label[low] = np.inf
        next_blank[low] = min(in_blank[low], in_label[low]) + loss[0]
        if low > 0:
            entered = min(in_label[low], in_label[low - 1] + skip_loss[low], in_blank[low - 1])
            next_label[low] = entered + loss[ids[low]]
        size = high - low
        here, behind = in_label[low + 1 : high + 1], in_label[low:high]
        blank_here, blank_behind = in_blank[low + 1 : high + 1], in_blank[low:high]
        to_label, to_blank = next_label[low + 1 : high + 1], next_blank[low + 1 : high + 1]
        skips, id_of = skip_loss[low + 1 : high + 1], ids[low + 1 : high + 1]
        for i in range(size):
            entered = min(here[i], blank_behind[i], behind[i] + skips[i])
            to_label[i] = entered + loss[id_of[i]]
            to_blank[i] = min(blank_here[i], here[i]) + loss[0]
        while low <= high and next_label[low] > limit and next_blank[low] > limit:
            low += 1
        while high >= low and next_label[high] > limit and next_blank[high] > limit:
            high -= 1
        if low > high:
            return low, high
        if low > 0:
            next_label[low - 1] = next_blank[low - 1] = np.inf
        if high < num_labels:
            next_label[high + 1] = next_blank[high + 1] = np.inf
        in_label, next_label = next_label, in_label
        in_blank, next_blank = next_blank, in_blank
    return low, high


@compiled()
def _record(log_probs, best, ids, in_label, in_blank, moves):  # type: ignore[no-untyped-def]
    """Carry losses of some labels through a block, in place; note how each was best reached.

    Two bits say how the label was: 0 from itself, 1 from the blank before, 2 from the label before;
    the third whether the blank was from the label. Where two are as good, the lower number.
    """
    for t in range(len(log_probs)):
        blank_loss = best[t] - log_probs[t, 0]
        for i in range(len(ids) - 1, -1, -1):
            move = 0
            stay = in_blank[i]
            if in_label[i] < stay:
                stay = in_label[i]
                move = 4
            in_blank[i] = stay + blank_loss
            entered = in_label[i]
            if i > 0:
                if in_blank[i - 1] < entered:
                    entered = in_blank[i - 1]
                    move |= 1
                if in_label[i - 1] < entered and ids[i] != ids[i - 1]:
                    entered = in_label[i - 1]
                    move = (move & 4) | 2
            in_label[i] = entered + (best[t] - log_probs[t, ids[i]])
            moves[t, i] = move


@compiled()
def _follow(moves, low, label, is_blank, path):  # type: ignore[no-untyped-def]
    """Fill in the path of a block from its end; give where it is before the block."""
    for t in range(len(moves) - 1, -1, -1):
        path[t] = 0 if is_blank else label
        move = moves[t, label - low]
        if is_blank:
            is_blank = (move & 4) == 0
        elif move & 1:
            label -= 1
            is_blank = True
        elif move & 2:
            label -= 1
    return label, is_blank
