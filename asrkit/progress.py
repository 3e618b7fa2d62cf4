"""Progress on standard error: a bar with an estimate on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
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


class AudioProgress(StderrProgress):
    """A bar over seconds of audio, of which those of a file may be heard piece by piece."""

    def __init__(self, description: str) -> None:
        super().__init__(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[heard]}")
        )
        self._task = self._bar.add_task(description, total=None, heard="")
        self._durations_s: Mapping[str, float] = {}
        self._total_s = self._finished_s = 0.0
        self._heard_s: defaultdict[str, float] = defaultdict(float)

    @property
    def is_shown(self) -> bool:
        """Whether there is anybody to see it."""
        return not self._bar.disable

    def expect(self, durations_s: Mapping[str, float]) -> None:
        """Set the files that there are, and how long they are."""
        self._durations_s = durations_s
        self._total_s = sum(durations_s.values())
        self._bar.update(self._task, total=self._total_s)
        self._show()

    def advance(self, name: str, seconds: float) -> None:
        """Count seconds of a file as heard."""
        self._heard_s[name] += seconds
        self._show()

    def finish(self, name: str) -> None:
        """Count a file as done, whatever of it was heard."""
        self._heard_s.pop(name, None)
        self._finished_s += self._durations_s.get(name, 0.0)
        self._show()

    def _show(self) -> None:
        heard_s = self._finished_s + sum(self._heard_s.values())
        heard = f"{timedelta(seconds=round(heard_s))} of {timedelta(seconds=round(self._total_s))}"
        self._bar.update(self._task, completed=heard_s, heard=heard)
