"""`asrkit train`: carry out a recipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asrkit.cli.recipe_options import Overrides, Recipe, RunDir
from asrkit.cli.results import resumable
from asrkit.errors import TrainingError, UsageError

if TYPE_CHECKING:
    from asrkit.cli.train_check import BandCheck
    from asrkit.recipe.stages import RecipeRun, Stage
    from asrkit.score.report import ScoreReport


def train_command(
    context: typer.Context,
    recipe: Recipe,
    *,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the run in the folder, by its own settings."),
    ] = False,
    stage: Annotated[
        Literal["prepare", "train", "decode", "score", "pack"] | None,
        typer.Option(help="Carry out this stage only, in an existing run."),
    ] = None,
    devices: Annotated[
        int, typer.Option(min=1, help="Processes to train with, one a GPU, on this machine.")
    ] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print metrics and scores as JSON lines.")
    ] = False,
    table: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Carry out a table of results that RECIPE has, in runs/RECIPE-NAME if no folder "
            "is given; --set holds for all its rows.",
        ),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Rows of the table to carry out; all if not given."),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="1,2", help="Seeds to carry out each row with; 1 if not given."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Tell whether the run, which may be done before, is where the recipe's seeds say.",
        ),
    ] = False,
) -> None:
    """Carry out RECIPE: prepare its data, train, decode, score, and pack the model into one file.

    Scores go to standard output, progress to standard error, all else into the run's folder.
    """
    _check_table(
        table, {"--rows": rows, "--seeds": seeds}, {"--stage": stage, "--devices": devices}
    )
    if devices > 1:
        _check_devices(devices, stage)

    from asrkit.config import load_settings
    from asrkit.nn.denormals import flushed_denormals
    from asrkit.recipe.locate import find_recipe
    from asrkit.recipe.run_folder import RunFolder
    from asrkit.recipe.stages import RecipeRun
    from asrkit.train.distributed import join_world

    context.with_resource(flushed_denormals())
    overrides = overrides or []
    recipe_toml = find_recipe(recipe)
    band = None
    if check:
        from asrkit.cli.train_check import BandCheck

        others = {"--table": table, "--stage": stage, "--devices": devices}
        band = BandCheck(recipe, recipe_toml, others)
    if table is not None:
        from asrkit.cli.train_table import Wanted, train_table

        wanted = Wanted(table, rows, seeds)
        train_table(recipe_toml, wanted, overrides, run_dir, resume, as_json)
        return
    settings = load_settings(recipe_toml, overrides)
    run = RunFolder(run_dir or Path("runs") / settings.recipe.name)
    if settings.lab is not None:
        from asrkit.cli.lab import carry_out_laboratory

        _refuse_for_laboratory({"--stage": stage, "--devices": devices})
        carry_out_laboratory(settings, run, overrides, resume=resume, as_json=as_json)
        return
    is_done = band is not None and run.final_weights.exists()
    if run.has_begun and (resume or stage or is_done):
        settings = run.recorded_settings(settings.recipe.name, overrides)
    if band is not None:
        band.require(settings, run)
        if is_done:
            run.open(settings, resume=True, trains=False)
            band.report(settings, run, as_json)
            return
    with resumable(says_so="RANK" not in os.environ), join_world() as world:
        if world.is_main:
            run.open(settings, resume or stage is not None, trains=stage in (None, "train"))
        world.wait()
        carried_out = RecipeRun(recipe_toml, settings, run, world)
        _carry_out_stages(carried_out, stage, devices, overrides, as_json, band)
    if band is not None:
        band.report(settings, run, as_json)


def _check_table(
    table: str | None, of_a_table: Mapping[str, str | None], of_a_run: Mapping[str, object]
) -> None:
    """Refuse options that go with a table only, or without one only."""
    if table is None:
        if given := [name for name, value in of_a_table.items() if value is not None]:
            raise UsageError(f"{given[0]} is of a table; add --table NAME")
    elif given := [name for name, value in of_a_run.items() if value not in (None, 1)]:
        raise UsageError(
            f"{given[0]} {of_a_run[given[0]]}: is of a single run, not of a table; leave it out, "
            "or name a run inside the table's folder by --run-dir, without --table"
        )


def _refuse_for_laboratory(given: Mapping[str, object]) -> None:
    """Refuse options that a laboratory recipe has no use for."""
    for name, value in given.items():
        if value not in (None, 1):
            raise UsageError(
                f"{name} {value}: a laboratory recipe has no stages and runs in one process; "
                f"leave out {name}"
            )


def _check_devices(devices: int, stage: Stage | None) -> None:
    """Refuse what `--devices` cannot do."""
    import torch

    if stage not in (None, "train"):
        raise UsageError(
            f"--devices {devices} --stage {stage}: processes share only the training; leave out "
            "--devices"
        )
    if "RANK" in os.environ:
        raise UsageError(
            f"--devices {devices}: torchrun has started the processes already; leave out --devices"
        )
    num_gpus = torch.cuda.device_count()
    if 0 < num_gpus < devices:
        raise UsageError(
            f"--devices {devices}: this machine has {num_gpus} GPUs; give at most as many"
        )


def _carry_out_stages(
    recipe_run: RecipeRun,
    stage: Stage | None,
    devices: int,
    overrides: Sequence[str],
    as_json: bool,
    band: BandCheck | None,
) -> None:
    """Carry out a stage, or all that the kind of model has."""
    if stage and stage not in recipe_run.stages:
        raise UsageError(
            f"--stage {stage}: a model of kind {recipe_run.settings.model.kind} recognises "
            f"nothing; its stages are {', '.join(recipe_run.stages)}"
        )
    for name in (stage,) if stage else recipe_run.stages:
        if band is not None:  # the corpus is known once it is prepared
            band.require(recipe_run.settings, recipe_run.run)
        if name == "train" and devices > 1:
            _train_in_processes(devices, recipe_run, overrides, as_json)
        elif name == "train":
            recipe_run.train(sys.stdout if as_json else None)
        elif recipe_run.world.is_main:
            _carry_out(recipe_run, name, as_json)
        recipe_run.world.wait()


def _train_in_processes(
    num_processes: int, recipe_run: RecipeRun, overrides: Sequence[str], as_json: bool
) -> None:
    """Carry out the train stage in processes that `torchrun` starts, and wait for them."""
    command = [sys.executable, "-m", "asrkit.train.launcher", "--standalone"]
    command += [f"--nproc-per-node={num_processes}", "-m", "asrkit", "train"]
    command += [str(recipe_run.recipe_toml), *(f"--set={override}" for override in overrides)]
    command += [f"--run-dir={recipe_run.run.folder}", "--stage=train"]
    command += ["--json"] if as_json else []
    # In a session of their own, so that Ctrl-C reaches them once: a second signal would end them
    # before they have written their checkpoint. SIGTERM is passed on in the same way.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    process = subprocess.Popen(command, start_new_session=True)
    try:
        exit_code = process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
    if exit_code:
        raise TrainingError(
            f"train: one of {num_processes} processes failed; the first message above says why; "
            "repeat the command with --resume to go on from the last checkpoint"
        )


def _carry_out(recipe_run: RecipeRun, stage: Stage, as_json: bool) -> None:
    match stage:
        case "prepare":
            recipe_run.prepare()
            notes = recipe_run.notes
            for line in (*notes.remarks, *notes.deviations):
                typer.echo(f"{recipe_run.settings.recipe.name}: {line}", err=True)
        case "decode":
            for split in recipe_run.absent_splits:
                typer.echo(f"{recipe_run.settings.recipe.name}: no {split} set to decode", err=True)
            recipe_run.decode()
        case "score":
            for split, report in recipe_run.score().items():
                _print_score(recipe_run, split, report, as_json)
        case "pack":
            recipe_run.pack()
            typer.echo(f"model: {recipe_run.run.model}", err=True)


def _print_score(recipe_run: RecipeRun, split: str, report: ScoreReport, as_json: bool) -> None:
    deviations = recipe_run.notes.deviations
    if as_json:
        import json

        content = {"split": split, "deviations": deviations, **json.loads(report.to_json())}
        typer.echo(json.dumps({"event": "score", **content}))
        return
    typer.echo(f"{split}: {report.text()}")
    if deviations:
        typer.echo("partial corpus: this score does not compare with published ones:")
        for line in deviations:
            typer.echo(f"  {line}")
    typer.echo()
