"""`asrkit train --table`: carry out all rows of a recipe's table of results, or some."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from asrkit.cli.results import resumable
from asrkit.errors import UsageError
from asrkit.files import write_atomically

if TYPE_CHECKING:
    from asrkit.recipe.table_run import TableRun


@dataclass(frozen=True)
class Wanted:
    """What of a table is to be carried out: `--table`, `--rows` and `--seeds` as given."""

    table: str
    rows: str | None
    seeds: str | None


def train_table(
    recipe_toml: Path,
    wanted: Wanted,
    overrides: Sequence[str],
    run_dir: Path | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Carry out rows and seeds, and print the table of all that is trained in the folder."""
    from asrkit.config import load_settings
    from asrkit.recipe.results_table import find_table
    from asrkit.recipe.table_run import TableRun
    from asrkit.train.distributed import join_world

    if "RANK" in os.environ:
        raise UsageError(
            f"--table {wanted.table}: processes of torchrun cannot share a table; start it without "
            "torchrun, and give each GPU rows or seeds of its own"
        )
    table_toml = find_table(recipe_toml, wanted.table)
    seeds = _read_seeds(wanted.seeds)
    name = load_settings(recipe_toml, overrides).recipe.name
    folder = run_dir or Path("runs") / f"{name}-{wanted.table}"
    run = TableRun(recipe_toml, table_toml, folder, overrides)
    rows = _read_rows(wanted, list(run.table.rows))
    with resumable(), join_world() as world:
        run.open(resume, world)
        for line in (*run.notes.remarks, *run.notes.deviations):
            typer.echo(f"{name}: {line}", err=True)
        steps = run.steps(rows, seeds)
        for number, step in enumerate(steps, start=1):
            where = f"{wanted.table} {number}/{len(steps)}: {step}"
            if run.is_done(step):
                typer.echo(f"{where}: done before", err=True)
                continue
            typer.echo(where, err=True)
            if as_json:
                which = {"network": step.network, "seed": step.seed, "phase": step.phase}
                typer.echo(json.dumps({"event": "phase", **which}))
            run.carry_out(step, world, sys.stdout if as_json else None)
            if step.is_scored:  # now, so that an interrupted table can be looked at
                _report(run)
    markdown, content = _report(run)
    typer.echo(json.dumps({"event": "table", **json.loads(content)}) if as_json else markdown)
    typer.echo(f"table: {run.folder}/table.md, table.json, table.png", err=True)


def _report(run: TableRun) -> tuple[str, str]:
    """Write the report into the table's folder; return it as Markdown and as JSON."""
    from asrkit.recipe.table_chart import draw_table
    from asrkit.recipe.table_figures import collect_figures
    from asrkit.recipe.table_report import table_to_json, table_to_markdown

    figures = collect_figures(run)
    markdown, content = table_to_markdown(figures), table_to_json(figures)
    write_atomically(run.folder / "table.md", markdown.encode())
    write_atomically(run.folder / "table.json", content.encode())
    draw_table(run.folder / "table.png", figures)
    return markdown, content


def _read_rows(wanted: Wanted, known: Sequence[str]) -> list[str]:
    """Rows asked for, in the order of the table; all if none are."""
    if wanted.rows is None:
        return list(known)
    names = [name.strip() for name in wanted.rows.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"--rows {wanted.rows}: {unknown[0]!r} is no row of {wanted.table}; expected some of "
            f"{','.join(known)}"
        )
    return [name for name in known if name in names]


def _read_seeds(text: str | None) -> list[int]:
    parts = [part.strip() for part in (text or "1").split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"--seeds {text}: expected whole numbers, e.g. 1,2,3")
    return list(dict.fromkeys(int(part) for part in parts))
