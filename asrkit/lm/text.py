"""Text as a stream of whole lines: plain, compressed, of manifests, or from standard input."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import BinaryIO, cast

from asrkit.data.manifest import read_manifest
from asrkit.errors import LanguageModelError

STANDARD_INPUT = Path("-")

_BYTES_AT_ONCE = 1 << 22
_OPENERS: dict[bytes, Callable[..., object]] = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"BZh": bz2.open,
}


@dataclass(frozen=True, slots=True)
class Lines:
    """Some whole lines of a file.

    Attributes
    ----------
    content : bytes
        Valid UTF-8, without the last line's end.
    where : str
        The file.
    first : int
        Number of the first line, from 1.
    bytes_read : int
        How much of the file, as it is on disk, has been read so far.
    """

    content: bytes
    where: str
    first: int
    bytes_read: int

    def line_of(self, position: int) -> int:
        """Give the number of the line in which a byte of the content stands."""
        return self.first + self.content.count(b"\n", 0, position)


@contextmanager
def open_text(path: Path) -> Iterator[BinaryIO]:
    """Open a file, or standard input for `-`, decompressed by what its first bytes say.

    Raises
    ------
    LanguageModelError
        If the file is missing or a folder, or its compressed content is damaged.
    """
    with _open_counted(path) as (file, _):
        yield file


def read_lines(path: Path) -> Iterator[Lines]:
    """Read a file, or standard input for `-`, in pieces of some megabytes.

    A line ends with a line feed; the last one need not. A byte order mark is left out. Of a
    manifest (`.jsonl`) the transcripts are the lines.

    Raises
    ------
    LanguageModelError
        If the file cannot be read or is not UTF-8; the message names the line.
    ManifestError
        If a manifest is none.
    """
    if path.suffix == ".jsonl":
        transcripts = "\n".join(utterance.text for utterance in read_manifest(path))
        yield Lines(transcripts.encode(), str(path), first=1, bytes_read=path.stat().st_size)
        return
    with _open_counted(path) as (file, position):
        first, pending = 1, []
        while chunk := file.read(_BYTES_AT_ONCE):
            end = chunk.rfind(b"\n")
            if end < 0:
                pending.append(chunk)
                continue
            lines = _checked(b"".join([*pending, chunk[:end]]), path, first, position())
            yield lines
            first = lines.line_of(len(lines.content)) + 1
            pending = [chunk[end + 1 :]]
        rest = b"".join(pending)
        if rest:
            yield _checked(rest, path, first, position())


def _checked(content: bytes, path: Path, first: int, bytes_read: int) -> Lines:
    if first == 1:
        content = content.removeprefix(codecs.BOM_UTF8)
    lines = Lines(content, _name(path), first, bytes_read)
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise LanguageModelError(
            f"{lines.where}:{lines.line_of(error.start)}: byte 0x{content[error.start]:02x} is no "
            "UTF-8; expected text in UTF-8; convert the file"
        ) from None
    return lines


def _name(path: Path) -> str:
    return "standard input" if path == STANDARD_INPUT else str(path)


@contextmanager
def _open_counted(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
    """Open a file, and tell how much of it, as it is on disk, has been read."""
    try:
        with nullcontext(sys.stdin.buffer) if path == STANDARD_INPUT else path.open("rb") as raw:
            yield _decompress(raw), raw.tell if raw.seekable() else lambda: 0
    except FileNotFoundError:
        raise LanguageModelError(f"{path}: no such file; expected a text or a model") from None
    except IsADirectoryError:
        raise LanguageModelError(f"{path}: a folder; expected a file") from None
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the file system speaks for itself
        raise LanguageModelError(
            f"{_name(path)}: damaged or cut short: {error}; expected a whole compressed file"
        ) from error


def _decompress(raw: BinaryIO) -> BinaryIO:
    buffered = raw if isinstance(raw, BufferedReader) else BufferedReader(cast(RawIOBase, raw))
    start = buffered.peek(8)
    for magic, opener in _OPENERS.items():
        if start.startswith(magic):
            return cast(BinaryIO, opener(buffered))
    return buffered
