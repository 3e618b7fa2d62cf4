from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.data.batching import make_batches

DURATIONS = st.lists(st.floats(0.01, 40.0), max_size=60)


@given(
    DURATIONS, st.floats(1.0, 200.0), st.integers(1, 70), st.integers(0, 2**40), st.integers(0, 99)
)
@settings(max_examples=300, deadline=None)
def test_invariants(
    durations_s: list[float], max_batch_s: float, num_buckets: int, seed: int, epoch: int
) -> None:
    batches = make_batches(durations_s, max_batch_s, num_buckets, seed, epoch)
    counts = Counter(index for batch in batches for index in batch)
    assert counts == Counter(range(len(durations_s)))
    for batch in batches:
        assert batch
        longest_s = max(durations_s[index] for index in batch)
        assert len(batch) == 1 or len(batch) * longest_s <= max_batch_s
    assert batches == make_batches(durations_s, max_batch_s, num_buckets, seed, epoch)
    assert batches == make_batches(np.array(durations_s), max_batch_s, num_buckets, seed, epoch)


@given(DURATIONS, st.floats(1.0, 200.0), st.integers(1, 5), st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_no_batch_has_more_utterances_than_allowed(
    durations_s: list[float], max_batch_s: float, most: int, seed: int
) -> None:
    batches = make_batches(durations_s, max_batch_s, 3, seed, 0, max_batch_utterances=most)
    assert sorted(index for batch in batches for index in batch) == list(range(len(durations_s)))
    for batch in batches:
        longest_s = max(durations_s[index] for index in batch)
        assert len(batch) <= most
        assert len(batch) == 1 or len(batch) * longest_s <= max_batch_s


def test_one_utterance_a_batch() -> None:
    batches = make_batches(speech(50), 1e9, 10, seed=0, epoch=0, max_batch_utterances=1)
    assert [len(batch) for batch in batches] == [1] * 50
    assert batches != make_batches(speech(50), 1e9, 10, 0, epoch=1, max_batch_utterances=1)


def test_a_limit_that_is_never_reached_changes_nothing() -> None:
    unlimited = make_batches(speech(200), 120.0, 10, seed=0, epoch=0)
    assert make_batches(speech(200), 120.0, 10, 0, 0, max_batch_utterances=0) == unlimited
    assert make_batches(speech(200), 120.0, 10, 0, 0, max_batch_utterances=200) == unlimited


def speech(num_utterances: int) -> list[float]:
    return np.random.default_rng(0).gamma(4.0, 2.5, num_utterances).clip(1.0, 35.0).tolist()


def test_the_global_random_state_plays_no_part() -> None:
    durations_s = speech(200)
    np.random.seed(1)
    first = make_batches(durations_s, 120.0, 10, seed=3, epoch=2)
    np.random.seed(2)
    assert make_batches(durations_s, 120.0, 10, seed=3, epoch=2) == first


def test_seed_and_epoch_each_change_the_order_and_the_company() -> None:
    durations_s = speech(200)
    orders = [
        make_batches(durations_s, 120.0, 10, seed, epoch)
        for seed, epoch in [(0, 0), (0, 1), (1, 0), (1, 1)]
    ]
    companies = {frozenset(frozenset(batch) for batch in order) for order in orders}
    assert len(companies) == 4


def test_the_order_of_durations_is_mixed() -> None:
    durations_s = speech(500)
    batches = make_batches(durations_s, 120.0, 10, seed=0, epoch=0)
    means_s = [np.mean([durations_s[index] for index in batch]) for batch in batches]
    assert abs(np.corrcoef(means_s, np.arange(len(means_s)))[0, 1]) < 0.5


def test_more_buckets_pad_less() -> None:
    durations_s = speech(2000)

    def padding(num_buckets: int) -> float:
        batches = make_batches(durations_s, 120.0, num_buckets, seed=0, epoch=0)
        padded_s = sum(len(batch) * max(durations_s[i] for i in batch) for batch in batches)
        return 1 - sum(durations_s) / padded_s

    assert padding(10) < 0.12
    assert padding(1) > 0.4
    assert padding(len(durations_s)) < 0.02


def test_batches_are_well_filled() -> None:
    durations_s = speech(2000)
    batches = make_batches(durations_s, 120.0, 10, seed=0, epoch=0)
    assert len(batches) < 1.25 * sum(durations_s) / 120.0


def test_buckets_hold_about_the_same_number_of_seconds() -> None:
    durations_s = [1.0] * 100 + [10.0] * 10
    batches = make_batches(durations_s, 1100.0, 2, seed=0, epoch=0)
    assert len(batches) == 1  # all fit: buckets fill up from the next
    halves = make_batches(durations_s, 100.0, 2, seed=0, epoch=0)
    assert sorted(map(len, halves)) == [10, 100]


def test_special_cases() -> None:
    assert make_batches([], 10.0, 3, 0, 0) == []
    assert make_batches([99.0], 10.0, 3, 0, 0) == [[0]]
    assert sorted(make_batches([99.0, 98.0], 10.0, 3, 0, 0)) == [[0], [1]]
    assert sorted(map(sorted, make_batches([5.0, 5.0, 5.0], 10.0, 1, 0, 0))) in (
        [[0], [1, 2]],
        [[0, 1], [2]],
        [[0, 2], [1]],
    )
