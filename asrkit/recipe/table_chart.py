"""A table of results as a picture: every seed's error rate beside the published one."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from asrkit.recipe.table_figures import TableFigures

_MARKERS = "os^vP"


def draw_table(path: Path, figures: TableFigures) -> None:
    """Draw a row a network: a dot a seed and protocol, a line at their mean, a diamond published.

    A picture of figures that do not compare says so.
    """
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(9, 1.6 + 0.45 * len(figures.rows)), layout="constrained")
        axes = figure.subplots()
        names = [row.name for row in figures.rows]
        published = [row.published.per for row in figures.rows]
        axes.plot(
            published, range(len(names)), "D", markersize=8,
            markerfacecolor="none", color="black", label="published",
        )  # fmt: skip
        for number, protocol in enumerate(figures.table.protocols):
            shift = 0.16 * (number - (len(figures.table.protocols) - 1) / 2)
            points = [
                (100 * rate, index + shift)
                for index, row in enumerate(figures.rows)
                for rate in row.error_rates(protocol)
            ]
            axes.plot(
                [rate for rate, _ in points], [at for _, at in points],
                _MARKERS[number % len(_MARKERS)], color=f"C{number}", alpha=0.8, label=protocol,
            )  # fmt: skip
            for index, row in enumerate(figures.rows):
                rates = row.error_rates(protocol)
                if rates:
                    mean = 100 * sum(rates) / len(rates)
                    axes.vlines(
                        mean, index + shift - 0.08, index + shift + 0.08, color=f"C{number}"
                    )
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set(xlabel=f"phone error rate on the {figures.table.split} set (%)")
        axes.set_title(figures.table.title)
        if figures.deviations:
            figure.suptitle("these error rates do not compare with the published ones", color="C3")
        axes.grid(alpha=0.3)
        axes.legend(loc="best")
        figure.savefig(path, dpi=120)
