"""Lines of a file, each with where it stands, and the utterances found in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from asrkit.errors import ScoreError, UsageError


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file, without its line end."""

    where: str
    """`file:number`, to open error messages."""
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An utterance as a file has it."""

    where: str
    utt_id: str
    text: str
    speaker: str = ""
    hypothesis: str | None = None
    """What was recognised, where a file holds that beside `text`, the reference."""


def read_lines(path: Path) -> list[Line]:
    """Read a text file in UTF-8, with or without a byte order mark; blank lines are lines too.

    Raises
    ------
    UsageError
        If the file cannot be read.
    ScoreError
        If it is not UTF-8.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScoreError(f"{path}: not a UTF-8 text file: {error}") from error
    # Not splitlines(): a JSON string may hold U+2028 and its like as they are.
    return [
        Line(f"{path}:{number}", text) for number, text in enumerate(content.split("\n"), start=1)
    ]


def without_comments(lines: Iterable[Line]) -> list[Line]:
    """Leave out the comments of NIST's formats: lines that begin with `;;`."""
    return [line for line in lines if not line.text.lstrip().startswith(";;")]
