"""Transcripts in each format; what is common to alignments is seen in the end-to-end tests."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from asrkit.decode.hypothesis import Hypothesis
from asrkit.model_file import Recognizer
from asrkit.score.reading import read_transcripts
from asrkit.settings import DecodeSettings
from asrkit.transcribe.inputs import Source
from asrkit.transcribe.pipeline import Segment, Transcript, transcribe
from asrkit.transcribe.writers import (
    WRITERS,
    suffix_of,
    to_ctm,
    to_json,
    to_srt,
    to_stm,
    to_textgrid,
    to_tsv,
    to_txt,
    to_vtt,
)

EMPTY = Transcript(
    Source(Path("/in/été.wav"), Path("sub/été"), "in/été.wav"),
    1.2345678,
    "",
    Hypothesis("", "char", (), -1.5),
    (),
)


@pytest.fixture
def transcript(tone_recognizer: Recognizer, say) -> Transcript:
    (result,) = transcribe(tone_recognizer, [say("x.wav", "ab ca")], DecodeSettings(), 10.0)
    assert isinstance(result, Transcript)
    return result


def test_txt(transcript: Transcript) -> None:
    assert to_txt(transcript) == "ab ca\n"
    assert to_txt(EMPTY) == "\n"


def test_json_has_words_with_times(transcript: Transcript) -> None:
    content = json.loads(to_json(transcript))
    assert content["text"] == "ab ca"
    assert [word["word"] for word in content["words"]] == ["ab", "ca"]
    # Letters are 80 ms long and 120 ms apart, the first begins after 40 ms; a frame sees 25 ms.
    for word, first, last in zip(content["words"], [0, 3], [1, 4], strict=True):
        assert word["start_s"] == pytest.approx(0.04 + 0.12 * first, abs=0.03)
        assert word["end_s"] == pytest.approx(0.12 + 0.12 * last, abs=0.03)
        assert 0.5 < word["probability"] <= 1.0
    assert [token["token"] for token in content["tokens"]] == list("ab ca")


def test_json_names_the_file() -> None:
    line = to_json(EMPTY)
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert json.loads(line) == {
        "utt_id": "sub/été",
        "audio_filepath": "in/été.wav",
        "duration": 1.234568,
        "text": "",
        "unit": "char",
        "tokens": [],
        "log_prob": -1.5,
        "words": [],
        "segments": [],
    }
    assert "été" in line


def in_two(transcript: Transcript) -> Transcript:
    """Make it of two segments; the text of the first has what a column must not hold."""
    texts = ["ab\tor\nso", "ca"]
    hypotheses = [replace(transcript.hypothesis, text=text) for text in texts]
    edges_s = pairwise([0.0, 0.3126, transcript.duration_s])
    segments = (Segment(*edges, each) for edges, each in zip(edges_s, hypotheses, strict=True))
    return replace(transcript, segments=tuple(segments))


def test_json_has_segments(transcript: Transcript) -> None:
    (segment,) = json.loads(to_json(transcript))["segments"]
    assert segment == {"start_s": 0.0, "end_s": transcript.duration_s, "text": "ab ca"}
    segments = json.loads(to_json(in_two(transcript)))["segments"]
    assert [segment["start_s"] for segment in segments] == [0.0, 0.3126]
    assert [segment["text"] for segment in segments] == ["ab\tor\nso", "ca"]


def test_json_has_the_alternatives_of_segments(transcript: Transcript) -> None:
    best = replace(transcript.hypothesis, alternatives=(Hypothesis("ad", "char", (), -9.0),))
    several = replace(transcript, segments=(Segment(0.0, 0.5, best),))
    (segment,) = json.loads(to_json(several))["segments"]
    assert segment["alternatives"] == [
        {"text": "ad", "unit": "char", "tokens": [], "log_prob": -9.0}
    ]


def test_tsv(transcript: Transcript) -> None:
    text = to_tsv(in_two(transcript))
    end_ms = str(round(1000 * transcript.duration_s))
    assert list(csv.DictReader(text.splitlines(), delimiter="\t")) == [
        {"start": "0", "end": "313", "text": "ab or so"},
        {"start": "313", "end": end_ms, "text": "ca"},
    ]
    assert to_tsv(EMPTY) == "start\tend\ttext\n"


def test_stm(transcript: Transcript) -> None:
    rows = [line.split(" ", 5) for line in to_stm(in_two(transcript)).splitlines()]
    assert [row[:3] + row[5:] for row in rows] == [
        ["x", "1", "x", "ab or so"],
        ["x", "1", "x", "ca"],
    ]
    assert [float(row[4]) for row in rows] == [0.313, round(transcript.duration_s, 3)]
    assert to_stm(EMPTY) == ""


def test_subtitles(transcript: Transcript) -> None:
    start_ms = round(1000 * transcript.hypothesis.words[0].start_s)
    span = f"00:00:00.{start_ms:03} --> 00:00:01.{start_ms:03}"
    assert to_vtt(transcript) == f"WEBVTT\n\n{span}\nab ca\n"
    assert to_srt(transcript) == f"1\n{span.replace('.', ',')}\nab ca\n\n"
    assert (to_vtt(EMPTY), to_srt(EMPTY)) == ("WEBVTT\n", "")


def test_json_can_be_scored(transcript: Transcript, tmp_path: Path) -> None:
    path = tmp_path / "hyp.jsonl"
    path.write_text(to_json(transcript) + to_json(EMPTY), encoding="utf-8")
    assert read_transcripts(path).texts == {"x": "ab ca", "sub/été": ""}


def test_ctm_and_textgrid(transcript: Transcript) -> None:
    words = transcript.hypothesis.words
    rows = [line.split() for line in to_ctm(transcript).splitlines()]
    assert [(row[0], row[4]) for row in rows] == [("x", "ab"), ("x", "ca")]
    assert [float(row[2]) for row in rows] == [word.start_s for word in words]
    grid = to_textgrid(transcript)
    assert grid.count(f"xmax = {transcript.duration_s:g}\n") >= 3  # the file's and each tier's
    assert [grid.count(f'text = "{word}"') for word in ("ab", "ca", "a")] == [1, 1, 2]
    assert to_ctm(EMPTY) == ""
    assert to_textgrid(EMPTY).count("intervals: size = 1\n") == 2


def test_suffixes() -> None:
    names = ["txt", "json", "srt", "vtt", "tsv", "ctm", "stm", "TextGrid"]
    assert [suffix_of(name) for name in WRITERS] == names
