"""`asrkit compare`: scores side by side, if they compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrkit.errors import UsageError


def compare_command(
    scores: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCORE.json...",
            help="Two or more of what `asrkit score --json` writes; a run has them in score/.",
        ),
    ],
) -> None:
    """Set scores side by side; refuse those of different protocols or references.

    Whether a difference is real is told from the transcripts, by `asrkit score --against`.
    """
    from asrkit.score.saved_score import compare_scores

    if len(scores) < 2:
        raise UsageError(f"{scores[0]}: is a single score; expected two or more")
    typer.echo(compare_scores(scores))
