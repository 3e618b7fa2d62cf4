"""Carry out a laboratory recipe for `asrkit train`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from asrkit.cli.results import resumable
from asrkit.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from asrkit.lab.trial import Result, Trial
    from asrkit.recipe.run_folder import RunFolder
    from asrkit.settings import Settings


def carry_out_laboratory(
    settings: Settings, run: RunFolder, overrides: Sequence[str], *, resume: bool, as_json: bool
) -> None:
    """Carry out the experiments, print the tables, and leave both in the run's folder."""
    from asrkit.files import write_atomically
    from asrkit.lab.laboratory import Laboratory, list_trials
    from asrkit.lab.picture import draw_curves
    from asrkit.lab.report import make_rows, to_json, to_markdown

    _check_tables(settings)
    if run.settings.exists():
        if not resume:
            raise UsageError(
                f"{run.folder}: holds a run already; continue it with --resume, or choose another "
                "folder with --run-dir"
            )
        settings = run.recorded_settings(settings.recipe.name, overrides)
    lab = settings.lab
    if lab is None:
        raise UsageError(
            f"{run.folder}: holds a run that is none of a laboratory; choose another folder with "
            "--run-dir"
        )
    trials = list_trials(lab, settings.recipe.seed)
    if not trials:
        raise ConfigError(
            f"{settings.recipe.name}: lab.quick = true leaves no experiment; set quick_cells in one"
        )
    run.record(settings)
    laboratory = Laboratory(trials, run.folder)
    with resumable():
        laboratory.run(_print_as_json if as_json else None)
    rows = make_rows(laboratory.results())
    tables = to_markdown(rows)
    write_atomically(run.folder / "lab.md", tables.encode())
    write_atomically(run.folder / "lab.json", to_json(rows).encode())
    draw_curves(rows, run.folder / "lab.png")
    if not as_json:
        typer.echo(tables, nl=False)
    typer.echo(f"tables and curves: {run.folder / 'lab.md'}, lab.json, lab.png", err=True)


def _print_as_json(trial: Trial, result: Result) -> None:
    typer.echo(json.dumps({"event": "trial", "name": trial.name, **result.to_dict()}))


def _check_tables(settings: Settings) -> None:
    """Refuse tables that a laboratory recipe would ignore."""
    others = sorted(settings.model_fields_set - {"recipe", "lab"})
    if others:
        raise ConfigError(
            f"{settings.recipe.name}: {others[0]}: a recipe with [lab] has no other table but "
            "[recipe]; leave it out"
        )
