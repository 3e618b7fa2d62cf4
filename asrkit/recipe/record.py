"""Keep a dataclass as JSON in a run, and read it back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from asrkit.errors import DataError
from asrkit.files import write_atomically

Record = TypeVar("Record")


def save_record(path: Path, record: Any) -> None:
    """Write a dataclass for `load_record`."""
    write_atomically(path, json.dumps(asdict(record), indent=1, ensure_ascii=False).encode())


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
