"""A picture of a laboratory: how the errors of all cells fell, one panel a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from asrkit.lab.report import Row
from asrkit.lab.tasks.catalogue import make_task

_COLUMNS = 3


def draw_curves(rows: Sequence[Row], path: Path) -> None:
    """Draw the share of wrong test sequences over training sequences; a line a seed."""
    tasks = list(dict.fromkeys(row.experiment.task for row in rows))
    labels = list(dict.fromkeys(_label(row) for row in rows))
    num_lines = -(-len(tasks) // _COLUMNS)
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(4 * _COLUMNS, 2.7 * num_lines), layout="constrained")
        panels = figure.subplots(num_lines, _COLUMNS, squeeze=False).flatten()
        for axes, task in zip(panels, tasks, strict=False):
            axes.set_title(make_task(task).title, fontsize=8)
            _draw_panel(axes, [row for row in rows if row.experiment.task == task], labels)
        for axes in panels[len(tasks) :]:
            axes.set_axis_off()
        figure.savefig(path, dpi=120)


def _draw_panel(axes: Axes, rows: Sequence[Row], labels: Sequence[str]) -> None:
    for row in rows:
        for number, result in enumerate(row.results):
            at, errors = zip(*result.curve, strict=True)
            axes.plot(
                at,
                errors,
                color=f"C{labels.index(_label(row)) % 10}",
                linestyle=("-", "--", ":")[labels.index(_label(row)) // 10 % 3],
                linewidth=0.9,
                marker="o" if result.solved else None,
                markevery=[-1],
                markersize=3,
                label=_label(row) if number == 0 else None,
            )
    axes.set(xscale="log", ylim=(-0.03, 1.03), xlabel="training sequences", ylabel="share wrong")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=6)


def _label(row: Row) -> str:
    trial = row.trials[0]
    return trial.cell if trial.method == "bptt" else f"{trial.cell}, {trial.method}"
