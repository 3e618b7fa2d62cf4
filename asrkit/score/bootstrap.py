"""How far an error rate could be off: the bootstrap over utterances or speakers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asrkit.score.counts import ErrorCounts

LEVEL = 0.95
_DRAWS_AT_ONCE = 1 << 20


class Interval(NamedTuple):
    """Lower and upper bound of an error rate or of a difference, as shares."""

    low: float
    high: float


def bootstrap_interval(
    counts: Sequence[ErrorCounts], num_replicates: int = 10_000, seed: int = 0
) -> Interval | None:
    """Compute the 95 % percentile bootstrap interval of the pooled error rate.

    Each replicate draws as many utterances as there are, with replacement, and pools their errors
    and reference tokens. Utterances are drawn whole because the errors within one depend on each
    other (Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance
    evaluation", ICASSP 2004).

    Parameters
    ----------
    counts
        One for each utterance. Their order matters to the draws: give it a fixed one.
    num_replicates
        Replicates drawn; the ends of the interval are their 2.5 % and 97.5 % quantiles. A replicate
        of only empty references has no rate and is left out.
    seed
        Seed of the draws; the same counts and seed give the same interval.

    Returns
    -------
    Interval or None
        None if there is nothing to resample: fewer than two utterances, or no reference token.
        Where every utterance has the same rate, both ends are that rate.
    """
    values = np.array([(count.num_errors, count.num_ref) for count in counts], dtype=np.int64)
    if len(counts) < 2 or not values[:, 1].any():
        return None
    errors, num_ref = resampled_sums(values, num_replicates, seed).T
    has_rate = num_ref > 0
    return percentile_interval(errors[has_rate] / num_ref[has_rate])


def resampled_sums(values: NDArray[np.int64], num_replicates: int, seed: int) -> NDArray[np.int64]:
    """Draw as many rows as there are, with replacement, and add them up; again for each replicate.

    Parameters
    ----------
    values
        (G, K): K numbers of each of G things drawn, such as utterances.
    num_replicates, seed
        As of `bootstrap_interval`.

    Returns
    -------
    NDArray
        (num_replicates, K).
    """
    num_rows = len(values)
    columns = [np.ascontiguousarray(column) for column in values.T]
    generator = np.random.default_rng(seed)
    block = max(1, _DRAWS_AT_ONCE // num_rows)
    sums = []
    for start in range(0, num_replicates, block):
        size = (min(block, num_replicates - start), num_rows)
        drawn = generator.integers(num_rows, size=size)
        sums.append(np.stack([column[drawn].sum(axis=1) for column in columns], axis=1))
    return np.concatenate(sums)


def percentile_interval(replicates: NDArray[np.float64]) -> Interval:
    """Give the quantiles between which 95 % of the replicates lie."""
    low, high = np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
