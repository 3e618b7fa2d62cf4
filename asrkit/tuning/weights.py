"""Find the weights of fusion that make the fewest errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import NamedTuple, TypeVar

LM_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
WORD_BONUSES = (-1.0, 0.0, 1.0, 2.0, 3.0)
OOV_PENALTIES = (0.0, 4.0, 8.0, 16.0)
POSTERIOR_TEMPERATURES = (1.0, 1.25, 1.5)
PRIOR_WEIGHTS = (0.0, 0.4, 0.8)
RESCORING_SHARES = (0.25, 0.5, 0.7, 0.85)
RESCORED_LM_WEIGHTS = (0.9, 1.1, 1.25)
"""Times that of the n-gram model alone: a better model deserves more."""
RESCORED_WORD_BONUSES = (-0.5, 0.5)
"""Beside that of the n-gram model alone."""
_TYPICAL = ((0.5, 0.0), (0.5, 2.0), (0.75, 0.0), (1.0, 0.0), (1.0, 2.0))
_FIRST_STEPS, _LAST_STEPS = (0.25, 1.0), (0.05, 0.2)

Candidate = TypeVar("Candidate")


class Weights(NamedTuple):
    """A point of the surface."""

    lm_weight: float
    word_bonus: float


def search_weights(
    count_errors: Callable[[Weights], int],
    lm_weights: Sequence[float] = LM_WEIGHTS,
    word_bonuses: Sequence[float] = WORD_BONUSES,
) -> tuple[Weights, Mapping[Weights, int]]:
    """Try a coarse grid, then walk from its best point to better ones, by ever smaller steps.

    The walk may leave the grid. Errors are counted in whole words, so the surface has steps, and
    no slope could be followed.

    Parameters
    ----------
    count_errors
        Called once for each point.

    Returns
    -------
    best
        Fewest errors; among equals the least LM weight, then the bonus nearest to 0.
    surface
        The errors of every point that was tried.
    """
    surface: dict[Weights, int] = {}

    def best_of(points: Sequence[Weights]) -> Weights:
        for point in points:
            if point not in surface:
                surface[point] = count_errors(point)
        return min(surface, key=lambda point: (surface[point], *_size(point)))

    best = best_of([Weights(*pair) for pair in product(lm_weights, word_bonuses)])
    steps = _FIRST_STEPS
    while steps[0] >= _LAST_STEPS[0] and steps[1] >= _LAST_STEPS[1]:
        around = [
            Weights(max(0.0, best.lm_weight + x * steps[0]), best.word_bonus + y * steps[1])
            for x, y in product((-1, 0, 1), repeat=2)
        ]
        better = best_of(around)
        if better == best:
            steps = (steps[0] / 2, steps[1] / 2)
        best = better
    return best, surface


def best_at_usual_weights(
    count_errors: Callable[[Weights, Candidate], int], candidates: Iterable[Candidate]
) -> Candidate:
    """Find what makes the fewest errors at any of a few usual weights; of equals the first.

    This comes before `search_weights`. An open vocabulary without a penalty, for one, lets the
    model spell what the language model would have corrected, and then the best weights are those of
    a language model of little use.
    """
    return min(
        candidates,
        key=lambda candidate: min(count_errors(Weights(*pair), candidate) for pair in _TYPICAL),
    )


def _size(point: Weights) -> tuple[float, float]:
    return point.lm_weight, abs(point.word_bonus)
