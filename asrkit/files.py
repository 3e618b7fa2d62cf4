"""Write a file so that a reader finds the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_atomically(path: Path, content: bytes, backup: Path | None = None) -> None:
    """Replace `path` by `content`; after a crash or a full disk the old file still stands.

    Where a `backup` is given, the old file is kept there.
    """
    with open_atomically(path, backup) as file:
        file.write(content)


@contextmanager
def open_atomically(path: Path, backup: Path | None = None) -> Iterator[BinaryIO]:
    """Open a file to be written piece by piece that replaces `path` when all went well.

    Where a `backup` is given, what `path` held before is kept there. A process that is killed
    between the two renames leaves no `path`, but the backup.

    Raises
    ------
    OSError
        If it cannot be written; it names `path` and, where the disk is full, what to do.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with naming(path), partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if backup is not None and path.exists():
            path.replace(backup)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    if os.name == "posix":  # the rename itself must survive a power cut
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name a file in the errors of writing it, where the system leaves the name out."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        reason = os.strerror(error.errno)
        if error.errno in _NO_ROOM:
            reason += (
                "; nothing is lost of what was complete before; make room there and repeat the "
                "command, a training with --resume"
            )
        raise OSError(error.errno, reason, str(path)) from error


def remove_partial_files(folder: Path) -> None:
    """Remove what processes that were killed while they wrote left in a folder."""
    for partial in folder.glob(".*.partial"):
        partial.unlink(missing_ok=True)
