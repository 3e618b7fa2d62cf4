"""Two alignments of one reference side by side, and the stretches of errors they are cut into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from asrkit.score.alignment import Edit, align

_ERRORS = frozenset({"sub", "del", "ins"})
_RIGHT_BETWEEN = 2


class Segment(NamedTuple):
    """Errors of two systems in one stretch of the reference; at least one of them has some."""

    first: int
    second: int


def is_error(edit: Edit) -> bool:
    """Tell whether a column counts as an error; a hit does not, nor does a forgiven deletion."""
    return edit.op in _ERRORS


def paired_edits(
    first: Sequence[Edit], second: Sequence[Edit]
) -> Iterator[tuple[Edit | None, Edit | None]]:
    """Go through two alignments of the same reference together.

    Gives each reference token as both systems have it. An insertion stands alone, beside None: that
    of the first system before that of the second. So does a token of an alternative that only one
    of the alignments has taken; such references are matched with the fewest edits.
    """
    at_first = at_second = 0
    for in_first, in_second in _reference_steps(first, second):
        while first[at_first : at_first + 1] and first[at_first].ref is None:
            yield first[at_first], None
            at_first += 1
        while second[at_second : at_second + 1] and second[at_second].ref is None:
            yield None, second[at_second]
            at_second += 1
        yield (
            first[at_first] if in_first else None,
            second[at_second] if in_second else None,
        )
        at_first += in_first
        at_second += in_second
    yield from ((edit, None) for edit in first[at_first:])
    yield from ((None, edit) for edit in second[at_second:])


def error_segments(first: Sequence[Edit], second: Sequence[Edit]) -> list[Segment]:
    """Cut an utterance into the segments of the matched-pairs test, and count errors in each.

    A segment starts with the first error of either system after the one before it, and ends where
    both have two reference tokens right, one after the other, nothing inserted between them, or
    with the utterance. What both have right belongs to none. Two tokens that are right on either
    side make the errors of different segments about independent (Gillick and Cox, "Some statistical
    issues in the comparison of speech recognition algorithms", ICASSP 1989); NIST's sc_stats cuts
    at the same places.
    """
    segments = []
    num_first = num_second = num_right = 0
    for in_first, in_second in paired_edits(first, second):
        first_wrong = in_first is not None and is_error(in_first)
        second_wrong = in_second is not None and is_error(in_second)
        if in_first and in_second and not first_wrong and not second_wrong:
            num_right += 1
        else:
            num_right = 0
            num_first += first_wrong
            num_second += second_wrong
        if num_right == _RIGHT_BETWEEN and (num_first or num_second):
            segments.append(Segment(num_first, num_second))
            num_first = num_second = 0
    if num_first or num_second:
        segments.append(Segment(num_first, num_second))
    return segments


def _reference_steps(first: Sequence[Edit], second: Sequence[Edit]) -> Iterator[tuple[bool, bool]]:
    """Tell for each step along the reference which of the alignments takes it."""
    ours, theirs = (
        [edit.ref for edit in edits if edit.ref is not None] for edits in (first, second)
    )
    if ours == theirs:
        yield from [(True, True)] * len(ours)
        return
    for edit in align(ours, theirs):
        if edit.op == "hit":
            yield True, True
        else:
            if edit.ref is not None:
                yield True, False
            if edit.hyp is not None:
                yield False, True
