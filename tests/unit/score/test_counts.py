"""Error counts: sums, rates and their edge cases."""

from __future__ import annotations

import math

import pytest

from asrkit.score.alignment import align
from asrkit.score.counts import ErrorCounts


def test_counts_add_up_to_the_lengths() -> None:
    ref = ["the", "cat", "sat", "on", "the", "mat"]
    hyp = ["a", "cat", "sat", "the", "mat", "too"]
    counts = ErrorCounts.from_edits(align(ref, hyp))
    assert counts == ErrorCounts(hits=4, substitutions=1, deletions=1, insertions=1)
    assert (counts.num_ref, counts.num_hyp, counts.num_errors) == (len(ref), len(hyp), 3)
    assert counts.error_rate == pytest.approx(3 / 6)


def test_a_sum_pools_and_is_not_a_mean_of_rates() -> None:
    short, long = ErrorCounts(deletions=1), ErrorCounts(hits=8, substitutions=1)
    total = sum([short, long], ErrorCounts())
    assert total == ErrorCounts(hits=8, substitutions=1, deletions=1)
    assert total.error_rate == pytest.approx(2 / 10)


def test_rates_without_reference_and_above_one() -> None:
    assert ErrorCounts().error_rate == 0.0
    assert ErrorCounts(insertions=3).error_rate == math.inf
    assert ErrorCounts(hits=1, insertions=3).error_rate == 3.0


def test_forgiven_deletions_are_reference_tokens_and_no_errors() -> None:
    counts = ErrorCounts.from_edits(align(["sil", "a", "b"], ["a"], ["sil"]))
    assert counts == ErrorCounts(hits=1, deletions=1, forgiven=1)
    assert (counts.num_ref, counts.num_hyp, counts.num_errors) == (3, 1, 1)
    assert (counts + counts).forgiven == 2


@pytest.mark.parametrize("kind", ["hits", "substitutions", "deletions", "insertions", "forgiven"])
def test_negative_counts_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="negative"):
        ErrorCounts(**{kind: -1})
