"""The metrics of a run as a stream of JSON lines, mirrored to TensorBoard where it is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from asrkit.errors import TrainingError
from asrkit.files import naming

_FILE = "metrics.jsonl"
_BOARD = "tensorboard"


class MetricsLog:
    """Append events to `metrics.jsonl`; a context manager.

    Parameters
    ----------
    folder
        Of the run. TensorBoard events go into `tensorboard/` below it.
    keep_bytes
        What the file holds beyond these bytes was written after the checkpoint the run resumes
        from. It is cut off, so that the stream of a resumed run has no event twice. Of a file
        that has lost some of these bytes the whole lines are kept.
    first_step
        Of this session: TensorBoard drops what it had from there on.
    enabled
        Whether this process writes at all.
    mirror
        A stream that gets a copy of every line, or None.
    """

    def __init__(
        self,
        folder: Path,
        keep_bytes: int,
        first_step: int = 0,
        enabled: bool = True,
        mirror: TextIO | None = None,
    ) -> None:
        self._file: BinaryIO | None = None
        self._mirror = mirror
        self._board: Any = None
        if not enabled:
            return
        self._path = folder / _FILE
        self._file = self._path.open("ab")
        if not holds_metrics(folder, keep_bytes):
            keep_bytes = self._path.read_bytes()[:keep_bytes].rfind(b"\n") + 1
        self._file.truncate(keep_bytes)
        self._file.seek(keep_bytes)
        if importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415

            self._board = SummaryWriter(str(folder / _BOARD), purge_step=first_step)

    def __enter__(self) -> MetricsLog:
        self._say_of_threads = threading.excepthook
        if self._board is not None:
            # Its thread hands an error on to the next call; its traceback would come first.
            threading.excepthook = self._leave_out_errors_of_files
        return self

    def _leave_out_errors_of_files(self, error: threading.ExceptHookArgs) -> None:
        if not isinstance(error.exc_value, OSError):
            self._say_of_threads(error)

    def __exit__(self, *exception: object) -> None:
        threading.excepthook = self._say_of_threads
        try:
            if self._board is not None:
                with naming(self._path.with_name(_BOARD)):
                    self._board.close()
        finally:
            if self._file is not None:
                with naming(self._path):
                    self._file.close()

    def write(
        self, event: str, step: int, values: Mapping[str, float | int | str | Sequence[str]]
    ) -> None:
        """Append one event; numbers also become TensorBoard scalars `event/name`."""
        if self._file is None:
            return
        line = json.dumps({"event": event, "step": step, **values})
        with naming(self._path):
            self._file.write(line.encode() + b"\n")
        if self._mirror is not None:
            print(line, file=self._mirror, flush=True)
        if self._board is not None:
            with naming(self._path.with_name(_BOARD)):
                for name, value in values.items():
                    if isinstance(value, int | float):
                        self._board.add_scalar(f"{event}/{name}", value, step)

    def flush(self) -> int:
        """Bring everything to disk; return the length of the file in bytes."""
        if self._file is None:
            return 0
        with naming(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._file.tell()


def holds_metrics(folder: Path, num_bytes: int) -> bool:
    """Whether the first `num_bytes` of a run's metrics are there and end with a line's end."""
    if num_bytes == 0:
        return True
    try:
        with (folder / _FILE).open("rb") as file:
            file.seek(num_bytes - 1)
            return file.read(1) == b"\n"
    except FileNotFoundError:
        return False


def read_metrics(folder: Path, event: str) -> list[dict[str, Any]]:
    """Read the events of one kind, in order; an incomplete last line is left out.

    Raises
    ------
    TrainingError
        If a line is damaged.
    """
    path = folder / _FILE
    if not path.is_file():
        return []
    # `write` puts the event first: only the lines asked for are parsed, since steps are many.
    beginning = f'{{"event": {json.dumps(event)},'.encode()
    events = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        if line.startswith(beginning):
            try:
                events.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise TrainingError(
                    f"{path}:{number}: damaged: {error}; expected an event, a JSON object; remove "
                    "the line"
                ) from error
    return events
