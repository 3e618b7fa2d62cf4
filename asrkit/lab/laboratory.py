"""Carry out the trials of a laboratory recipe, and keep what came of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from rich.progress import BarColumn, TextColumn

from asrkit.errors import DataError
from asrkit.files import write_atomically
from asrkit.lab.tasks.catalogue import make_task
from asrkit.lab.trial import Result, Trial, carry_out
from asrkit.lab_settings import LabSettings
from asrkit.progress import StderrProgress

TRIALS = "trials.jsonl"


def list_trials(settings: LabSettings, first_seed: int) -> list[Trial]:
    """List the trials of a recipe in their order: experiments, cells, methods, seeds."""
    return [
        Trial(experiment, cell, method, first_seed + number)
        for experiment in settings.experiment
        if not settings.only or experiment.name in settings.only
        for cell in (experiment.quick_cells if settings.quick else experiment.cells)
        for method in experiment.methods
        for number in range(1 if settings.quick else experiment.seeds or settings.seeds)
    ]


class Laboratory:
    """The trials of a recipe in a run folder.

    Parameters
    ----------
    trials
        What is to be tried.
    folder
        Of the run. Results are kept there in `trials.jsonl`, by a digest of all that they depend
        on; those there already are taken over.
    """

    def __init__(self, trials: list[Trial], folder: Path) -> None:
        self.trials = trials
        self._path = folder / TRIALS
        self._results = _read_results(self._path)

    def results(self) -> Iterator[tuple[Trial, Result]]:
        """Give the trials that are done, in order."""
        return ((t, self._results[t.key]) for t in self.trials if t.key in self._results)

    def run(self, report: Callable[[Trial, Result], None] | None = None) -> None:
        """Carry out what is not done; `report` hears of each result, old ones too, in order."""
        # Networks this small lose time to threads, and one thread computes the same everywhere.
        num_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with _LabProgress(self.trials) as progress:
                for trial in self.trials:
                    progress.begin(trial)
                    if trial.key not in self._results:
                        self._results[trial.key] = carry_out(trial, progress.advance)
                        self._write()
                        progress.say(_describe(trial, self._results[trial.key]))
                    progress.end(trial)
                    if report is not None:
                        report(trial, self._results[trial.key])
        finally:
            torch.set_num_threads(num_threads)

    def _write(self) -> None:
        lines = [
            json.dumps({"key": key, **result.to_dict()}) for key, result in self._results.items()
        ]
        write_atomically(self._path, "".join(f"{line}\n" for line in lines).encode())


def _read_results(path: Path) -> dict[str, Result]:
    if not path.exists():
        return {}
    results = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            values = json.loads(line)
            key = values.pop("key")
            results[key] = Result.from_dict(values)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{path}, line {number}: damaged: {error!r}; delete the line, and its trial is "
                "carried out anew"
            ) from error
    return results


def _describe(trial: Trial, result: Result) -> str:
    outcome = "solved after" if result.solved else f"not solved ({result.found}) by"
    return f"{trial.name}: {outcome} {result.num_sequences} sequences, {result.duration_s:.0f} s"


class _LabProgress(StderrProgress):
    """A bar over the budgets of all trials, in frames; what a trial leaves over is skipped."""

    def __init__(self, trials: list[Trial]) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
        )
        total = sum(_frames(trial, trial.experiment.max_sequences) for trial in trials)
        self._task = self._bar.add_task("", total=total)
        self._done = 0.0
        self._per_sequence = 0.0

    def begin(self, trial: Trial) -> None:
        """Say which trial it is."""
        self._per_sequence = _frames(trial, 1)
        self._bar.update(self._task, description=trial.name, completed=self._done)

    def advance(self, num_sequences: int) -> None:
        """Count training sequences as done."""
        self._bar.advance(self._task, num_sequences * self._per_sequence)

    def end(self, trial: Trial) -> None:
        """Count the whole budget of the trial as done."""
        self._done += _frames(trial, trial.experiment.max_sequences)
        self._bar.update(self._task, completed=self._done)


def _frames(trial: Trial, num_sequences: int) -> float:
    return num_sequences * make_task(trial.experiment.task).mean_frames
