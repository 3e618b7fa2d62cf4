"""Words and tokens with times as a TextGrid, which Praat reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from asrkit.decode.hypothesis import TimedToken, TimedWord

Interval = tuple[int, int, str]
"""Start and end in microseconds, and what is said."""


def format_textgrid(
    duration_s: float, words: Sequence[TimedWord], tokens: Sequence[TimedToken]
) -> str:
    """Give a TextGrid in Praat's long text format with the tiers `words` and `tokens`.

    Each tier covers the whole duration: between its words it has intervals without a label, as
    Praat demands. The confidences have no place in it.
    """
    tiers = {
        "words": [(word.start_s, word.end_s, word.word) for word in words],
        "tokens": [(token.start_s, token.end_s, token.token) for token in tokens],
    }
    end = _microseconds(duration_s)
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {_seconds(end)}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, (name, said) in enumerate(tiers.items(), start=1):
        intervals = list(_fill_gaps(said, end))
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f'        name = "{name}"',
            "        xmin = 0",
            f"        xmax = {_seconds(end)}",
            f"        intervals: size = {len(intervals)}",
        ]
        for index, (start, stop, label) in enumerate(intervals, start=1):
            lines += [
                f"        intervals [{index}]:",
                f"            xmin = {_seconds(start)}",
                f"            xmax = {_seconds(stop)}",
                f'            text = "{_escape(label)}"',
            ]
    return "\n".join(lines) + "\n"


def _fill_gaps(said: Iterable[tuple[float, float, str]], end: int) -> Iterable[Interval]:
    """Make intervals that touch, from 0 to the end, of those that are said in turn, in seconds.

    What is less than a microsecond long or begins beyond the end is left out: Praat has no empty
    intervals.
    """
    position = 0
    for start_s, end_s, label in said:
        start = max(_microseconds(start_s), position)
        stop = min(_microseconds(end_s), end)
        if start >= stop:
            continue
        if start > position:
            yield position, start, ""
        yield start, stop, label
        position = stop
    if position < end:
        yield position, end, ""


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)


def _seconds(microseconds: int) -> str:
    return f"{microseconds / 1e6:.6f}".rstrip("0").rstrip(".")


def _escape(text: str) -> str:
    return text.replace('"', '""')
