"""STM lines, read back by a program of other people where it is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrkit.decode.hypothesis import Hypothesis
from asrkit.transcribe.pipeline import Segment
from asrkit.transcribe.stm import format_stm

SEGMENTS = [
    Segment(start_s, end_s, Hypothesis(text, "char", (), -1.0))
    for start_s, end_s, text in [
        (0.0, 12.3456, "it’s  žluť,"),
        (12.3456, 13.0, ""),
        (3600.0, 3601.5, "yes"),
    ]
]


def test_a_line_a_segment() -> None:
    assert format_stm("talk", SEGMENTS) == (
        "talk 1 talk 0.000 12.346 it’s žluť,\n"
        "talk 1 talk 12.346 13.000\n"
        "talk 1 talk 3600.000 3601.500 yes\n"
    )
    assert format_stm("talk", []) == ""


def test_columns_stay_columns() -> None:
    (line,) = format_stm("my\ttalk one", SEGMENTS[2:]).splitlines()
    assert line.split() == ["my_talk_one", "1", "my_talk_one", "3600.000", "3601.500", "yes"]


def test_a_first_word_is_not_taken_for_a_label() -> None:
    noise = Segment(0.0, 1.5, Hypothesis("<noise> yes", "char", (), -1.0))
    assert format_stm("talk", [noise]) == "talk 1 talk 0.000 1.500 <O> <noise> yes\n"


def test_meeteval_reads_it(tmp_path: Path) -> None:
    meeteval = pytest.importorskip("meeteval.io", reason="meeteval is not installed")
    (tmp_path / "x.stm").write_text(format_stm("my talk", SEGMENTS), encoding="utf-8")
    found = [
        (x.filename, x.speaker_id, float(x.begin_time), float(x.end_time), x.transcript)
        for x in meeteval.STM.load(tmp_path / "x.stm")
    ]
    assert found == [
        ("my_talk", "my_talk", 0.0, 12.346, "it’s žluť,"),
        ("my_talk", "my_talk", 12.346, 13.0, ""),
        ("my_talk", "my_talk", 3600.0, 3601.5, "yes"),
    ]
