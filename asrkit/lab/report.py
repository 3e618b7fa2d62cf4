"""The results of a laboratory: one table a task, the paper's figure beside ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from asrkit.lab.tasks.catalogue import make_task
from asrkit.lab.trial import Result, Trial
from asrkit.lab_settings import Experiment


@dataclass(frozen=True)
class Row:
    """One cell and method of an experiment, over its seeds.

    Attributes
    ----------
    trials, results
        One for each seed, in the same order.
    """

    trials: tuple[Trial, ...]
    results: tuple[Result, ...]

    @property
    def experiment(self) -> Experiment:
        """What it is a row of."""
        return self.trials[0].experiment

    @property
    def num_solved(self) -> int:
        """Seeds with which the test was passed."""
        return sum(result.solved for result in self.results)

    @property
    def median_sequences(self) -> float | None:
        """Training sequences needed, over the seeds that solved it; None if none did."""
        solved = [result.num_sequences for result in self.results if result.solved]
        return median(solved) if solved else None

    @property
    def paper(self) -> str:
        """What was published for the cell, learnt by a gradient."""
        trial = self.trials[0]
        return self.experiment.paper.get(trial.cell, "") if trial.method == "bptt" else ""

    def fields(self) -> list[str]:
        """Give the cells of the table."""
        first, result = self.trials[0], self.results[0]
        needed = self.median_sequences
        failed = [r for r in self.results if not r.solved]
        return [
            first.cell,
            first.method,
            f"{result.num_weights}",
            f"{self.num_solved} of {len(self.results)}",
            f"{needed:,.0f}" if needed is not None else f"> {failed[0].num_sequences:,}",
            failed[0].found if failed else "",
            self.paper,
        ]

    def to_dict(self) -> dict[str, object]:
        """Give it for JSON."""
        first = self.trials[0]
        return {
            "experiment": first.experiment.name,
            "task": first.experiment.task.model_dump(mode="json"),
            "cell": first.cell,
            "method": first.method,
            "hidden_size": first.experiment.hidden_size,
            "num_weights": self.results[0].num_weights,
            "num_seeds": len(self.results),
            "num_solved": self.num_solved,
            "median_sequences": self.median_sequences,
            "paper": self.paper,
            "source": self.experiment.source if self.paper else "",
            "trials": [
                {"seed": trial.seed, **result.to_dict()}
                for trial, result in zip(self.trials, self.results, strict=True)
            ],
        }


_HEADS = (
    "cell", "method", "weights", "solved", "sequences (median)", "where not solved", "paper",
)  # fmt: skip


def make_rows(results: Iterable[tuple[Trial, Result]]) -> list[Row]:
    """Gather the seeds of each cell and method into a row."""
    together = groupby(results, key=lambda item: (item[0].experiment, item[0].cell, item[0].method))
    rows = []
    for _, items in together:
        trials, outcomes = zip(*items, strict=True)
        rows.append(Row(trials, outcomes))
    return rows


def to_markdown(rows: Sequence[Row]) -> str:
    """Write one table a task, in the order in which the tasks come first."""
    tasks = list(dict.fromkeys(row.experiment.task for row in rows))
    return "\n".join(_section([row for row in rows if row.experiment.task == t]) for t in tasks)


def _section(rows: Sequence[Row]) -> str:
    task = make_task(rows[0].experiment.task)
    lines = [f"## {task.title[0].upper()}{task.title[1:]}", "", f"Solved: {task.criterion}.", ""]
    experiments = {row.experiment.name: row.experiment for row in rows}.values()
    for text in (
        *(each.note for each in experiments),
        *(each.source and f"Paper: {each.source}." for each in experiments),
    ):
        lines += [text, ""] if text else []
    fields = [list(_HEADS), *(row.fields() for row in rows)]
    widths = [max(len(line[i]) for line in fields) for i in range(len(_HEADS))]
    head, *body = (
        "| "
        + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True))
        + " |"
        for line in fields
    )
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([*lines, head, rule, *body, ""])


def to_json(rows: Sequence[Row]) -> str:
    """Write all rows, with the curve of every trial."""
    return json.dumps([row.to_dict() for row in rows], indent=1)
