"""Archives that others have made: whole, or nothing; and nothing outside their folder."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from asrkit.data.unpack import unpack
from asrkit.errors import DataError

GOOD = {
    "corpus/README": b"read me",
    "corpus/dev/1/a.flac": b"sound",
    "corpus/dev/1/a.txt": b"text",
}


def pack(path: Path, files: dict[str, bytes], others: Iterable[tarfile.TarInfo] = ()) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in others:
            tar.addfile(member)
    return path


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def nothing(stage: str, share: float) -> None:
    """Show no progress."""


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_all_of_it_is_there_and_nothing_else(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar.gz", GOOD, [member("corpus/dev/empty", tarfile.DIRTYPE)])
    into = tmp_path / "into"
    shown: list[tuple[str, float]] = []
    unpack(archive, into, "corpus/dev", lambda *stage_and_share: shown.append(stage_and_share))
    assert contents(into) == GOOD
    assert (into / "corpus/dev/empty").is_dir()
    assert sorted(path.name for path in into.iterdir()) == ["corpus"]
    assert {stage for stage, _ in shown} == {"unpacking a.tar.gz"}
    assert 0 < shown[0][1] <= shown[-1][1] <= 1


def test_what_lies_beside_the_folder_already_stays(tmp_path: Path) -> None:
    into = tmp_path / "into"
    (into / "corpus" / "train").mkdir(parents=True)
    (into / "corpus" / "README").write_bytes(b"of another part")
    (into / "corpus" / "train" / "b").write_bytes(b"other")
    unpack(pack(tmp_path / "a.tar.gz", GOOD), into, "corpus/dev", nothing)
    assert contents(into) == GOOD | {
        "corpus/README": b"of another part",
        "corpus/train/b": b"other",
    }


@pytest.mark.parametrize(
    "bad",
    [
        member("../evil", tarfile.REGTYPE),
        member("corpus/dev/../../../evil", tarfile.REGTYPE),
        member("/tmp/asrkit-evil", tarfile.REGTYPE),
        member("../evil", tarfile.DIRTYPE),
        member("corpus/dev/evil", tarfile.SYMTYPE, "/etc/passwd"),
        member("corpus/dev/evil", tarfile.SYMTYPE, "1"),
        member("corpus/dev/evil", tarfile.LNKTYPE, "corpus/README"),
        member("corpus/dev/evil", tarfile.FIFOTYPE),
        member("corpus/dev/evil", tarfile.CHRTYPE),
    ],
    ids=lambda info: f"{info.name}-{info.type.decode()}",
)
def test_what_could_reach_outside_is_refused(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    into = tmp_path / "deep" / "into"
    archive = pack(tmp_path / "a.tar.gz", GOOD, [bad])
    with pytest.raises(DataError, match="expected files and folders below its own root") as caught:
        unpack(archive, into, "corpus/dev", nothing)
    assert repr(bad.name) in str(caught.value)
    assert contents(tmp_path) == {"a.tar.gz": archive.read_bytes()}
    assert not Path("/tmp/asrkit-evil").exists()


@pytest.mark.parametrize("kept", [0, 10, 100])
def test_a_truncated_archive(tmp_path: Path, kept: int) -> None:
    archive = pack(tmp_path / "a.tar.gz", GOOD)
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"a\.tar\.gz: damaged: "):
        unpack(archive, tmp_path / "into", "corpus/dev", nothing)
    assert contents(tmp_path / "into") == {}


def test_another_archive(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar.gz", {"corpus/train/b": b"other"})
    with pytest.raises(DataError, match="holds no corpus/dev; it is another archive"):
        unpack(archive, tmp_path / "into", "corpus/dev", nothing)
    assert contents(tmp_path / "into") == {}


def test_the_remains_of_an_interrupted_call_are_cleared_away(tmp_path: Path) -> None:
    into = tmp_path / "into"
    (into / ".a.tar.gz.unpacking" / "corpus" / "dev").mkdir(parents=True)
    (into / ".a.tar.gz.unpacking" / "corpus" / "dev" / "half").write_bytes(b"ha")
    unpack(pack(tmp_path / "a.tar.gz", GOOD), into, "corpus/dev", nothing)
    assert contents(into) == GOOD
