"""`asrkit align` as it is used from a shell."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrkit.score.reading import read_transcripts


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory, say_in_tones: Callable) -> Path:
    """Two recordings, their texts and a manifest of them."""
    folder = tmp_path_factory.mktemp("speech")
    soundfile.write(folder / "talk.wav", say_in_tones("ab ca"), 16000)
    (folder / "talk.txt").write_text("Ab,\n  ca\n")
    stereo = np.stack([say_in_tones("b cc", 44100)] * 2, axis=1)
    soundfile.write(folder / "b.flac", stereo, 44100)
    lines = [
        {"audio_filepath": "talk.wav", "text": "Ab, ca"},
        {"audio_filepath": "b.flac", "text": "b cc", "utt_id": "deep/b"},
    ]
    (folder / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def align(asrkit, model: Path, speech: Path) -> Callable:
    def run(*arguments: str | Path, folder: Path = speech):
        return asrkit("align", "--model", model, *arguments, folder=folder)

    return run


def test_json(align) -> None:
    done = align("talk.wav", "talk.txt")
    assert done.returncode == 0
    assert done.stderr == (
        "asrkit: talk.wav: spelled: 1 letter in the other case; left out: , (1)\n"
    )
    content = json.loads(done.stdout)
    assert (content["utt_id"], content["text"], content["duration"]) == ("talk", "Ab, ca", 0.64)
    assert [word["word"] for word in content["words"]] == ["Ab,", "ca"]
    assert [token["token"] for token in content["tokens"]] == list("ab ca")
    for word, first, last in zip(content["words"], (0, 3), (1, 4), strict=True):
        assert word["start_s"] == pytest.approx(0.04 + 0.12 * first, abs=0.031)
        assert word["end_s"] == pytest.approx(0.12 + 0.12 * last, abs=0.031)
        assert 0.5 < word["probability"] <= 1.0


def test_ctm_and_textgrid(align) -> None:
    rows = [line.split(" ") for line in align("all.jsonl", "--format", "ctm").stdout.splitlines()]
    assert [[row[0], row[4]] for row in rows] == [
        ["talk", "Ab,"],
        ["talk", "ca"],
        ["deep/b", "b"],
        ["deep/b", "cc"],
    ]
    done = align("talk.wav", "talk.txt", "--format", "textgrid")
    assert done.stdout.startswith('File type = "ooTextFile"')
    assert 'text = "Ab,"' in done.stdout


def test_subtitles_of_words_as_they_are_written(align) -> None:
    srt = align("talk.wav", "talk.txt", "--format", "srt").stdout
    number, span, *text = srt.split("\n")
    assert (number, text) == ("1", ["Ab, ca", "", ""])
    assert align("talk.wav", "talk.txt", "--format", "vtt").stdout == (
        f"WEBVTT\n\n{span.replace(',', '.')}\nAb, ca\n"
    )


def test_a_manifest_into_a_folder(align, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    done = align("all.jsonl", "--out", out, "--format", "json,ctm, textgrid")
    assert (done.returncode, done.stdout) == (0, "")
    assert "asrkit: deep/b: 44100 Hz stereo -> 16000 Hz mono\n" in done.stderr
    assert {path.relative_to(out).as_posix() for path in out.rglob("*")} == {
        *("talk.json", "talk.ctm", "talk.TextGrid"),
        *("deep_b.json", "deep_b.ctm", "deep_b.TextGrid"),
    }
    assert read_transcripts(out / "deep_b.json").texts == {"deep/b": "b cc"}


def test_failures_among_others(align, speech: Path, tmp_path: Path) -> None:
    whole = (speech / "talk.wav").read_bytes()
    (tmp_path / "half.wav").write_bytes(whole[: len(whole) // 2])
    lines = [
        {"audio_filepath": "gone.wav", "text": "ab"},
        {"audio_filepath": str(speech / "talk.wav"), "text": "ab 5", "utt_id": "digit"},
        {"audio_filepath": "half.wav", "text": "ab", "duration": 0.64},
        {"audio_filepath": str(speech / "talk.wav"), "text": "ab ca", "utt_id": "good"},
        {"audio_filepath": str(speech / "talk.wav"), "text": "ab ca " * 20, "utt_id": "long"},
    ]
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, lines)))
    done = align("all.jsonl", "--format", "ctm", folder=tmp_path)
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["good", "good"]
    gone, digit, half, long, summary = done.stderr.splitlines()
    assert gone.startswith("asrkit: all.jsonl:1: ")
    assert gone.endswith("gone.wav: cannot be read: No such file or directory")
    assert digit.startswith("asrkit: digit: the model has no token for '5' (U+0035) in '5'; expe")
    assert "half.wav: truncated: " in half
    assert long.startswith("asrkit: long: 119 tokens with 0 repeats need 119 frames but the model")
    assert summary == "asrkit: 4 of 5 failed: all.jsonl:1, digit, half, long"


def test_one_failure(align) -> None:
    done = align("gone.wav", "talk.txt")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "asrkit: gone.wav: cannot be read: No such file or directory\n"
        "asrkit: 1 of 1 failed: gone.wav\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("talk.wav",), "talk.wav: its text is missing; expected `asrkit align AUDIO TEXT`"),
        (("all.jsonl", "talk.txt"), "all.jsonl: a manifest holds its texts"),
        (("talk.wav", "talk.txt", "--format", "tsv"), "tsv: unknown; expected json or srt or vtt"),
        (("talk.wav", "talk.txt", "--format", "json,ctm"), "several formats need --out DIR"),
        (("all.jsonl", "--format", "textgrid"), "several need --out DIR"),
        (("all.jsonl", "--format", "vtt"), "several need --out DIR"),
    ],
)
def test_usage(align, arguments: tuple[str, ...], message: str) -> None:
    done = align(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_text_that_cannot_be_read(align) -> None:
    done = align("talk.wav", "gone.txt")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "asrkit: gone.txt: cannot be read: No such file or directory\n"


def test_a_file_that_is_no_model(align) -> None:
    done = align("talk.wav", "talk.txt", "--model", "talk.wav")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("asrkit: talk.wav: not a readable model file")


def test_transcribe_writes_these_formats_and_more(
    asrkit, model: Path, speech: Path, tmp_path
) -> None:
    command = ("transcribe", "--model", model, "talk.wav", "b.flac")
    rows = asrkit(*command, "--format", "ctm", folder=speech).stdout.splitlines()
    assert [row.split()[::4][:2] for row in rows] == [
        ["talk", "ab"],
        ["talk", "ca"],
        ["b", "b"],
        ["b", "cc"],
    ]
    for one_a_file in ("textgrid", "srt", "vtt", "tsv"):
        done = asrkit(*command, "--format", one_a_file, folder=speech)
        assert (done.returncode, done.stdout) == (2, "")
        assert "several need --out DIR" in done.stderr
    every = "txt,json,srt,vtt,tsv,ctm,stm,textgrid"
    done = asrkit(*command, "--format", every, "--out", tmp_path, folder=speech)
    assert done.returncode == 0
    suffixes = [*every.split(",")[:-1], "TextGrid"]
    names = {f"{name}.{suffix}" for name in ("talk", "b") for suffix in suffixes}
    assert {path.name for path in tmp_path.glob("[!.]*")} == names
    assert 'text = "cc"' in (tmp_path / "b.TextGrid").read_text()
    for suffix in ("srt", "vtt", "tsv", "stm"):
        assert "b cc\n" in (tmp_path / f"b.{suffix}").read_text()
