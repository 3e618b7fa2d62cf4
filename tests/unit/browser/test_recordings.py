"""Where the audio of utterances lies."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrkit.browser.recordings import Recording, is_manifest, read_recordings, to_flac
from asrkit.data.audio import Audio
from asrkit.errors import AudioError, ManifestError


def write(path: Path, *objects: dict) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in objects), encoding="utf-8")
    return path


def test_of_a_manifest(tmp_path: Path) -> None:
    manifest = write(
        tmp_path / "m.jsonl",
        {
            "utt_id": "a",
            "audio_filepath": "x.wav",
            "duration": 2.0,
            "offset": 1.5,
            "speaker": "ann",
        },
        {"audio_filepath": str(tmp_path / "y.wav"), "text": "no duration"},
        {"utt_id": "text only", "text": "a"},
    )
    assert is_manifest(manifest)
    assert read_recordings(manifest) == {
        "a": Recording(tmp_path / "x.wav", 1.5, 2.0, "ann"),
        "y": Recording(tmp_path / "y.wav", 0.0, None, ""),
    }


def test_a_missing_file_is_found_when_it_is_read(tmp_path: Path) -> None:
    recording = read_recordings(write(tmp_path / "m.jsonl", {"audio_filepath": "x.wav"}))["x"]
    with pytest.raises(AudioError, match=r"x\.wav: cannot be read"):
        recording.read(16000)
    soundfile.write(tmp_path / "x.wav", np.zeros(8000), 8000)
    assert len(recording.read(16000).samples) == 16000


@pytest.mark.parametrize("content", ["utt_1 some words\n", "", "[1]\n", '{"utt_id": "a"}\n', "{\n"])
def test_what_is_no_manifest(tmp_path: Path, content: str) -> None:
    path = tmp_path / "text"
    path.write_text(content)
    assert not is_manifest(path)


def test_malformed(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="names no audio"):
        read_recordings(write(tmp_path / "m.jsonl", {"utt_id": "a", "text": "b"}))
    with pytest.raises(ManifestError, match=r"m\.jsonl:1: offset is 'x'"):
        read_recordings(write(tmp_path / "m.jsonl", {"audio_filepath": "a.wav", "offset": "x"}))
    twice = {"utt_id": "a", "audio_filepath": "a.wav"}
    with pytest.raises(ManifestError, match="give each utterance an id"):
        read_recordings(write(tmp_path / "m.jsonl", twice, twice))


def test_flac_keeps_16_bits() -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, 4000).astype(np.float32) / 32768
    read, rate_hz = soundfile.read(io.BytesIO(to_flac(Audio(samples, 8000))), dtype="float32")
    assert rate_hz == 8000
    np.testing.assert_array_equal(read, samples)
