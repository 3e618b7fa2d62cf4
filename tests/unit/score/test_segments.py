"""Segments of the matched-pairs test against hand-made cases and what must always hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.score.alignment import Edit, align
from asrkit.score.segments import Segment, error_segments, is_error, paired_edits

WORDS = st.lists(st.sampled_from("abc"), max_size=12)
KINDS = {"=": "hit", "s": "sub", "d": "del", "i": "ins", "f": "forgiven"}


def edits(letters: str) -> list[Edit]:
    """Spell an alignment: = hit, s substitution, d deletion, i insertion, f forgiven deletion."""
    return [
        Edit(KINDS[letter], None if letter == "i" else "a", None if letter in "df" else "b")
        for letter in letters
    ]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("", "", []),
        ("====", "====", []),
        ("s===", "====", [(1, 0)]),
        ("====", "===d", [(0, 1)]),
        # One word right in both does not part two errors; two do.
        ("s=s==", "=====", [(2, 0)]),
        ("s==s==", "======", [(1, 0), (1, 0)]),
        # They have to be right in both.
        ("s==s==", "==s===", [(2, 1)]),
        ("s====", "=s===", [(1, 1)]),
        ("ss===ss", "===s===", [(4, 1)]),
        # An insertion between two right words joins, whoever makes it.
        ("s=i=s=", "=====", [(3, 0)]),
        ("s==s=", "==i===", [(2, 1)]),
        ("s==is=", "======", [(1, 0), (2, 0)]),
        # At the ends, before the first word and after the last.
        ("ii==", "==", [(2, 0)]),
        ("==", "==ii", [(0, 2)]),
        ("==i", "==ii", [(1, 2)]),
        ("s=", "==i", [(1, 1)]),
        ("ii", "", [(2, 0)]),
        # A forgiven deletion is right.
        ("sf=s", "====", [(1, 0), (1, 0)]),
    ],
)
def test_where_segments_are_cut(first: str, second: str, expected: list[tuple[int, int]]) -> None:
    segments = error_segments(edits(first), edits(second))
    assert segments == [Segment(*each) for each in expected]
    swapped = error_segments(edits(second), edits(first))
    assert swapped == [Segment(second, first) for first, second in segments]


@settings(max_examples=200, deadline=None)
@given(WORDS, WORDS, WORDS)
def test_every_error_is_in_one_segment(ref: list[str], one: list[str], two: list[str]) -> None:
    first, second = align(ref, one), align(ref, two)
    segments = error_segments(first, second)
    assert all(segment.first or segment.second for segment in segments)
    assert sum(segment.first for segment in segments) == sum(map(is_error, first))
    assert sum(segment.second for segment in segments) == sum(map(is_error, second))


@settings(max_examples=200, deadline=None)
@given(WORDS, WORDS, WORDS, WORDS)
def test_pairs_spell_both_alignments(
    ref: list[str], other_ref: list[str], one: list[str], two: list[str]
) -> None:
    first, second = align(ref, one), align(other_ref, two)
    pairs = list(paired_edits(first, second))
    assert [ours for ours, _ in pairs if ours is not None] == first
    assert [theirs for _, theirs in pairs if theirs is not None] == second
    assert all(o.ref == t.ref is not None for o, t in pairs if o is not None and t is not None)


def aligned(ref: str, hyp: str) -> list[Edit]:
    """Align two texts word by word."""
    return align(ref.split(), hyp.split())


def test_alternatives_meet_where_the_references_do() -> None:
    first = aligned("i have uh seen it all", "i have seen it all")
    second = aligned("i have seen it all", "i have scene it all")
    assert error_segments(first, second) == [Segment(1, 1)]
    both = [ours.ref for ours, theirs in paired_edits(first, second) if ours and theirs]
    assert both == ["i", "have", "seen", "it", "all"]


def test_another_alternative_joins_segments_even_if_right() -> None:
    # What only one has taken is not right in both.
    first = aligned("a x b c d", "s x s c d")
    second = aligned("a y b c d", "a y b c d")
    assert error_segments(first, second) == [Segment(2, 0)]
