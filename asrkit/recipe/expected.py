"""`expected.toml`: the counts of a recipe's full corpus, and what training it gave by seed."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from pydantic import Field

from asrkit.config import load_toml
from asrkit.errors import ConfigError
from asrkit.files import write_atomically
from asrkit.recipe.seed_band import SeedBand
from asrkit.settings_types import Count, Table

_BAND_BEGINS = "# --- Seed band: "
_ABOUT_THE_BAND = """\
written by scripts/measure-band, which replaces all from this line on.
# Another run should have each figure from `low` to `high`: Student's prediction interval for one
# more run, of the logarithm of a loss, so wide (Bonferroni) that all of them are in theirs with
# `confidence`. `values` are those of the seeds. A train loss is the mean of the `window_steps`
# steps up to step `at`, in nats an utterance; a dev loss that after epoch `at`; the dev error that
# at the end.
"""


class SplitCounts(Table):
    """`[splits.NAME]`: what is not given is not compared."""

    utterances: Count | None = None
    speakers: Count | None = None
    tokens: Count | None = None
    """Reference tokens, under the protocol."""


class Expected(Table):
    """What a recipe gives where all is as it was."""

    protocol: str | None = None
    """That tokens are counted under; the recipe's if none is named."""
    splits: dict[str, SplitCounts] = Field(default_factory=dict)
    band: SeedBand | None = None


def find_expected(recipe_toml: Path) -> Path:
    """`expected-960h.toml` for `960h.toml` if there is one, else `expected.toml` beside it."""
    own = recipe_toml.with_name(f"expected-{recipe_toml.name}")
    return own if own.is_file() else recipe_toml.with_name("expected.toml")


def load_expected(path: Path) -> Expected:
    """Read the file; nothing is expected if there is none.

    Raises
    ------
    ConfigError
        Naming the file, the key, the value and what was expected.
    """
    return load_toml(path, Expected) if path.is_file() else Expected()


def save_band(path: Path, band: SeedBand) -> None:
    """Put a band in place of the one in the file, if any; the rest stays, comments included.

    Raises
    ------
    ConfigError
        If what is to be replaced holds anything else.
    """
    text = path.read_text("utf-8") if path.is_file() else ""
    kept, _, replaced = text.partition(_BAND_BEGINS)
    if "band" in tomllib.loads(kept):
        raise ConfigError(f"{path}: [band] stands before the line {_BAND_BEGINS!r}; remove it")
    if others := tomllib.loads(f"#{replaced}").keys() - {"band"}:
        raise ConfigError(
            f"{path}: {sorted(others)[0]} stands below the line {_BAND_BEGINS!r}, where all is "
            "replaced; move it up"
        )
    kept = f"{kept.rstrip()}\n\n" if kept.strip() else ""
    text = kept + _BAND_BEGINS + _ABOUT_THE_BAND + "\n".join(_band_lines(band)) + "\n"
    write_atomically(path, text.encode())


def _band_lines(band: SeedBand) -> list[str]:
    content = band.model_dump(mode="json")
    figures, settings = content.pop("figures"), content.pop("settings")
    return [
        "[band]",
        *(f"{key} = {_toml(value)}" for key, value in content.items()),
        "figures = [",
        *(
            f"    {{ {', '.join(f'{key} = {_toml(value)}' for key, value in figure.items())} }},"
            for figure in figures
        ),
        "]",
        "",
        "[band.settings]",
        *(f"{_toml(key)} = {_toml(value)}" for key, value in settings.items()),
    ]


def _toml(value: object) -> str:
    """Write a text, number, truth value or list of them: TOML writes them as JSON does."""
    return json.dumps(value, ensure_ascii=False)
