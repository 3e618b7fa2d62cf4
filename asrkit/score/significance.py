"""Is the difference of two error rates real: matched pairs of segments, and the bootstrap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asrkit.score.bootstrap import Interval, percentile_interval, resampled_sums
from asrkit.score.counts import ErrorCounts
from asrkit.score.segments import Segment

_ENOUGH_FOR_NORMAL = 50


class MatchedPairs(NamedTuple):
    """Outcome of the matched-pairs test; differences are errors of the first less the second."""

    num_segments: int
    mean: float
    """Difference in a segment, in errors."""
    deviation: float
    """Standard deviation of the difference, with n - 1."""
    z: float
    """Mean over its standard error; infinite where all segments differ by the same."""
    p: float
    """Two-sided probability of a difference as large if both systems were equally good."""
    is_exact: bool
    """Whether `p` is of sign changes counted out, and not of the normal distribution."""


class RateDifference(NamedTuple):
    """Bootstrap of the difference of two error rates, first less second."""

    absolute: Interval
    """Of the difference, as a share of the reference tokens."""
    relative: Interval | None
    """Of the difference over the second rate; None if some replicate has no second error."""
    improvement: float
    """Share of replicates in which the first system makes fewer errors; a tie counts half."""


def matched_pairs_test(segments: Sequence[Segment]) -> MatchedPairs:
    """Test whether two systems make as many errors a segment on average (MAPSSWE).

    With 50 segments or more, Z is taken as normal, as by Gillick and Cox (ICASSP 1989) and by
    NIST's sc_stats. With fewer that finds differences too often; then `p` is exact under the
    hypothesis that the systems may be exchanged in any segment: see `sign_change_probability`.

    Parameters
    ----------
    segments
        Of all utterances, from `error_segments`. Without any, the systems do not differ: p is 1.
    """
    differences = np.array([segment.first - segment.second for segment in segments], dtype=np.int64)
    if not len(differences):
        return MatchedPairs(0, 0.0, 0.0, 0.0, 1.0, is_exact=True)
    num_segments, mean = len(differences), float(differences.mean())
    deviation = float(differences.std(ddof=1)) if num_segments > 1 else 0.0
    if deviation:
        z = mean / (deviation / math.sqrt(num_segments))
    else:
        z = math.copysign(math.inf, mean) if mean else 0.0
    is_exact = num_segments < _ENOUGH_FOR_NORMAL
    p = sign_change_probability(differences.tolist()) if is_exact else normal_probability(z)
    return MatchedPairs(num_segments, mean, deviation, z, p, is_exact)


def normal_probability(z: float) -> float:
    """Give the probability that a standard normal variable is as far from 0 as `z`, or farther."""
    return math.erfc(abs(z) / math.sqrt(2))


def sign_change_probability(differences: Sequence[int]) -> float:
    """Give the share of sign changes that make a sum at least as far from 0 as it is.

    Each of the D differences may be positive or negative with equal chance, independent of the
    others: all 2**D cases are counted, by adding up the distribution of the sum.
    """
    sizes = [abs(difference) for difference in differences if difference]
    total = sum(sizes)
    chances = np.zeros(2 * total + 1)  # of the sums -total to total
    chances[total] = 1.0
    for size in sizes:
        # What np.roll takes around the ends is 0: no sum is beyond the sizes added so far.
        chances = (np.roll(chances, size) + np.roll(chances, -size)) / 2
    as_far = np.abs(np.arange(-total, total + 1)) >= abs(sum(differences))
    return min(1.0, float(chances[as_far].sum()))


def bootstrap_difference(
    first: Sequence[ErrorCounts],
    second: Sequence[ErrorCounts],
    num_replicates: int = 10_000,
    seed: int = 0,
) -> RateDifference | None:
    """Resample the difference of two pooled error rates, both systems on the same draws.

    Parameters
    ----------
    first, second
        Counts of each system, one for each speaker or utterance, in the same order. Speakers are
        the better unit where they are known: the utterances of one depend on each other.
    num_replicates, seed
        As of `bootstrap_interval`.

    Returns
    -------
    RateDifference or None
        With 95 % percentile intervals and the probability of improvement of Bisani and Ney
        ("Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004);
        None if there is nothing to resample: fewer than two counts, or no reference token.

    Raises
    ------
    ValueError
        If the two are not of the same length.
    """
    values = np.array(
        [
            (a.num_errors, a.num_ref, b.num_errors, b.num_ref)
            for a, b in zip(first, second, strict=True)
        ],
        dtype=np.int64,
    )
    # The numbers of reference tokens differ where the systems fit different alternatives.
    if len(values) < 2 or not values[:, 1].any() or not values[:, 3].any():
        return None
    sums = resampled_sums(values, num_replicates, seed)
    has_rates = (sums[:, 1] > 0) & (sums[:, 3] > 0)
    first_errors, first_ref, second_errors, second_ref = sums[has_rates].T
    first_rates, second_rates = first_errors / first_ref, second_errors / second_ref
    difference = first_rates - second_rates
    relative = percentile_interval(difference / second_rates) if second_rates.all() else None
    fewer, equal = np.mean(difference < 0), np.mean(difference == 0)
    return RateDifference(percentile_interval(difference), relative, float(fewer + equal / 2))
