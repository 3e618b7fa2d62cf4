"""Unpack a tar archive that somebody else has made."""

from __future__ import annotations

import errno
import gzip
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from asrkit.errors import DataError

_MAX_RATIO, _SLACK_BYTES = 100, 1 << 20
"""What an archive may unpack to, by its size: a disk is filled by a few kilobytes of holes."""
_DAMAGE = (
    *(tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError),
    # A header that declares what cannot be.
    *(ValueError, OverflowError, MemoryError),
)
_OF_THE_ARCHIVE = (
    None,  # bz2's own
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ),
)
"""Of an `OSError`: content or names are wrong, not the disk."""


def unpack(archive: Path, into: Path, folder: str, show: Callable[[str, float], None]) -> None:
    """Unpack an archive so that one of its folders is there as a whole or not at all.

    Only the names and contents of files are taken from the archive, not their modes and owners.

    Parameters
    ----------
    archive
        A tar file, compressed or not.
    into
        Where to.
    folder
        What the archive must hold, e.g. `LibriSpeech/dev-clean`. It appears below `into` last;
        files outside it that are there already stay as they are.
    show
        Is told what is being done and the share, 0 to 1, that is done.

    Raises
    ------
    DataError
        If the archive is damaged, lacks the folder, holds anything but files and folders below its
        own root (absolute paths, `..`, links, devices), or unpacks to a hundred times its size.
    """
    staging = into / f".{archive.name}.unpacking"
    shutil.rmtree(staging, ignore_errors=True)  # of an interrupted call
    try:
        _unpack_all(archive, staging, show)
        if not (staging / folder).is_dir():
            raise DataError(f"{archive}: holds no {folder}; it is another archive than expected")
        for path in sorted(staging.rglob("*")):
            target = into / path.relative_to(staging)
            if path.is_file() and not path.is_relative_to(staging / folder) and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
        (into / folder).parent.mkdir(parents=True, exist_ok=True)
        (staging / folder).rename(into / folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _unpack_all(archive: Path, into: Path, show: Callable[[str, float], None]) -> None:
    size = archive.stat().st_size
    left, last = _MAX_RATIO * size + _SLACK_BYTES, -1
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:*") as tar:
            for member in tar:
                if member.size < 0 or member.offset <= last:  # tarfile would go round in circles
                    raise tarfile.ReadError(f"{member.name!r} lies before what precedes it")
                last = member.offset
                left -= member.size
                if left < 0:
                    raise DataError(
                        f"{archive}: unpacks to more than {_MAX_RATIO} times its {size} bytes; "
                        "nothing of it was kept; do not use it"
                    )
                path = into / _safe_path(archive, member)
                if member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                content = tar.extractfile(member)
                if content is not None:  # it is a file
                    with content, path.open("wb") as target:
                        shutil.copyfileobj(content, target)
                show(f"unpacking {archive.name}", file.tell() / size)
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _OF_THE_ARCHIVE:
            raise
        raise DataError(f"{archive}: damaged: {error}; delete it and fetch it again") from error


def _safe_path(archive: Path, member: tarfile.TarInfo) -> PurePosixPath:
    """Where a member lies below the root, or an error."""
    path = PurePosixPath(member.name)
    kind = "a file" if member.isfile() else "a folder" if member.isdir() else "a link or device"
    if path.is_absolute() or ".." in path.parts or kind == "a link or device":
        raise DataError(
            f"{archive}: holds {member.name!r}, {kind}; expected files and folders below its own "
            "root only; nothing of it was kept; do not use it"
        )
    return path
