"""Find a recipe by name or path, and list those that come with asrkit."""

from __future__ import annotations

import tomllib
from pathlib import Path

from asrkit.bundled import RECIPES_DIR
from asrkit.errors import UsageError


def find_recipe(name: str) -> Path:
    """Return the TOML file of a bundled recipe, `recipe.toml` of a folder, or the TOML file itself.

    A bundled recipe's name goes before a folder of that name, which is reached as `./name`.

    Raises
    ------
    UsageError
        If there is none; the bundled names are listed.
    """
    bundled = _bundled()
    if name in bundled:
        return bundled[name]
    path = Path(name)
    recipe_toml = path if path.suffix == ".toml" else path / "recipe.toml"
    if name and recipe_toml.is_file():
        return recipe_toml.resolve()
    raise UsageError(
        f"{name or repr(name)}: no such recipe; expected one of {', '.join(bundled)}, "
        "a folder with a recipe.toml, or a TOML file"
    )


def bundled_recipes() -> list[str]:
    """Names of the recipes that come with asrkit, in alphabetical order."""
    return list(_bundled())


def _bundled() -> dict[str, Path]:
    """Give `timit/recipe.toml` as `timit`, and `librispeech/960h.toml` as `librispeech/960h`."""
    recipes = {path.parent.name: path for path in RECIPES_DIR.glob("*/recipe.toml")}
    for name, main in list(recipes.items()):
        for path in main.parent.glob("*.toml"):
            # Others hold expected counts or downloads.
            if path != main and "recipe" in tomllib.loads(path.read_text("utf-8")):
                recipes[f"{name}/{path.stem}"] = path
    return dict(sorted(recipes.items()))
