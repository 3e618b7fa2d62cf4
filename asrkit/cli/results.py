"""What commands share that write files or give a result for each of many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import typer

from asrkit.errors import EXIT_SOME_FAILED, UsageError
from asrkit.files import write_atomically

Writer = TypeVar("Writer")


def choose_writers(
    formats: str, out: Path | None, known: Mapping[str, Writer]
) -> dict[str, Writer]:
    """Find the writers of comma-separated formats."""
    names = [name.strip() for name in formats.split(",")]
    for name in names:
        if name not in known:
            raise UsageError(f"--format {name}: unknown; expected {' or '.join(known)}")
    if out is None and len(names) > 1:
        raise UsageError(f"--format {formats}: several formats need --out DIR")
    return {name: known[name] for name in names}


def check_fits_stdout(formats: Iterable[str], num_files: int) -> None:
    """Refuse to print results of several files in a format that has room for one."""
    from asrkit.transcribe.writers import ONE_A_FILE

    for name in formats:
        if num_files > 1 and name in ONE_A_FILE:
            raise UsageError(
                f"--format {name}: its files hold one recording each; several need --out DIR"
            )


def check_out_file(out: Path) -> None:
    """Refuse the name of a file that cannot be written before the work is done."""
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out}: no folder {out.parent}; expected one; create it")
    if out.is_dir():
        raise UsageError(f"{out}: a folder; expected the name of a file")


@contextmanager
def resumable(*, says_so: bool = True) -> Iterator[None]:
    """Say of what is interrupted inside the block how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if says_so:
            typer.echo("asrkit: interrupted; repeat the command with --resume to go on", err=True)
        raise


def write_result(path: Path, text: str) -> None:
    """Write a file, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # What is not UTF-8 in a file name are lone surrogates; JSON escapes them as Python does.
    write_atomically(path, text.encode("utf-8", "backslashreplace"))


def exit_if_any_failed(labels: Sequence[str], num_files: int) -> None:
    """Name the files that failed, if any, and end the command with the exit code for it."""
    if labels:
        typer.echo(
            f"asrkit: {len(labels)} of {num_files} failed: {', '.join(labels)}",
            err=True,
        )
        raise typer.Exit(EXIT_SOME_FAILED)
