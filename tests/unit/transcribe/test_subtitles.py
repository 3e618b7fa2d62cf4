"""SubRip and WebVTT, read back by programs of other people where they are installed."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from io import StringIO

import pytest

from asrkit.transcribe.cues import Cue
from asrkit.transcribe.subtitles import format_srt, format_vtt

CUES = [
    Cue(0, 1000, ("tom & jerry <b> --> it",)),
    Cue(61_001, 62_500, ("1984", "été")),
    Cue(359_999_999, 360_001_000, ("x",)),
]
SPAN = r"(\d{2,}):([0-5]\d):([0-5]\d)[,.](\d{3})"


def milliseconds(clock: str) -> int:
    hours, minutes, seconds, thousandths = map(int, re.fullmatch(SPAN, clock).groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths


def read(blocks: list[str], point: str) -> list[Cue]:
    cues = []
    for block in blocks:
        span, *lines = block.removesuffix("\n").split("\n")
        start, end = span.split(" --> ")
        assert start[-4] == end[-4] == point
        cues.append(Cue(milliseconds(start), milliseconds(end), tuple(lines)))
    return cues


def test_srt() -> None:
    text = format_srt(CUES)
    assert text.startswith("1\n00:00:00,000 --> 00:00:01,000\ntom & jerry <b> --> it\n\n2\n")
    blocks = text.removesuffix("\n\n").split("\n\n")
    numbers, blocks = zip(*(block.split("\n", 1) for block in blocks), strict=True)
    assert numbers == ("1", "2", "3")
    assert read(list(blocks), ",") == CUES


def test_vtt() -> None:
    text = format_vtt(CUES)
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n")
    escaped, *others = read(text.removesuffix("\n").split("\n\n")[1:], ".")
    assert escaped.lines == ("tom &amp; jerry &lt;b&gt; --&gt; it",)
    assert others == CUES[1:]


def test_no_cues() -> None:
    assert format_srt([]) == ""
    assert format_vtt([]) == "WEBVTT\n"


def test_srt_reads_it() -> None:
    srt = pytest.importorskip("srt", reason="srt is not installed")
    subtitles = list(srt.parse(format_srt(CUES), ignore_errors=False))
    assert [subtitle.index for subtitle in subtitles] == [1, 2, 3]
    millisecond = timedelta(milliseconds=1)
    found = [
        Cue(s.start // millisecond, s.end // millisecond, tuple(s.content.split("\n")))
        for s in subtitles
    ]
    assert found == CUES
    assert list(srt.parse(format_srt([]))) == []


def test_webvtt_reads_both() -> None:
    webvtt = pytest.importorskip("webvtt", reason="webvtt-py is not installed")
    for text, file_format in ((format_vtt(CUES), "vtt"), (format_srt(CUES[1:]), "srt")):
        captions = webvtt.from_buffer(StringIO(text), format=file_format, strict=True)
        found = [
            Cue(milliseconds(c.start), milliseconds(c.end), tuple(unescape(c.text).split("\n")))
            for c in captions
        ]
        assert found == CUES[-len(found) :]
    assert webvtt.from_string(format_vtt([]), strict=True).captions == []
