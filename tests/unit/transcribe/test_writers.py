"""Transcripts as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asrkit.decode.hypothesis import Hypothesis
from asrkit.model_file import Recognizer
from asrkit.score.reading import read_transcripts
from asrkit.settings import DecodeSettings
from asrkit.transcribe.inputs import Source
from asrkit.transcribe.pipeline import Transcript, transcribe
from asrkit.transcribe.writers import WRITERS, suffix_of, to_ctm, to_json, to_textgrid, to_txt

EMPTY = Transcript(
    Source(Path("/in/été.wav"), Path("sub/été"), "in/été.wav"),
    1.2345678,
    "",
    Hypothesis("", "char", (), -1.5),
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
    }
    assert "été" in line


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
    assert [suffix_of(name) for name in WRITERS] == ["txt", "json", "ctm", "TextGrid"]
