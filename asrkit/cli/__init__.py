"""The command line: one small file a command; torch is imported inside commands only."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from asrkit import __version__
from asrkit.cli.align import align_command
from asrkit.cli.compare import compare_command
from asrkit.cli.data import app as data_app
from asrkit.cli.doctor import doctor_command
from asrkit.cli.lexicon import app as lexicon_app
from asrkit.cli.lm import app as lm_app
from asrkit.cli.model import app as model_app
from asrkit.cli.plan import plan_command
from asrkit.cli.protocols import protocols_command
from asrkit.cli.recipes import recipes_command
from asrkit.cli.score import score_command
from asrkit.cli.train import train_command
from asrkit.cli.transcribe import transcribe_command
from asrkit.cli.tune import tune_command
from asrkit.errors import EXIT_SOME_FAILED, AsrkitError

app = typer.Typer(
    name="asrkit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"asrkit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version, and end."
        ),
    ] = False,
) -> None:
    """Speech recognition with deep bidirectional LSTMs and CTC: train, transcribe, score."""


app.command("train")(train_command)
app.command("plan")(plan_command)
app.command("doctor")(doctor_command)
app.command("transcribe")(transcribe_command)
app.command("align")(align_command)
app.command("score")(score_command)
app.command("compare")(compare_command)
app.command("protocols")(protocols_command)
app.command("tune")(tune_command)
app.command("recipes")(recipes_command)
app.add_typer(data_app, name="data")
app.add_typer(model_app, name="model")
app.add_typer(lm_app, name="lm")
app.add_typer(lexicon_app, name="lexicon")


def main() -> None:
    """Run the command line; an error a user can cause becomes one message and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A file name may be no text, and a terminal's encoding may lack a letter.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except AsrkitError as error:
        typer.echo(f"asrkit: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:  # no permission, disk full: what the file system has to say
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"asrkit: {where}{error.strerror or error}", err=True)
        sys.exit(EXIT_SOME_FAILED)
