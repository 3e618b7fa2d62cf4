"""A folder of transcripts: where each file goes, and which are there from a run before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from asrkit.decode.fusion_settings import DECODE_FILES
from asrkit.errors import UsageError
from asrkit.files import write_atomically
from asrkit.model_file import sha256_of
from asrkit.settings import DecodeSettings
from asrkit.transcribe.inputs import Source

RECORD_NAME = ".asrkit-transcribe.json"


def describe_run(
    model: Path, precision: str, settings: DecodeSettings, nbest: int
) -> dict[str, object]:
    """Tell what decides a transcript besides the audio; files by their content, not their place."""
    decode: dict[str, object] = settings.model_dump(mode="json")
    for name in DECODE_FILES:
        if decode[name]:
            decode[name] = sha256_of(Path(str(decode[name])))
    model_is = {"model": sha256_of(model), "precision": precision}
    return {**model_is, "nbest": nbest, "decode": decode}


class OutputFolder:
    """Holds one file a source and format, each written whole or not at all, and a record.

    The record says what made the transcripts. It is written when a run begins and left alone when
    that is resumed, so a file that is older than the record is of an earlier run.

    Parameters
    ----------
    folder
    suffixes
        That of each format, without a dot.
    """

    def __init__(self, folder: Path, suffixes: Mapping[str, str]) -> None:
        self._folder, self._suffixes = folder, suffixes
        self._record = folder / RECORD_NAME

    def path(self, source: Source, format_name: str) -> Path:
        """Say where the transcript of a source goes."""
        file_name = f"{source.name.name}.{self._suffixes[format_name]}"
        return self._folder / source.name.with_name(file_name)

    def begin(self, made_with: Mapping[str, object], *, resume: bool = False) -> None:
        """Begin a run, for which all that is in the folder is old, or resume the one before.

        Raises
        ------
        UsageError
            If the run to be resumed was made with something else.
        """
        if resume and self._record.exists():
            self._check(made_with)
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._record, json.dumps(made_with, indent=1).encode() + b"\n")

    def _check(self, made_with: Mapping[str, object]) -> None:
        try:
            before = json.loads(self._record.read_bytes())
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"{self._record}: damaged: {error}; leave out --resume to transcribe all anew"
            ) from error
        if before != made_with:
            different = ", ".join(_differences(before, made_with)) or "all"
            raise UsageError(
                f"--resume: the transcripts in {self._folder} were made with other settings: "
                f"{different}; expected the same; repeat what was given then, leave out --resume "
                "to transcribe all anew, or give another --out"
            )

    def has(self, source: Source) -> bool:
        """Say whether this run has written all files of a source, since that last changed."""
        try:
            changed_ns = max(path.stat().st_mtime_ns for path in (source.path, self._record))
            return all(
                self.path(source, name).stat().st_mtime_ns >= changed_ns for name in self._suffixes
            )
        except OSError:
            return False


def _differences(before: object, now: Mapping[str, object]) -> list[str]:
    """Name what differs, the settings of decoding each by itself."""
    if not isinstance(before, dict):
        return []
    names = []
    for name, value in now.items():
        was = before.get(name)
        if isinstance(value, dict) and isinstance(was, dict):
            names += [f"{name}.{inner}" for inner in _differences(was, value)]
        elif was != value:
            names.append(name)
    return names
