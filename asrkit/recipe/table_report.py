"""The report of a table of results: JSON, and Markdown that reads well in a terminal."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict

from asrkit.recipe.table_figures import Row, TableFigures
from asrkit.score.protocol import load_protocol


def table_to_json(figures: TableFigures) -> str:
    """Write all figures; rates are shares, an infinite one is null."""
    content = {
        "table": figures.name,
        "title": figures.table.title,
        "source": figures.table.source,
        "split": figures.table.split,
        "protocols": figures.table.protocols,
        "protocol_ids": [load_protocol(name).id for name in figures.table.protocols],
        "compares_with_published": not figures.deviations,
        "deviations": figures.deviations,
        "commits": figures.commits,
        "rows": [_row_as_dict(figures, row) for row in figures.rows],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def _row_as_dict(figures: TableFigures, row: Row) -> dict[str, object]:
    per_protocol = {}
    for protocol in figures.table.protocols if row.trained else ():
        rates = row.error_rates(protocol)
        per_protocol[protocol] = {
            "mean": _finite(statistics.fmean(rates)),
            "min": _finite(min(rates)),
            "max": _finite(max(rates)),
            "standard_deviation": _finite(_standard_deviation(rates)),
            "num_seeds": len(rates),
        }
    return {
        "network": row.name,
        "published": row.published.model_dump(),
        "error_rates": per_protocol,
        "trained": [
            {
                **asdict(network),
                "error_rates": {p: _finite(r) for p, r in network.error_rates.items()},
            }
            for network in row.trained
        ],
    }


def table_to_markdown(figures: TableFigures) -> str:
    """Write the table to be read, aligned for a terminal too."""
    lines = [f"# {figures.table.title}", "", *_verdict(figures), ""]
    lines += _in_columns([_heading(figures), *(_cells(figures, row) for row in figures.rows)])
    lines += [
        "",
        f"PER in %, {figures.table.split} set: mean over the seeds, with the lowest and the "
        "highest where there are several. Weights in millions. Epochs: passes through the "
        "training set behind the weights that were kept, all phases together, mean over the seeds.",
        f"Published: {figures.table.source}.",
        "",
    ]
    for protocol in map(load_protocol, figures.table.protocols):
        lines.append(f"- {protocol.id}: {protocol.description}")
    if figures.commits:
        lines += ["", f"Trained by asrkit at commit {', '.join(figures.commits)}."]
    return "\n".join([*lines, ""])


def _verdict(figures: TableFigures) -> list[str]:
    if not any(row.trained for row in figures.rows):
        return ["No row is trained yet."]
    if not figures.deviations:
        return ["Corpus, budget and settings are those of the table."]
    return [
        "**These PERs do not compare with the published ones, and say nothing about the "
        "networks:**",
        "",
        *(f"- {line}" for line in figures.deviations),
    ]


def _heading(figures: TableFigures) -> list[str]:
    protocols = [f"PER {name}" for name in figures.table.protocols]
    return [
        "network",
        "weights (published)",
        "epochs (published)",
        "seeds",
        *protocols,
        "published",
    ]


def _cells(figures: TableFigures, row: Row) -> list[str]:
    published = row.published
    weights, epochs = "–", "–"
    rates = ["–" for _ in figures.table.protocols]
    if row.trained:
        weights = f"{row.trained[0].weights / 1e6:.1f}"
        passes = statistics.fmean(sum(network.epochs.values()) for network in row.trained)
        epochs = f"{passes:.0f}"
        rates = [_rates_text(row.error_rates(name)) for name in figures.table.protocols]
    return [
        row.name,
        f"{weights} ({published.weights_m:.1f})",
        f"{epochs} ({published.epochs})",
        f"{len(row.trained)}",
        *rates,
        f"{published.per:.1f}",
    ]


def _rates_text(rates: Sequence[float]) -> str:
    mean = f"{100 * statistics.fmean(rates):.2f}"
    if len(rates) == 1:
        return mean
    return f"{mean} ({100 * min(rates):.2f} to {100 * max(rates):.2f})"


def _standard_deviation(rates: Sequence[float]) -> float:
    """Estimate it from the sample: not a number for a single rate, or an infinite one."""
    if len(rates) == 1 or not all(map(math.isfinite, rates)):
        return math.nan
    return statistics.stdev(rates)


def _finite(rate: float) -> float | None:
    return rate if math.isfinite(rate) else None


def _in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay rows out as a Markdown table: names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *figures = row
        cells = [first.ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(figures, widths[1:], strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    rules = ["-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    return [lines[0], f"| {' | '.join(rules)} |", *lines[1:]]
