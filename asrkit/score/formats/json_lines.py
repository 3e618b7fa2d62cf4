"""Transcripts as JSON lines: manifests, and what asrkit writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from asrkit.data.manifest import default_utt_id
from asrkit.errors import ScoreError
from asrkit.score.formats.lines import Entry, Line

# A trn line may begin with the brace of `{ a / b }`.
_OBJECT_BEGINS = re.compile(r'\s*\{\s*["}]')


def looks_like_json(line: Line) -> bool:
    """Tell a line that begins as a JSON object does."""
    return _OBJECT_BEGINS.match(line.text) is not None


def parse_json_lines(lines: Iterable[Line]) -> Iterator[Entry]:
    """Read an object a line, with `utt_id`, `text` and perhaps `speaker`; other keys are ignored.

    Without `utt_id` the id is that of a manifest: made of `audio_filepath` and `offset`.

    Raises
    ------
    ScoreError
        If a line is no such object.
    """
    for line in lines:
        yield _parse(line)


def _parse(line: Line) -> Entry:
    try:
        record = json.loads(line.text)
    except (ValueError, RecursionError) as error:  # too deep, or a number of too many digits
        raise ScoreError(
            f"{line.where}: not valid JSON: {error}; expected an object a line"
        ) from error
    if not isinstance(record, dict):
        raise ScoreError(f"{line.where}: not a JSON object; expected one with utt_id and text")
    utt_id, text = record.get("utt_id"), record.get("text")
    if utt_id is None and isinstance(record.get("audio_filepath"), str):
        utt_id = default_utt_id(Path(record["audio_filepath"]), _offset_s(record, line.where))
    if isinstance(utt_id, int) and not isinstance(utt_id, bool):
        utt_id = str(utt_id)
    for key, value in (("utt_id", utt_id), ("text", text)):
        if not isinstance(value, str):
            raise ScoreError(f"{line.where}: {key} is {value!r}; expected a string")
    speaker = record.get("speaker", "")
    if not isinstance(speaker, str):
        raise ScoreError(f"{line.where}: speaker is {speaker!r}; expected a string")
    if not utt_id:
        raise ScoreError(f"{line.where}: utt_id is empty; expected the id of the utterance")
    return Entry(line.where, str(utt_id), str(text), speaker)


def _offset_s(record: dict[str, object], where: str) -> float:
    offset = record.get("offset")
    try:
        return float(offset) if isinstance(offset, int | float) else 0.0
    except OverflowError as error:
        raise ScoreError(f"{where}: offset: {error}; expected a number of seconds") from error
