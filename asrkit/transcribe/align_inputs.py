"""What a user wants aligned: a recording and its text, or all of a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asrkit.data.manifest import check_unique, read_lines, read_objects, utterance_from_fields
from asrkit.errors import AudioError, ManifestError, UsageError
from asrkit.transcribe.inputs import AUDIO_SUFFIXES

_MANIFEST_SUFFIXES = (".jsonl", ".json")


@dataclass(frozen=True, slots=True)
class Recording:
    """A stretch of audio and the text that is said in it."""

    label: str
    """What to call it in messages."""
    utt_id: str
    audio_path: Path
    text: str
    offset_s: float = 0.0
    duration_s: float | None = None
    """None is to the end of the file."""
    speaker: str = ""

    @property
    def file_name(self) -> str:
        """Name of its files in an output folder, without a suffix: the id, as one file name."""
        name = "".join("_" if character in "/\\\0" else character for character in self.utt_id)
        return f"_{name[1:]}" if name.startswith(".") else name


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A recording of a manifest that is known to fail, and why."""

    label: str
    message: str


def find_recordings(audio_or_manifest: Path, text: Path | None) -> list[Recording | Unreadable]:
    """Pair an audio file with a text file; without that, read a manifest.

    Raises
    ------
    UsageError
        If there is neither a text nor a manifest, or two recordings would be written to one file.
    ManifestError
        If the text or the manifest cannot be read, or a line of the manifest is malformed.
    """
    path = audio_or_manifest
    if text is not None:
        if path.suffix.lower() in _MANIFEST_SUFFIXES:
            raise UsageError(
                f"{path}: a manifest holds its texts; expected no TEXT after it, or audio before it"
            )
        if text.suffix.lower() in _MANIFEST_SUFFIXES:
            raise UsageError(f"{text}: a manifest names its audio; expected no AUDIO before it")
        if text.suffix.lower() in AUDIO_SUFFIXES:
            raise UsageError(f"{text}: audio; expected AUDIO first, and then its TEXT")
        said = "\n".join(read_lines(text))
        if not said.split():
            raise ManifestError(f"{text}: holds no words; expected what is said in {path}")
        return [Recording(str(path), path.stem, path, said)]
    if path.suffix.lower() not in _MANIFEST_SUFFIXES:
        raise UsageError(
            f"{path}: its text is missing; expected `asrkit align AUDIO TEXT`, or a manifest "
            "(.jsonl) that holds the texts"
        )
    recordings = _read_manifest(path)
    _check_file_names(path, [each for each in recordings if isinstance(each, Recording)])
    if not recordings:
        raise ManifestError(f"{path}: lists no recordings; expected one object a line")
    return recordings


def _read_manifest(path: Path) -> list[Recording | Unreadable]:
    """Read a manifest as `read_manifest` does, but make audio that cannot be opened one failure."""
    folder = path.absolute().parent
    recordings: list[Recording | Unreadable] = []
    numbered = []
    for where, fields in read_objects(path):
        try:
            utterance = utterance_from_fields(fields, folder, where)
        except AudioError as error:
            recordings.append(Unreadable(where, f"{where}: {error}"))
            continue
        numbered.append((where, utterance))
        if "text" not in fields:
            message = f"{utterance.utt_id}: {where}: has no text; expected what is said, as text"
            recordings.append(Unreadable(utterance.utt_id, message))
            continue
        recordings.append(
            Recording(
                utterance.utt_id,
                utterance.utt_id,
                utterance.audio_path,
                utterance.text,
                utterance.offset_s,
                utterance.duration_s,
                utterance.speaker,
            )
        )
    check_unique(numbered)
    return recordings


def _check_file_names(path: Path, recordings: Sequence[Recording]) -> None:
    by_name: dict[str, str] = {}
    for recording in recordings:
        other = by_name.setdefault(recording.file_name, recording.utt_id)
        if other != recording.utt_id:
            raise UsageError(
                f"{path}: {recording.utt_id!r} would be written over {other!r}; give it another id"
            )
