"""CTM lines, read back by a program of other people where it is installed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from asrkit.decode.hypothesis import TimedWord
from asrkit.transcribe.ctm import format_ctm


def test_a_line_a_word() -> None:
    words = [TimedWord("it’s", 0.03, 0.1 + 0.2, 0.98765), TimedWord("žluť,", 3599.97, 3600.0, 1.0)]
    assert format_ctm("talk", words) == (
        "talk 1 0.030 0.270 it’s 0.9877\ntalk 1 3599.970 0.030 žluť, 1.0000\n"
    )


def test_neighbours_neither_overlap_nor_part() -> None:
    edges_s = [0.0005 * n for n in range(1, 40, 3)]
    words = [TimedWord("a", start, end, 0.5) for start, end in pairwise(edges_s)]
    rows = [line.split() for line in format_ctm("x", words).splitlines()]
    ends = [round(float(row[2]) + float(row[3]), 3) for row in rows]
    assert ends[:-1] == [float(row[2]) for row in rows[1:]]


def test_columns_stay_columns() -> None:
    (line,) = format_ctm("my\ttalk one", [TimedWord("a", 0, 1, 0.5)]).splitlines()
    assert line.split() == ["my_talk_one", "1", "0.000", "1.000", "a", "0.5000"]


def test_no_words() -> None:
    assert format_ctm("x", []) == ""


def test_meeteval_reads_it(tmp_path: Path) -> None:
    meeteval = pytest.importorskip("meeteval.io", reason="meeteval is not installed")
    words = [TimedWord("it’s", 0.03, 0.3, 0.98765), TimedWord("žluť,", 3599.97, 3600.0, 1.0)]
    (tmp_path / "x.ctm").write_text(format_ctm("my talk", words), encoding="utf-8")
    found = [
        (x.filename, float(x.begin_time), float(x.duration), x.word, float(x.confidence))
        for x in meeteval.CTM.load(tmp_path / "x.ctm")
    ]
    assert found == [
        ("my_talk", 0.03, 0.27, "it’s", 0.9877),
        ("my_talk", 3599.97, 0.03, "žluť,", 1.0),
    ]
