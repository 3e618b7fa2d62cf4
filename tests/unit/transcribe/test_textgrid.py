"""TextGrids, read back by programs of other people where they are installed."""

from __future__ import annotations

import re
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.decode.hypothesis import TimedToken, TimedWord
from asrkit.transcribe.textgrid import format_textgrid

WORDS = [TimedWord('say"so"', 0.25, 0.75, 0.9), TimedWord("žluť", 0.75, 1.5, 0.5)]
TOKENS = [TimedToken("a", 0.3, 0.4, 0.5), TimedToken(" ", 0.4, 0.6, 0.5)]


def read(text: str) -> dict[str, list[tuple[float, float, str]]]:
    """Read the tiers; the labels have no line ends."""
    tiers: dict[str, list[tuple[float, float, str]]] = {}
    pattern = r'name = "(\w+)"|xmin = (\S+)\s+xmax = (\S+)\s+text = "(.*)"'
    for name, start, end, label in re.findall(pattern, text):
        if name:
            intervals = tiers[name] = []
        else:
            intervals.append((float(start), float(end), label.replace('""', '"')))
    for name, size in zip(tiers, re.findall(r"intervals: size = (\d+)", text), strict=True):
        assert len(tiers[name]) == int(size)
    return tiers


def sum_up(steps: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Turn pauses and lengths into starts and ends."""
    edges = list(accumulate((step for pair in steps for step in pair), initial=0.0))
    return list(zip(edges[1::2], edges[2::2], strict=True))


def test_tiers_cover_the_duration() -> None:
    text = format_textgrid(2.0, WORDS, TOKENS)
    assert text.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\n')
    assert read(text) == {
        "words": [(0, 0.25, ""), (0.25, 0.75, 'say"so"'), (0.75, 1.5, "žluť"), (1.5, 2.0, "")],
        "tokens": [(0, 0.3, ""), (0.3, 0.4, "a"), (0.4, 0.6, " "), (0.6, 2.0, "")],
    }
    assert 'text = "say""so"""' in text


def test_no_words() -> None:
    assert read(format_textgrid(1.5, [], [])) == {"words": [(0, 1.5, "")], "tokens": [(0, 1.5, "")]}


def test_an_end_beyond_the_audio_is_cut() -> None:
    tiers = read(format_textgrid(1.0, [TimedWord("a", 0.5, 1.01, 1.0)], []))
    assert tiers["words"] == [(0, 0.5, ""), (0.5, 1.0, "a")]


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), max_size=6).map(sum_up),
    st.floats(0.01, 5),
)
@settings(max_examples=150, deadline=None)
def test_intervals_touch_and_are_never_empty(
    bounds: list[tuple[float, float]], duration_s: float
) -> None:
    words = [TimedWord("a", start_s, end_s, 1.0) for start_s, end_s in bounds]
    (intervals, _) = read(format_textgrid(duration_s, words, [])).values()
    assert intervals[0][0] == 0
    assert intervals[-1][1] == round(duration_s, 6)
    assert all(start < end for start, end, _ in intervals)
    assert all(before[1] == after[0] for before, after in pairwise(intervals))
    long_enough = [end - start > 1e-5 and end < duration_s for start, end in bounds]
    assert sum(label == "a" for _, _, label in intervals) >= sum(long_enough)


def test_praatio_reads_it(tmp_path: Path) -> None:
    textgrid = pytest.importorskip("praatio.textgrid", reason="praatio is not installed")
    (tmp_path / "x.TextGrid").write_text(format_textgrid(2.0, WORDS, TOKENS), encoding="utf-8")
    grid = textgrid.openTextgrid(str(tmp_path / "x.TextGrid"), includeEmptyIntervals=True)
    assert (grid.minTimestamp, grid.maxTimestamp) == (0, 2.0)
    assert [tuple(entry) for entry in grid.getTier("words").entries] == [
        (0, 0.25, ""),
        (0.25, 0.75, 'say"so"'),
        (0.75, 1.5, "žluť"),
        (1.5, 2.0, ""),
    ]


def test_textgrid_reads_it(tmp_path: Path) -> None:
    textgrid = pytest.importorskip("textgrid", reason="textgrid is not installed")
    (tmp_path / "x.TextGrid").write_text(format_textgrid(2.0, WORDS, TOKENS), encoding="utf-8")
    grid = textgrid.TextGrid.fromFile(str(tmp_path / "x.TextGrid"))
    assert grid.maxTime == 2.0
    assert [tier.name for tier in grid.tiers] == ["words", "tokens"]
    assert [(i.minTime, i.maxTime, i.mark) for i in grid[0]] == [
        (0, 0.25, ""),
        (0.25, 0.75, 'say"so"'),
        (0.75, 1.5, "žluť"),
        (1.5, 2.0, ""),
    ]
