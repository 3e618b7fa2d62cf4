"""Read back a dataclass that a run keeps as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from asrkit.errors import DataError

Record = TypeVar("Record")


def load_record(path: Path, kind: type[Record], remedy: str) -> Record:
    """Read a dataclass of this kind, strictly.

    Raises
    ------
    DataError
        If the file is damaged; it ends with the remedy.
    """
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        raise DataError(f"{path}: damaged: {error.errors()[0]['msg']}; {remedy}") from error
