"""A folder of transcripts knows which of them are of the run that is resumed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from asrkit.errors import UsageError
from asrkit.settings import DecodeSettings
from asrkit.transcribe.inputs import Source
from asrkit.transcribe.output_folder import RECORD_NAME, OutputFolder, describe_run

SUFFIXES = {"txt": "txt", "textgrid": "TextGrid"}
MADE_WITH = {"model": "abc", "nbest": 1, "decode": {"method": "beam", "beam_size": 8}}


@pytest.fixture
def folder(tmp_path: Path) -> OutputFolder:
    return OutputFolder(tmp_path / "out", SUFFIXES)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    (tmp_path / "a.b.wav").touch()
    set_age(tmp_path / "a.b.wav", 1000)
    return Source(tmp_path / "a.b.wav", Path("sub/a.b"), "a.b.wav")


def set_age(path: Path, seconds: float) -> None:
    moment = path.parent.stat().st_mtime - seconds
    os.utime(path, (moment, moment))


def write(folder: OutputFolder, source: Source, *names: str) -> None:
    for name in names:
        path = folder.path(source, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def test_paths_mirror_the_input(folder: OutputFolder, source: Source, tmp_path: Path) -> None:
    assert folder.path(source, "txt") == tmp_path / "out" / "sub" / "a.b.txt"
    assert folder.path(source, "textgrid").name == "a.b.TextGrid"


def test_a_source_is_there_when_all_its_files_are(folder: OutputFolder, source: Source) -> None:
    folder.begin(MADE_WITH)
    assert not folder.has(source)
    write(folder, source, "txt")
    assert not folder.has(source)
    write(folder, source, "textgrid")
    assert folder.has(source)
    folder.begin(MADE_WITH, resume=True)
    assert folder.has(source)


def test_what_changed_since_is_not_there(folder: OutputFolder, source: Source) -> None:
    folder.begin(MADE_WITH)
    write(folder, source, *SUFFIXES)
    set_age(source.path, -60)
    assert not folder.has(source)
    source.path.unlink()
    assert not folder.has(source)


def test_files_of_an_earlier_run_are_not_there(folder: OutputFolder, source: Source) -> None:
    folder.begin(MADE_WITH)
    write(folder, source, *SUFFIXES)
    for name in SUFFIXES:
        set_age(folder.path(source, name), 10)
    folder.begin({**MADE_WITH, "model": "new"})
    assert not folder.has(source)


def test_files_of_unknown_origin_are_not_there(folder: OutputFolder, source: Source) -> None:
    write(folder, source, *SUFFIXES)
    for name in SUFFIXES:
        set_age(folder.path(source, name), 10)
    folder.begin(MADE_WITH, resume=True)
    assert not folder.has(source)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": "x"}, "model"),
        ({"decode": {"method": "greedy", "beam_size": 8}}, "decode.method"),
        ({"nbest": 2, "decode": {"method": "beam", "beam_size": 9}}, "nbest, decode.beam_size"),
        ({"decode": {"method": "beam", "beam_size": 8, "lm": ""}}, "decode.lm"),
    ],
)
def test_another_run_cannot_be_resumed(folder: OutputFolder, change: dict, named: str) -> None:
    folder.begin(MADE_WITH)
    with pytest.raises(UsageError, match=rf"made with other settings: {named}; expected the same"):
        folder.begin({**MADE_WITH, **change}, resume=True)
    folder.begin({**MADE_WITH, **change})
    folder.begin({**MADE_WITH, **change}, resume=True)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"{}"])
def test_a_damaged_record(folder: OutputFolder, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / RECORD_NAME).write_bytes(content)
    with pytest.raises(UsageError, match=r"leave out --resume to transcribe all anew"):
        folder.begin(MADE_WITH, resume=True)


def test_a_run_is_described_by_content_not_place(tmp_path: Path) -> None:
    for name, content in {"m.asr": "1", "n.asr": "1", "o.asr": "2", "x.lm": "5"}.items():
        (tmp_path / name).write_text(content)
    plain = DecodeSettings()
    m, n, o = (
        describe_run(tmp_path / name, "float32", plain, 1) for name in ("m.asr", "n.asr", "o.asr")
    )
    assert m == n != o
    assert json.loads(json.dumps(m)) == m
    with_lm = DecodeSettings(method="beam", lm=str(tmp_path / "x.lm"), hotwords=("a", "b"))
    before = describe_run(tmp_path / "m.asr", "float32", with_lm, 1)
    assert json.loads(json.dumps(before)) == before
    (tmp_path / "x.lm").write_text("6")
    after = describe_run(tmp_path / "m.asr", "float32", with_lm, 1)
    assert before["decode"] != after["decode"]
