"""Recordings and their texts as users name them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrkit.errors import ManifestError, UsageError
from asrkit.transcribe.align_inputs import Recording, Unreadable, find_recordings


def write_manifest(folder: Path, *lines: dict[str, object]) -> Path:
    path = folder / "all.jsonl"
    path.write_text("\n\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_audio_and_text(tmp_path: Path) -> None:
    text = tmp_path / "talk.txt"
    text.write_bytes("\ufeffFirst line\nžluť\n".encode())
    (recording,) = find_recordings(Path("in/talk.wav"), text)
    assert isinstance(recording, Recording)
    assert (recording.label, recording.utt_id) == ("in/talk.wav", "talk")
    assert recording.text.split() == ["First", "line", "žluť"]
    assert (recording.offset_s, recording.duration_s) == (0.0, None)


def test_text_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"gone.txt: cannot be read: No such file"):
        find_recordings(Path("talk.wav"), tmp_path / "gone.txt")
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(ManifestError, match=r"empty.txt: holds no words; expected what is said in"):
        find_recordings(Path("talk.wav"), tmp_path / "empty.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ManifestError, match=r"latin.txt: byte 3 is not UTF-8"):
        find_recordings(Path("talk.wav"), tmp_path / "latin.txt")


def test_what_is_no_pair_and_no_manifest() -> None:
    with pytest.raises(UsageError, match=r"talk.wav: its text is missing; expected `asrkit align"):
        find_recordings(Path("talk.wav"), None)
    with pytest.raises(UsageError, match=r"all.jsonl: a manifest holds its texts"):
        find_recordings(Path("all.jsonl"), Path("talk.txt"))
    with pytest.raises(UsageError, match=r"all.jsonl: a manifest names its audio; expected no AUD"):
        find_recordings(Path("talk.wav"), Path("all.jsonl"))
    with pytest.raises(UsageError, match=r"talk.opus: audio; expected AUDIO first, and then its T"):
        find_recordings(Path("talk.txt"), Path("talk.opus"))


def test_manifest(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "b.wav", np.zeros(8000), 16000)
    path = write_manifest(
        tmp_path,
        {"audio_filepath": "a.wav", "text": "x y", "duration": 2, "offset": 1, "utt_id": "s/1"},
        {"audio_filepath": "gone.wav", "text": "x"},
        {"audio_filepath": "b.wav", "text": "z", "speaker": "ann"},
    )
    first, gone, last = find_recordings(path, None)
    assert first == Recording("s/1", "s/1", tmp_path / "a.wav", "x y", 1.0, 2.0)
    assert isinstance(first, Recording)
    assert first.file_name == "s_1"
    assert last == Recording("b", "b", tmp_path / "b.wav", "z", 0.0, 0.5, "ann")
    assert isinstance(gone, Unreadable)
    assert gone.message.startswith(f"{path}:3: {tmp_path / 'gone.wav'}: cannot be read")


def test_a_line_without_a_text(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "b.wav", np.zeros(8000), 16000)
    path = write_manifest(
        tmp_path,
        {"audio_filepath": "b.wav", "txt": "z"},
        {"audio_filepath": "b.wav", "text": "z", "utt_id": "c"},
    )
    without, good = find_recordings(path, None)
    assert isinstance(without, Unreadable)
    assert "has no text; expected what is said, as text" in without.message
    assert isinstance(good, Recording)


def test_an_id_stays_in_the_output_folder() -> None:
    for utt_id in ("../../x", "/etc/x", "a\\b", "x\0y", ".."):
        name = Recording("x", utt_id, Path("a.wav"), "").file_name
        assert Path("out", f"{name}.json").parent == Path("out")
        assert not {"/", "\\", "\0"} & set(name)


def test_ids_that_would_share_a_file(tmp_path: Path) -> None:
    lines = [
        {"audio_filepath": "a.wav", "text": "x", "duration": 2, "utt_id": utt_id}
        for utt_id in ("s/1", "s_1")
    ]
    with pytest.raises(UsageError, match="'s_1' would be written over 's/1'; give it another id"):
        find_recordings(write_manifest(tmp_path, *lines), None)
    with pytest.raises(ManifestError, match="utt_id 's/1' is also that of"):
        find_recordings(write_manifest(tmp_path, lines[0], lines[0]), None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lists no recordings"),
        ("no json", ":1: not JSON"),
        ("[1]", ":1: not an object"),
        ('{"text": "x"}', ":1: audio_filepath is ''"),
    ],
)
def test_bad_manifests(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "all.jsonl").write_text(content)
    with pytest.raises(ManifestError, match=message):
        find_recordings(tmp_path / "all.jsonl", None)
