"""A file is the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from asrkit.files import naming, remove_partial_files, write_atomically


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "größe.bin"
    write_atomically(path, b"old")
    write_atomically(path, b"new\x00")
    assert path.read_bytes() == b"new\x00"
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208


def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_disk_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    existed: list[bool] = []
    sync = os.fsync

    def watch(descriptor: int) -> None:
        existed.append(path.exists())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    write_atomically(path, b"content")
    assert existed == [False, True]  # the content, then the folder


def test_a_backup_keeps_the_file_before(tmp_path: Path) -> None:
    path, backup = tmp_path / "file", tmp_path / "backup"
    write_atomically(path, b"first", backup)
    assert not backup.exists()
    for content, before in ((b"second", b"first"), (b"third", b"second")):
        write_atomically(path, content, backup)
        assert (path.read_bytes(), backup.read_bytes()) == (content, before)


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", range(5))
def test_wherever_it_is_killed_a_whole_file_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    path, backup = tmp_path / "file", tmp_path / "backup"
    write_atomically(path, b"first", backup)
    write_atomically(path, b"second", backup)
    real, calls = getattr(os, call), iter(range(number))

    class Killed(BaseException):
        pass

    def die(*arguments: object) -> None:
        if next(calls, None) is None:
            raise Killed
        real(*arguments)

    monkeypatch.setattr(os, call, die)
    try:
        write_atomically(path, b"third", backup)
    except Killed:
        assert number < 2
    newest = (path if path.exists() else backup).read_bytes()
    assert newest in (b"second", b"third")


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.ENOSPC, True), (errno.EFBIG, True), (errno.EIO, False)]
)
def test_an_error_of_writing_names_the_file_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: bool
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        write_atomically(tmp_path / "file", b"content")
    assert caught.value.filename == str(tmp_path / "file")
    assert caught.value.errno == number
    assert ("make room there" in str(caught.value)) == remedy


def test_an_error_that_names_a_file_keeps_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, naming(tmp_path / "written"):
        (tmp_path / "read").read_bytes()
    assert caught.value.filename == str(tmp_path / "read")


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    for name in (".file.1.partial", ".file.22.partial", "archive.partial", ".hidden"):
        (tmp_path / name).touch()
    remove_partial_files(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "archive.partial"]
    remove_partial_files(tmp_path / "missing")
