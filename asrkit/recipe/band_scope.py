"""Of which runs a seed band says anything: those of its settings and corpus."""

from __future__ import annotations

from typing import Any

from asrkit.recipe.environment import Environment
from asrkit.recipe.prepare import PreparationNotes
from asrkit.recipe.run_folder import RunFolder
from asrkit.recipe.seed_band import SeedBand
from asrkit.settings import RecipeSettings, Settings

# Settings that may differ: where the corpus lies, and what no figure of a band depends on.
_OF_NO_CONSEQUENCE = {"data.root", "train.checkpoint_steps", "decode.splits"}


def reasons_not_to_compare(band: SeedBand, settings: Settings, run: RunFolder) -> list[str]:
    """List why a band says nothing of a run, as far as that is known yet; empty if it does."""
    reasons = changed_settings(band.settings, settings)
    if run.notes.exists():
        reasons += PreparationNotes.load(run.notes).deviations
    if run.environment.exists():
        num_processes = Environment.load(run.environment).num_processes
        if num_processes > 1:
            reasons.append(f"{num_processes} processes trained it, not one")
    return reasons


def settings_of_consequence(settings: Settings) -> dict[str, Any]:
    """Give the settings that are not the defaults by `table.key`, ready for TOML."""
    return _flatten(settings, exclude_defaults=True)


def changed_settings(measured: dict[str, Any], settings: Settings) -> list[str]:
    """List what differs from the settings a band was measured with."""
    defaults = _flatten(Settings(recipe=RecipeSettings(name="")))
    now = _flatten(settings)
    keys = sorted(measured.keys() | settings_of_consequence(settings).keys())
    return [
        f"{key} was {before!r} and is now {now.get(key)!r}"
        for key in keys
        if (before := measured.get(key, defaults.get(key))) != now.get(key)
    ]


def _flatten(settings: Settings, exclude_defaults: bool = False) -> dict[str, Any]:
    left_out = {"recipe", "lab"}
    if settings.model.kind != "transducer":  # the dev error of others is that of a greedy search
        left_out.add("decode")
    tables = settings.model_dump(mode="json", exclude=left_out, exclude_defaults=exclude_defaults)
    return {
        f"{table}.{key}": value
        for table, keys in tables.items()
        for key, value in keys.items()
        if f"{table}.{key}" not in _OF_NO_CONSEQUENCE
    }
