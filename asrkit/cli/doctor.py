"""`asrkit doctor`: what is wrong with a recipe, or with its run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrkit.cli.recipe_options import Overrides


def doctor_command(
    context: typer.Context,
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECIPE]", help="A name from `asrkit recipes`, a folder, or a recipe.toml."
        ),
    ] = None,
    *,
    overrides: Overrides = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Folder of a run, prepared, going on or finished: its token table is used, and "
            "its course explained.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Examine the data and settings of RECIPE before the first step, and the course of a run.

    All audio is decoded once; nothing is written. Exit code 1 if there are errors, which stop a
    training or make its scores untrue; warnings and notes leave it 0.
    """
    import torch

    from asrkit.config import load_settings
    from asrkit.doctor.examination import examine_course, examine_recipe
    from asrkit.doctor.report import Report
    from asrkit.errors import UsageError
    from asrkit.nn.denormals import flushed_denormals
    from asrkit.recipe.locate import find_recipe
    from asrkit.recipe.run_folder import RunFolder

    if recipe is None and run_dir is None:
        raise UsageError("doctor: expected a RECIPE to examine, --run-dir to explain, or both")
    if recipe is None and overrides:
        raise UsageError(f"--set {overrides[0]} is of a recipe; add RECIPE")
    run = None if run_dir is None else RunFolder(run_dir)
    has_course = run is not None and (run.folder / "metrics.jsonl").exists()
    is_prepared = recipe is not None and run is not None and run.tokens.exists()
    if run is not None and not has_course and not is_prepared:
        raise UsageError(f"{run_dir}: holds no metrics.jsonl; expected the folder of a run")
    reports: list[Report] = []
    if recipe is not None:
        context.with_resource(flushed_denormals())
        recipe_toml = find_recipe(recipe)
        settings = load_settings(recipe_toml, overrides or [])
        if settings.lab is not None:
            raise UsageError(f"doctor {recipe}: a laboratory recipe has no corpus to examine")
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        reports.append(examine_recipe(recipe_toml, settings, device, run))
    if run is not None and has_course:
        reports.append(examine_course(run))
    examined = {name: value for report in reports for name, value in report.examined.items()}
    report = Report.of(examined, [each for report in reports for each in report.findings])
    typer.echo(report.to_json() if as_json else report.text())
    if report.has_errors:
        raise typer.Exit(1)
