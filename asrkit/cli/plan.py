"""`asrkit plan`: what a training will take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from asrkit.cli.recipe_options import Overrides, Recipe, RunDir


def plan_command(
    context: typer.Context,
    recipe: Recipe,
    *,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    device: Annotated[
        Literal["cpu", "cuda"] | None,
        typer.Option(help="What to train on; a GPU if there is one, as `asrkit train` does."),
    ] = None,
) -> None:
    """Predict the time of an epoch, the peak memory and the disk of a training in one process.

    Reads the corpus and takes a few real steps. The plan stays in the run's folder, and
    `asrkit train` says at its end how far off it was.
    """
    import torch

    from asrkit.config import load_settings
    from asrkit.errors import UsageError
    from asrkit.nn.denormals import flushed_denormals
    from asrkit.recipe.locate import find_recipe
    from asrkit.recipe.run_folder import RunFolder
    from asrkit.recipe.trial import make_plan

    context.with_resource(flushed_denormals())
    recipe_toml = find_recipe(recipe)
    settings = load_settings(recipe_toml, overrides or [])
    if settings.lab is not None:
        raise UsageError(f"plan {recipe}: a laboratory recipe has no corpus and no epochs to plan")
    if settings.data.text:
        raise UsageError(
            f"plan {recipe}: data.text: training on text is not predicted; an epoch of it takes "
            "less than one of speech"
        )
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise UsageError("--device cuda: torch finds no GPU on this machine; leave it out")
    run = RunFolder(run_dir or Path("runs") / settings.recipe.name)
    plan = make_plan(recipe_toml, settings, torch.device(device or ("cuda" if has_gpu else "cpu")))
    plan.save(run.plan)
    typer.echo(plan.text())
