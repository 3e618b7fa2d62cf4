"""The likeliest alignment of a labelling, in memory that grows with the length, not its square.

A path's log-probability falls from frame to frame, at least by what the likeliest token costs. So
a state from which the whole path can no longer reach what the best path reaches is on no best path,
and only the others are held: a few where the model is sure. What the best path reaches is not known
beforehand; it is a little less than the labelling's log-probability, which sums over all paths. If
nothing comes out, the limit was too high.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asrkit.compiled import compiled
from asrkit.data.tokens import TokenTable
from asrkit.errors import DataError

BLANK = TokenTable.blank_id

_FIRST_MARGIN = 8.0
"""Nats below the labelling's log-probability down to which states are held at first."""


_WORTH_A_LOOK_AHEAD = -100.0
"""Log-probability below which the likeliest tokens are looked for; above, they cost nothing."""


def find_best_path(
    log_probs: NDArray[np.floating], labels: NDArray[np.int32], log_prob: float
) -> NDArray[np.int32]:
    """Find the likeliest alignment of a labelling.

    Parameters
    ----------
    log_probs : array, shape (T, V)
        float32 or float64, none above 0.
    labels : array, shape (L,), int32
    log_prob : float
        Nats; of the labelling, or something close. It decides the speed, not the result.

    Returns
    -------
    array, shape (T,), int32
        A token id, blank included, for each frame. Of equally likely alignments the one whose
        labels end earliest.

    Raises
    ------
    DataError
        If the labelling has no alignment of more than no probability.
    """
    margin = _FIRST_MARGIN
    ahead = np.zeros(len(log_probs) + 1)  # the most that can be gained from each frame to the end
    if log_prob < _WORTH_A_LOOK_AHEAD:
        ahead[:-1] = np.cumsum(log_probs.max(axis=1)[::-1], dtype=np.float64)[::-1]
    while True:
        path: NDArray[np.int32] = _align_above(log_probs, labels, log_prob - margin - ahead)
        if len(path) == len(log_probs):
            return path
        if margin == np.inf:
            raise DataError(
                f"alignment: {len(labels)} tokens have no possible alignment to "
                f"{len(log_probs)} frames; expected at least a frame for each token and a blank "
                "between equal ones"
            )
        margin = margin * 8 if margin < 1e5 else np.inf


@compiled()
def _align_above(log_probs, labels, limits):  # type: ignore[no-untyped-def] # pragma: no cover
    """Find the best path that is at least `limits[t]` before frame t; of no frames if none is.

    State 2 i is the blank before label i, state 2 i + 1 is label i. A frame holds the states of
    an interval; how each was reached (from itself, from 1 or from 2 states before) is noted.
    """
    num_frames, num_states = len(log_probs), 2 * len(labels) + 1
    none = np.empty(0, np.int32)
    scores = np.full(num_states, -np.inf)
    firsts = np.zeros(num_frames, np.int64)  # states of the interval: first and one after the last
    starts = np.zeros(num_frames + 1, np.int64)  # of each frame's notes among all
    notes = np.empty(max(64, 4 * num_frames), np.uint8)
    first, stop = 0, 1
    scores[0] = 0.0
    for t in range(num_frames):
        # In the first frame only the first blank and the first label can be.
        new_stop = min(stop + 2, num_states) if t > 0 else min(2, num_states)
        while starts[t] + new_stop - first > len(notes):
            notes = np.concatenate((notes, np.empty_like(notes)))
        blank = np.float64(log_probs[t, BLANK])
        base = starts[t] - first
        for state in range(new_stop - 1, first - 1, -1):
            best, note = scores[state], 0
            if state > first and scores[state - 1] > best:
                best, note = scores[state - 1], 1
            if state % 2 == 1:
                label = labels[state // 2]
                if (
                    state > first + 1
                    and label != labels[state // 2 - 1]
                    and scores[state - 2] > best
                ):
                    best, note = scores[state - 2], 2
                best += log_probs[t, label]
            else:
                best += blank
            scores[state] = best if best >= limits[t + 1] else -np.inf
            notes[base + state] = note
        starts[t + 1] = base + new_stop
        firsts[t] = first
        stop = new_stop
        while first < stop and scores[first] == -np.inf:
            first += 1
        while stop > first and scores[stop - 1] == -np.inf:
            stop -= 1
        if first == stop:
            return none
    state = num_states - 1
    if state < first or state - 1 >= stop:
        return none
    if state >= stop or (state > first and scores[state - 1] >= scores[state]):
        state -= 1
    if scores[state] == -np.inf:
        return none
    path = np.empty(num_frames, np.int32)
    for t in range(num_frames - 1, -1, -1):
        path[t] = labels[state // 2] if state % 2 == 1 else BLANK
        state -= notes[starts[t] + state - firsts[t]]
    return path
