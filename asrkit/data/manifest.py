"""Utterances, and the manifests that list them."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkit.data.audio import audio_duration_s
from asrkit.errors import ManifestError
from asrkit.files import write_atomically

_OF_FILES = ("audio_filepath", "utt_id")
"""Keys that hold names of files, or are made of them."""
_MAX_S = 1e9


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch of speech and its transcript.

    Attributes
    ----------
    utt_id : str
        Unique in its manifest.
    audio_path : Path
        Absolute.
    duration_s : float
        Length in seconds, > 0.
    text : str
        The transcript; empty where there is none.
    offset_s : float
        Where it starts in the file, in seconds, >= 0.
    speaker : str
        Empty where it is not known.
    """

    utt_id: str
    audio_path: Path
    duration_s: float
    text: str
    offset_s: float = 0.0
    speaker: str = ""


def read_manifest(path: Path) -> list[Utterance]:
    """Read a manifest in JSON lines, as NeMo writes it too.

    Each line is an object with the keys `audio_filepath` (a relative path is taken from the
    manifest's folder), `text`, `duration` (seconds; read from the file if absent), `offset`
    (seconds), `utt_id` (the file's stem if absent, with `-` and the offset if there is one) and
    `speaker`. All but the first may be absent or null; other keys are ignored, blank lines too.

    Raises
    ------
    ManifestError
        If the manifest cannot be read, a line is malformed or an utterance id occurs twice.
    AudioError
        If a duration is absent and the file cannot be read.
    """
    folder = _absolute(path).parent
    return check_unique(
        [
            (where, utterance_from_fields(fields, folder, where))
            for where, fields in read_objects(path)
        ]
    )


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give where each line of a manifest stands and its JSON object, without blank lines.

    Raises
    ------
    ManifestError
        If the manifest cannot be read, or a line is no object.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"{where}: not JSON: {error}; expected one object a line") from None
        if not isinstance(fields, dict):
            raise ManifestError(f"{where}: not an object but {line.strip()[:40]!r}")
        yield where, fields


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest that `read_manifest` reads back as it was; all of it or nothing.

    Audio paths are relative where the file lies below the manifest's folder or beside it, so that
    both can be moved together, and absolute elsewhere.

    Raises
    ------
    ManifestError
        If the manifest cannot be written.
    """
    folder = _absolute(path).parent
    base = folder.as_posix()
    lines = [json.dumps(_to_fields(u, base), ensure_ascii=False) + "\n" for u in utterances]
    # A file name that is not UTF-8 holds lone surrogates; their JSON escapes look like Python's.
    content = "".join(lines).encode("utf-8", errors="backslashreplace")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be written: {error.strerror}") from error


def read_lines(path: Path) -> list[str]:
    """Read a text file in UTF-8, with or without a byte order mark, as lines.

    Raises
    ------
    ManifestError
        If it cannot be read or is not UTF-8.
    """
    try:
        return path.read_text("utf-8-sig").split("\n")
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"{path}: byte {error.start} is not UTF-8; convert the file, e.g. with iconv"
        ) from error


def default_utt_id(audio_path: Path, offset_s: float) -> str:
    """Name an utterance that has no id by its file, and by where it begins in it."""
    return f"{audio_path.stem}-{offset_s:.10g}" if offset_s else audio_path.stem


def utterance_from_fields(fields: Mapping[str, object], folder: Path, where: str) -> Utterance:
    """Make an utterance of manifest fields, with the defaults that `read_manifest` describes.

    Parameters
    ----------
    fields : mapping
        By manifest key; None is as good as absent.
    folder : Path
        Absolute; relative audio paths start here.
    where : str
        Opens error messages.

    Raises
    ------
    ManifestError
        If a field is missing or malformed.
    AudioError
        If the duration is absent and the file cannot be read.
    """
    name = _string(fields, "audio_filepath", where)
    if not name or "\0" in name:
        raise ManifestError(f"{where}: audio_filepath is {name!r}; expected the path of a file")
    audio_path = Path(os.path.normpath(os.path.join(folder, name)))  # noqa: PTH118 (much faster)
    offset_s = _seconds(fields, "offset", where) or 0.0
    duration_s = _seconds(fields, "duration", where)
    if duration_s is None:
        duration_s = audio_duration_s(audio_path) - offset_s
    if offset_s < 0 or duration_s <= 0:
        raise ManifestError(
            f"{where}: offset {offset_s} s, duration {duration_s} s; expected an offset >= 0 and "
            "below the length of the file, and a duration > 0"
        )
    utt_id = _string(fields, "utt_id", where) or default_utt_id(audio_path, offset_s)
    if "\t" in utt_id or len(utt_id.splitlines()) != 1:
        raise ManifestError(f"{where}: utt_id {utt_id!r} holds a tab or a line end; remove it")
    text, speaker = _string(fields, "text", where), _string(fields, "speaker", where)
    return Utterance(utt_id, audio_path, duration_s, text, offset_s, speaker)


def check_unique(numbered: Iterable[tuple[str, Utterance]]) -> list[Utterance]:
    """Return the utterances of (where, utterance) pairs, whose ids must differ.

    Raises
    ------
    ManifestError
        If two have the same id.
    """
    first: dict[str, str] = {}
    utterances = []
    for where, utterance in numbered:
        if utterance.utt_id in first:
            raise ManifestError(
                f"{where}: utt_id {utterance.utt_id!r} is also that of {first[utterance.utt_id]}; "
                "give each utterance an id of its own"
            )
        first[utterance.utt_id] = where
        utterances.append(utterance)
    return utterances


def _absolute(path: Path) -> Path:
    """Remove `..` as it is written, without following links, in reading as in writing."""
    return Path(os.path.normpath(path.absolute()))


def _to_fields(utterance: Utterance, folder: str) -> dict[str, object]:
    fields: dict[str, object] = {
        "utt_id": utterance.utt_id,
        "audio_filepath": _relative_if_near(utterance.audio_path, folder),
        "duration": utterance.duration_s,
        "text": utterance.text,
    }
    if utterance.offset_s:
        fields["offset"] = utterance.offset_s
    if utterance.speaker:
        fields["speaker"] = utterance.speaker
    return fields


def _relative_if_near(audio_path: Path, folder: str) -> str:
    name = audio_path.as_posix()
    # Nothing is below the root folder here, as `//` starts no path: it is nobody's neighbourhood.
    for base, way in ((folder, ""), (posixpath.dirname(folder), "../")):
        if name.startswith(f"{base}/"):
            return way + name[len(base) + 1 :]
    return name


def _string(fields: Mapping[str, object], key: str, where: str) -> str:
    """Give a string; a number, as ids often are in JSON, becomes one."""
    value = fields.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ManifestError(f"{where}: {key} is {value!r}; expected a string")
    text = str(value)
    try:  # a name of a file that is not UTF-8 holds lone surrogates, as Python has it
        text.encode(errors="surrogateescape" if key in _OF_FILES else "strict")
    except UnicodeEncodeError as error:
        raise ManifestError(
            f"{where}: {key} is {text!r}; expected Unicode text, but it has half a character "
            f"({error.reason}); remove it"
        ) from None
    return text


def _seconds(fields: Mapping[str, object], key: str, where: str) -> float | None:
    value = fields.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _MAX_S:
        raise ManifestError(f"{where}: {key} is {value!r}; expected a number of seconds")
    return float(value)
