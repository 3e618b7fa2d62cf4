"""The matched-pairs test and the bootstrap of a difference, against plain counting and theory."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from asrkit.score.counts import ErrorCounts
from asrkit.score.segments import Segment
from asrkit.score.significance import (
    bootstrap_difference,
    matched_pairs_test,
    normal_probability,
    sign_change_probability,
)


def segments(differences: list[int]) -> list[Segment]:
    """Make segments of these differences."""
    return [Segment(max(each, 0), max(-each, 0)) for each in differences]


def test_figures_of_the_test() -> None:
    differences = [1, -1, 2, 0, 1, 1, -1, 3] * 8
    test = matched_pairs_test(segments(differences))
    assert test.num_segments == 64
    assert test.mean == pytest.approx(np.mean(differences))
    assert test.deviation == pytest.approx(np.std(differences, ddof=1))
    assert test.z == pytest.approx(0.75 / (test.deviation / 8))
    assert not test.is_exact
    assert test.p == normal_probability(test.z)


@pytest.mark.parametrize(("z", "p"), [(0, 1), (1.959964, 0.05), (-2.575829, 0.01), (math.inf, 0)])
def test_normal_probability(z: float, p: float) -> None:
    assert normal_probability(z) == pytest.approx(p, abs=1e-6)


@pytest.mark.parametrize("differences", [[], [0, 0], [3], [1, -1], [1, 1, 1], [2, -1, 0, 3, 1, -2]])
def test_few_segments_are_counted_out(differences: list[int]) -> None:
    sums = [
        sum(sign * each for sign, each in zip(signs, differences, strict=True))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    expected = np.mean([abs(each) >= abs(sum(differences)) for each in sums])
    assert sign_change_probability(differences) == pytest.approx(expected)
    test = matched_pairs_test(segments(differences))
    assert test.p == pytest.approx(expected)
    assert test.is_exact


def test_counting_out_tends_to_the_normal() -> None:
    generator = random.Random(2)
    differences = [generator.choice((-2, -1, 1, 1, 2)) for _ in range(400)]
    deviation = math.sqrt(sum(each**2 for each in differences))
    # Sums are two apart, so that half a step is one.
    z = (abs(sum(differences)) - 1) / deviation
    assert sign_change_probability(differences) == pytest.approx(normal_probability(z), rel=0.03)


def test_segments_that_all_differ_alike() -> None:
    # A standard deviation of 0 is no sign of no difference, as sc_stats has it.
    assert matched_pairs_test(segments([1] * 60))[3:] == (math.inf, 0.0, False)
    assert matched_pairs_test(segments([-1] * 10)).p == pytest.approx(2**-9)
    assert matched_pairs_test(segments([-1] * 10)).z == -math.inf
    assert matched_pairs_test([Segment(1, 1)] * 60)[3:] == (0.0, 1.0, False)


def test_no_segments() -> None:
    assert matched_pairs_test([]) == (0, 0.0, 0.0, 0.0, 1.0, True)


def counts(generator: random.Random, rates: list[float]) -> list[ErrorCounts]:
    """Draw 20 words for each rate."""
    drawn = [sum(generator.random() < rate for _ in range(20)) for rate in rates]
    return [ErrorCounts(20 - errors, errors) for errors in drawn]


def test_bootstrap_equals_a_loop() -> None:
    generator = random.Random(1)
    first, second = counts(generator, [0.3] * 11), counts(generator, [0.4] * 11)
    found = bootstrap_difference(first, second, num_replicates=200, seed=5)
    assert found is not None
    draws = np.random.default_rng(5)
    absolute, relative = [], []
    for _ in range(200):
        drawn = draws.integers(11, size=11)
        one, two = (sum(each[i].num_errors for i in drawn) for each in (first, second))
        absolute.append((one - two) / 220)
        relative.append((one - two) / two)
    for interval, replicates in ((found.absolute, absolute), (found.relative, relative)):
        assert interval == pytest.approx(np.quantile(replicates, (0.025, 0.975)))
    share = np.mean([each < 0 for each in absolute]) + np.mean([each == 0 for each in absolute]) / 2
    assert found.improvement == pytest.approx(share)


def test_bootstrap_is_of_pairs() -> None:
    # Speakers differ much and the two systems by the same little for each: paired draws see that.
    first = [ErrorCounts(1000 - errors, errors) for errors in range(0, 500, 10)]
    second = [ErrorCounts(990 - errors, errors + 10) for errors in range(0, 500, 10)]
    found = bootstrap_difference(first, second)
    assert found is not None
    assert found.absolute == pytest.approx((-0.01, -0.01))
    assert found.improvement == 1.0
    swapped = bootstrap_difference(second, first)
    assert swapped is not None
    assert swapped.absolute == pytest.approx((0.01, 0.01))
    assert swapped.improvement == 0.0
    assert bootstrap_difference(first, second) == found


def test_bootstrap_of_the_same_system_is_undecided() -> None:
    same = [ErrorCounts(9, 1), ErrorCounts(8, 2)]
    assert bootstrap_difference(same, same) == ((0.0, 0.0), (0.0, 0.0), 0.5)


def test_no_relative_change_where_a_draw_has_no_errors_to_change() -> None:
    found = bootstrap_difference([ErrorCounts(9, 1)] * 2, [ErrorCounts(9, 1), ErrorCounts(10)])
    assert found is not None
    assert found.absolute == pytest.approx((0.0, 0.1))
    assert found.relative is None


def test_nothing_to_resample() -> None:
    assert bootstrap_difference([], []) is None
    assert bootstrap_difference([ErrorCounts(1)], [ErrorCounts(1)]) is None
    assert bootstrap_difference([ErrorCounts()] * 3, [ErrorCounts(insertions=1)] * 3) is None
    with pytest.raises(ValueError, match="zip"):
        bootstrap_difference([ErrorCounts(1)] * 2, [ErrorCounts(1)] * 3)
