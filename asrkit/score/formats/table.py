"""Transcripts in a CSV or TSV table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asrkit.data.manifest import default_utt_id
from asrkit.data.table import COLUMNS, read_rows
from asrkit.errors import ManifestError, ScoreError
from asrkit.score.formats.lines import Entry


def read_table_entries(path: Path) -> Iterator[Entry]:
    """Read a table by its header, whose columns are called as `asrkit.data.table` has them.

    There must be one for the text, and one for the id or the audio file, after which an utterance
    without an id is named.

    Raises
    ------
    ScoreError
        If a column is missing or a row is malformed.
    """
    try:
        for where, fields in read_rows(path, required=("text",)):
            utt_id, audio = fields.get("utt_id"), fields.get("audio_filepath")
            if utt_id is None and audio is not None:
                utt_id = default_utt_id(Path(audio), fields.get("offset") or 0.0)
            if not utt_id:
                names = " or ".join((*COLUMNS["utt_id"], *COLUMNS["audio_filepath"]))
                raise ScoreError(
                    f"{where}: has no utterance id; expected one in a column called {names}"
                )
            yield Entry(where, utt_id, fields.get("text") or "", fields.get("speaker") or "")
    except ManifestError as error:
        raise ScoreError(str(error)) from error
