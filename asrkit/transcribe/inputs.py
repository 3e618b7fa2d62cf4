"""What a user names on the command line, as a list of audio files."""

from __future__ import annotations

import glob
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asrkit.errors import UsageError

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".sph", ".nist"}
    # Speech, but not in a format that can be read: it fails by name and is not passed over.
    | {".m4a", ".mp4", ".aac", ".webm", ".wma", ".mkv", ".mov", ".amr", ".caf", ".w64"}
)


@dataclass(frozen=True)
class Source:
    """An audio file to transcribe."""

    path: Path
    name: Path
    """Where its transcripts go below an output folder, without a suffix."""
    label: str
    """What to call it in messages."""


def find_sources(arguments: Sequence[str], spool: Path) -> list[Source]:
    """Resolve files, folders (searched for audio, recursively), glob patterns and `-`, in order.

    Standard input (`-`) is copied into the folder `spool`. A file named twice is taken once. A file
    that does not exist is kept: it becomes a failure of its own when it is read. What is found in a
    folder is named by its place below it, or, of several folders, below what they have in common.

    Raises
    ------
    UsageError
        If an argument is empty, or a folder or pattern holds no audio.
    OSError
        If a folder cannot be searched.
    """
    # os.path where pathlib would raise: a name too long for the file system is no folder either.
    folders = {os.path.abspath(each) for each in arguments if each and os.path.isdir(each)}  # noqa: PTH100, PTH112
    top = os.path.commonpath(folders) if folders else ""
    sources: dict[Path, Source] = {}
    for argument in arguments:
        for source in _find(argument, top, spool):
            sources.setdefault(source.path.absolute(), source)
    return list(sources.values())


def _find(argument: str, top: str, spool: Path) -> list[Source]:
    path = Path(argument)
    if not argument:
        raise UsageError("transcribe: an input is empty; expected a file, folder, pattern or -")
    if argument == "-":
        return [_standard_input(spool)]
    if os.path.isdir(argument):  # noqa: PTH112
        below = _find_audio(path)
        if not below:
            raise UsageError(
                f"{path}: the folder holds no audio; expected files ending in "
                f"{' '.join(sorted(AUDIO_SUFFIXES))}"
            )
        return [_source(p, Path(os.path.relpath(p, top)).with_suffix("")) for p in below]
    if glob.has_magic(argument) and not os.path.exists(argument):  # noqa: PTH110
        matches = [Path(match) for match in sorted(glob.glob(argument, recursive=True))]  # noqa: PTH207
        files = [match for match in matches if not match.is_dir()]
        if not files:
            raise UsageError(f"{argument}: no file matches the pattern")
        return [_source(file, Path(file.stem)) for file in files]
    return [_source(path, Path(path.stem))]


def _find_audio(folder: Path) -> list[Path]:
    """Search a folder and all below it; one that cannot be read is an error, not empty."""

    def fail(error: OSError) -> None:
        raise error

    found = [
        Path(parent) / name
        for parent, _, names in os.walk(folder, onerror=fail)
        for name in names
        if Path(name).suffix.lower() in AUDIO_SUFFIXES
    ]
    return sorted(found)


def _standard_input(folder: Path) -> Source:
    """Copy standard input into a file in `folder`, since audio readers need to seek."""
    path = folder / "stdin"
    if not path.exists():  # `-` a second time is the same sound
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    return Source(path, Path("stdin"), "-")


def _source(path: Path, name: Path) -> Source:
    return Source(path, name, str(path))


def check_distinct_names(sources: Sequence[Source]) -> None:
    """Refuse sources whose transcripts would overwrite each other in an output folder."""
    by_name: dict[Path, Path] = {}
    for source in sources:
        other = by_name.setdefault(source.name, source.path)
        if other != source.path:
            raise UsageError(
                f"{source.path}: its transcript would be written over that of {other}; "
                "give each an --out of its own or, if they lie in two folders, name the one above"
            )
