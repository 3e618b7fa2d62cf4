"""What commands that take a recipe are told about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Recipe = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A name from `asrkit recipes`, a folder, or a recipe.toml."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change a setting; repeatable."),
]
RunDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", file_okay=False, help="Folder of the run; runs/RECIPE if not given."
    ),
]
