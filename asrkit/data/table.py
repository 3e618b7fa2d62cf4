"""Utterances from a CSV or TSV table."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from asrkit.data.manifest import (
    Utterance,
    check_unique,
    read_lines,
    utterance_from_fields,
)
from asrkit.errors import ManifestError

# What columns are called, by manifest key; of several in one table the first counts.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "audio_filepath": ("audio_filepath", "path", "wav", "wav_filename"),
    "text": ("text", "transcript", "sentence"),
    "utt_id": ("utt_id", "id"),
    "speaker": ("speaker",),
    "duration": ("duration",),
    "offset": ("offset",),
}
_NUMBERS = ("duration", "offset")


def read_table(path: Path) -> list[Utterance]:
    """Read a table whose first line names its columns.

    The columns, in any order: `audio_filepath`, `path`, `wav` or `wav_filename`; `text`,
    `transcript` or `sentence`; and perhaps `utt_id` or `id`, `speaker`, `duration` and `offset` (in
    seconds). Others are ignored. An empty cell is as good as none. Audio paths and defaults are as
    in `asrkit.data.manifest.read_manifest`.

    If the first line holds a tab, the table is TSV, and quotation marks stand for themselves; else
    it is CSV, where a cell in double quotes may hold commas and line ends.

    Raises
    ------
    ManifestError
        If the table cannot be read, lacks a column or a row is malformed.
    AudioError
        If a duration is absent and the file cannot be read.
    """
    folder = path.absolute().parent
    return check_unique(
        [
            (where, utterance_from_fields(fields, folder, where))
            for where, fields in read_rows(path, required=("audio_filepath", "text"))
        ]
    )


def read_rows(path: Path, required: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give where each row of a table stands and its fields, by manifest key, as `read_table` does.

    Parameters
    ----------
    path
        The table.
    required
        Keys for which there must be a column. Any other without one is not among the fields; an
        empty cell is None.

    Raises
    ------
    ManifestError
        If the table cannot be read, lacks a column or a row is malformed.
    """
    lines = [line + "\n" for line in read_lines(path)]
    is_tsv = "\t" in lines[0]
    rows = csv.reader(
        lines,
        delimiter="\t" if is_tsv else ",",
        quoting=csv.QUOTE_NONE if is_tsv else csv.QUOTE_MINIMAL,
        strict=not is_tsv,
    )
    try:
        header = [name.strip().lower() for name in next(rows)]
        columns = _find_columns(header, path, required)
        for row in rows:
            where = f"{path}:{rows.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise ManifestError(
                    f"{where}: {len(row)} cells; expected {len(header)} as in line 1"
                )
            yield (
                where,
                {key: _parse(key, row[column].strip(), where) for key, column in columns.items()},
            )
    except csv.Error as error:
        raise ManifestError(f"{path}:{rows.line_num}: not CSV: {error}") from error


def _find_columns(header: list[str], path: Path, required: Sequence[str]) -> dict[str, int]:
    columns = {}
    for key, names in COLUMNS.items():
        present = [name for name in names if name in header]
        if present:
            columns[key] = header.index(present[0])
        elif key in required:
            raise ManifestError(
                f"{path}:1: no column for {key} among {', '.join(header)!r}; expected one called "
                f"{' or '.join(names)}"
            )
    return columns


def _parse(key: str, cell: str, where: str) -> str | float | None:
    if not cell:
        return None
    if key not in _NUMBERS:
        return cell
    try:
        return float(cell)
    except ValueError:
        raise ManifestError(f"{where}: {key} is {cell!r}; expected a number of seconds") from None
