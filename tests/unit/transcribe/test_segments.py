"""A recording is cut at its pauses, streaming; nothing that somebody says is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asrkit.transcribe.segments import MAX_SEGMENT_S, Stretch, cut_at_pauses
from asrkit.transcribe.vad import FRAME_S

RATE_HZ = 1000
FRAME = round(FRAME_S * RATE_HZ)
Parts = Sequence[tuple[float, float]]
"""How long each part of a recording lasts in seconds, and how loud it is."""


class LoudnessVad:
    """Takes what is loud for speech, as sure as it is loud; frames end where they should."""

    def __init__(self, sample_rate_hz: int) -> None:
        assert sample_rate_hz == RATE_HZ
        self._rest = np.zeros(0, np.float32)

    def hear(self, samples: NDArray[np.float32], *, last: bool = False) -> NDArray[np.float32]:
        known = np.concatenate([self._rest, samples])
        if last:
            known = np.concatenate([known, np.zeros(-len(known) % FRAME, np.float32)])
        num_frames = len(known) // FRAME
        self._rest = known[num_frames * FRAME :]
        return np.abs(known[: num_frames * FRAME]).reshape(-1, FRAME).mean(axis=1)


def record(parts: Parts) -> NDArray[np.float32]:
    """Write constants, each with its sample's number in the last digits, so that all differ."""
    loud = np.concatenate([np.full(round(length * RATE_HZ), level) for length, level in parts])
    return (loud + 1e-7 * np.arange(len(loud))).astype(np.float32)


def blocks_of(samples: NDArray[np.float32], size: int) -> Iterator[NDArray[np.float32]]:
    return (samples[first : first + size] for first in range(0, len(samples), size))


def cut(samples: NDArray[np.float32], size: int = 4321) -> list[Stretch]:
    return list(cut_at_pauses(blocks_of(samples, size), RATE_HZ, LoudnessVad))


def spans(parts: Parts) -> list[tuple[float, float]]:
    return [
        (each.start / RATE_HZ, (each.start + len(each.samples)) / RATE_HZ)
        for each in cut(record(parts))
    ]


@pytest.mark.parametrize(
    "parts", [[(30, 0.01)], [(30, 1)], [(0.01, 1)], [(10, 0), (1, 1), (10, 0)]]
)
def test_a_short_recording_is_one_segment_and_nobody_listens_to_it(parts: Parts) -> None:
    def refuse(_rate_hz: int) -> LoudnessVad:
        raise AssertionError("asked for a detector")

    samples = record(parts)
    (only,) = cut_at_pauses(blocks_of(samples, 999), RATE_HZ, refuse)
    assert only.start == 0
    np.testing.assert_array_equal(only.samples, samples)


@pytest.mark.parametrize("duration_s", [0, 0.01, 5, 40])
def test_digital_silence_gives_nothing(duration_s: float) -> None:
    assert cut(np.zeros(round(duration_s * RATE_HZ), np.float32)) == []


def test_a_long_recording_in_which_nobody_speaks_has_no_segments() -> None:
    assert cut(record([(100, 0.01)])) == []


def test_the_longest_pause_between_8_and_20_s_decides() -> None:
    parts = [(6, 1), (1.5, 0), (4, 1), (0.3, 0), (3, 1), (0.6, 0), (3, 1), (0.4, 0), (15, 1)]
    first, second = spans(parts)
    assert first == pytest.approx((0, 14.8 + 0.256), abs=FRAME_S)
    assert second == pytest.approx((15.4 - 0.256, 33.8), abs=FRAME_S)


def test_a_pause_is_cut_where_it_is_quietest() -> None:
    # The pause of 0.4 s is too short to leave anything out.
    first, second = spans([(11, 1), (0.1, 0.05), (0.2, 0.001), (0.1, 0.05), (20, 1)])
    assert first[1] == second[0] == pytest.approx(11.2, abs=0.1)


def test_a_later_pause_is_better_than_none() -> None:
    first, second = spans([(25, 1), (0.1, 0), (20, 1)])
    assert first[1] == second[0] == pytest.approx(25.05, abs=0.08)


def test_long_gaps_are_left_out_and_end_segments_however_short() -> None:
    found = spans([(5, 0), (0.1, 1), (9, 0), (3, 1), (2.5, 0), (3, 1), (60, 0)])
    expected = [(4.744, 5.356), (13.844, 17.356), (19.344, 22.856)]
    assert found == [pytest.approx(each, abs=1.01 * FRAME_S) for each in expected]


def test_without_a_pause_the_least_likely_speech_and_then_the_weakest_sound_decide() -> None:
    first, second = spans([(17, 1), (0.1, 0.6), (20, 1)])
    assert first[1] == second[0] == pytest.approx(17.05, abs=0.05)
    # 0.99 is as good as 1, except that it is weaker.
    first, second = spans([(13, 1), (0.1, 0.99), (20, 1)])
    assert first[1] == second[0] == pytest.approx(13.05, abs=0.05)


def test_uniform_sound_is_cut_all_the_same() -> None:
    found = cut(np.ones(100 * RATE_HZ, np.float32))
    assert all(len(each.samples) <= MAX_SEGMENT_S * RATE_HZ for each in found)
    assert sum(len(each.samples) for each in found) == 100 * RATE_HZ


LEVELS = st.sampled_from([0.0, 0.01, 0.1, 0.2, 0.5, 1.0])


@given(
    parts=st.lists(st.tuples(st.floats(0.02, 25), LEVELS), min_size=1, max_size=12),
    size=st.integers(50, 40000),
)
@example(parts=[(40, 1.0), (0.05, 0.0)], size=30000)
@settings(max_examples=30, deadline=None)
def test_nothing_said_is_lost_or_doubled_whatever_the_blocks(parts: Parts, size: int) -> None:
    samples = record(parts)
    found = cut(samples, size)
    is_given = np.zeros(len(samples), int)
    for each in found:
        stop = each.start + len(each.samples)
        assert 0 < len(each.samples) <= MAX_SEGMENT_S * RATE_HZ
        np.testing.assert_array_equal(each.samples, samples[each.start : stop])
        is_given[each.start : stop] += 1
    assert is_given.max(initial=0) <= 1
    assert [each.start for each in found] == sorted(each.start for each in found)
    loud = np.abs(samples[: len(samples) // FRAME * FRAME]).reshape(-1, FRAME).mean(axis=1) >= 0.16
    assert is_given[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)[loud].all()
    other = cut(samples, 7777)
    assert [(e.start, len(e.samples)) for e in found] == [(e.start, len(e.samples)) for e in other]


def test_memory_does_not_grow_with_the_recording() -> None:
    """A segment is given before much more than it has been read."""
    read = 0

    def blocks() -> Iterator[NDArray[np.float32]]:
        nonlocal read
        for _ in range(200):
            read += 1
            yield record([(4, 1), (1, 0)])

    for number, each in enumerate(cut_at_pauses(blocks(), RATE_HZ, LoudnessVad)):
        ahead_s = read * 5 - (each.start + len(each.samples)) / RATE_HZ
        assert ahead_s < MAX_SEGMENT_S + 5 or number == 0
