"""Progress on standard error: a bar with an estimate on a terminal, nothing elsewhere."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class StderrProgress:
    """A bar of some columns, the time taken and the time left; a context manager.

    Parameters
    ----------
    columns
        What stands before the times.
    visible
        Whether this process shows anything.
    """

    def __init__(self, *columns: ProgressColumn, visible: bool = True) -> None:
        console = Console(stderr=True, quiet=not visible)
        self._bar = Progress(
            *columns,
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)


class CountProgress(StderrProgress):
    """A bar over a known number of items."""

    def __init__(self, description: str, total: int) -> None:
        super().__init__(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._task = self._bar.add_task(description, total=total)

    def advance(self, count: int = 1) -> None:
        """Count items as done."""
        self._bar.advance(self._task, count)


class ShareProgress(StderrProgress):
    """A bar over work of which the share that is done is known."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %")
        )
        self._task = self._bar.add_task("", total=1.0)

    def show(self, stage: str, share: float) -> None:
        """Say what is being done, and the share of all work, 0 to 1, that is done."""
        self._bar.update(self._task, description=stage, completed=share)
