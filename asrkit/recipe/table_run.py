"""Carry out a table of results: its networks, phase by phase, seed by seed, in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from asrkit.config import load_settings
from asrkit.data.manifest import read_manifest, write_manifest
from asrkit.errors import DataError, UsageError
from asrkit.files import write_atomically
from asrkit.recipe.prepare import PreparationNotes
from asrkit.recipe.record import load_record, save_record
from asrkit.recipe.results_table import Layer, load_table
from asrkit.recipe.run_folder import RunFolder
from asrkit.recipe.stages import RecipeRun
from asrkit.settings import Settings
from asrkit.train.distributed import World

# Settings that differ from run to run.
_NOT_TO_SET = {
    "recipe.seed": "give the seeds with --seeds",
    "train.initial_weights": "leave it out, each phase begins with the weights of the one before",
}


@dataclass(frozen=True)
class Step:
    """One phase of one network with one seed."""

    network: str
    seed: int
    phase: str
    is_scored: bool
    """Whether it ends a row that was asked for: its model is decoded, scored and packed, too."""

    def __str__(self) -> str:
        return f"{self.network}, seed {self.seed}, {self.phase}"


@dataclass(frozen=True)
class _Begun:
    """What the sessions of a table were asked for until now."""

    recipe: str
    table: str
    overrides: dict[str, str]


class TableRun:
    """A table being carried out.

    Every phase has a run folder of its own, `NETWORK/seed-N/PHASE`, which is as one of
    `asrkit train` without a table. The data are prepared once, in `prepared`, and copied there.

    Parameters
    ----------
    recipe_toml, table_toml
        The recipe and its table.
    folder
        Of the table.
    overrides
        `--set` of this session: laid over all other settings, in every run.
    """

    def __init__(
        self, recipe_toml: Path, table_toml: Path, folder: Path, overrides: Sequence[str]
    ) -> None:
        self.recipe_toml = recipe_toml
        self.table_toml = table_toml
        self.name = table_toml.stem
        self.table = load_table(table_toml)
        self.folder = folder
        self.prepared = RunFolder(folder / "prepared")
        self._record = folder / "begun.json"
        self._new_overrides = {each.partition("=")[0].strip(): each for each in overrides}
        for key in _NOT_TO_SET.keys() & self._new_overrides.keys():
            raise UsageError(
                f"--set {self._new_overrides[key]}: a table sets {key} itself; {_NOT_TO_SET[key]}"
            )
        self._overrides = dict(self._new_overrides)

    def open(self, resume: bool, world: World) -> None:
        """Prepare the data, or go on with what earlier sessions were asked for.

        Raises
        ------
        UsageError
            If the folder holds a table and `resume` is not set, or another table, or one of other
            settings.
        DataError
            If the corpus lacks the set that is to be scored.
        """
        recipe_name = load_settings(self.recipe_toml).recipe.name
        if self._record.exists():
            before = load_record(self._record, _Begun, "choose another folder with --run-dir")
            self._take_up(before, recipe_name, resume)
        settings = self._load_settings([("settings", self.table.settings)])
        if self.table.split not in settings.decode.splits:
            raise UsageError(
                f"{self.table_toml}: decode.splits = {list(settings.decode.splits)}, but the table "
                f"scores the {self.table.split} set; add it"
            )
        self.prepared.open(settings, resume=True)
        RecipeRun(self.recipe_toml, settings, self.prepared, world).prepare()
        if not self.prepared.manifest(self.table.split).exists():
            raise DataError(
                f"{self.recipe_toml}: the corpus has no {self.table.split} set, but the table "
                f"{self.name} scores it"
            )
        save_record(self._record, _Begun(recipe_name, self.name, self._overrides))

    @property
    def notes(self) -> PreparationNotes:
        """What preparing the data had to say."""
        return PreparationNotes.load(self.prepared.notes)

    def steps(self, rows: Sequence[str], seeds: Sequence[int]) -> list[Step]:
        """List all that these rows and seeds take, in an order in which it can be done."""
        return [
            Step(name, seed, phase, name in rows and phase == self.table.phases_of(name)[-1])
            for seed in seeds
            for name in self.table.with_needed(rows)
            for phase in self.table.phases_of(name)
        ]

    def run_folder(self, network: str, seed: int, phase: str) -> RunFolder:
        """Give the run folder of a phase."""
        return RunFolder(self.folder / network / f"seed-{seed}" / phase)

    def is_done(self, step: Step) -> bool:
        """Whether nothing is left to do for a step."""
        run = self.run_folder(step.network, step.seed, step.phase)
        return run.model.exists() if step.is_scored else run.final_weights.exists()

    def carry_out(self, step: Step, world: World, mirror: TextIO | None = None) -> None:
        """Do what is left of a step: train, and decode, score and pack where it ends a row."""
        run = self.run_folder(step.network, step.seed, step.phase)
        settings = self.planned_settings(step.network, step.seed, step.phase)
        if run.has_begun:  # a run keeps what it was begun with, even if the table has changed
            overrides = list(self._new_overrides.values())
            settings = run.recorded_settings(settings.recipe.name, overrides)
        is_trained = run.final_weights.exists()
        run.open(settings, resume=True, trains=not is_trained)
        self._share_data(run, settings)
        recipe_run = RecipeRun(self.recipe_toml, settings, run, world)
        recipe_run.prepare()
        if not is_trained:
            recipe_run.train(mirror)
        if step.is_scored:
            recipe_run.decode()
            recipe_run.score()
            recipe_run.pack()

    def planned_settings(
        self, network: str, seed: int, phase: str, with_overrides: bool = True
    ) -> Settings:
        """Lay the settings of table, network and phase, and `--set`, over those of the recipe."""
        phases = self.table.phases_of(network)
        if phase == phases[0]:
            others = self.table.networks[network].start_from
            before = [(other, self.table.phases_of(other)[-1]) for other in others]
        else:
            before = [(network, phases[phases.index(phase) - 1])]
        weights = [str(self.run_folder(n, seed, p).final_weights) for n, p in before]
        own: Layer = {
            "recipe": {"seed": seed, "description": f"{self.table.title}: {network}, {phase}"},
            "train": {"initial_weights": weights},
        }
        layers = [
            ("settings", self.table.settings),
            (f"networks.{network}.settings", self.table.networks[network].settings),
            (f"phases.{phase}.settings", self.table.phases[phase].settings),
            ("own", own),
        ]
        return self._load_settings(layers, with_overrides)

    def _load_settings(
        self, layers: Sequence[tuple[str, Layer]], with_overrides: bool = True
    ) -> Settings:
        overrides = list(self._overrides.values()) if with_overrides else []
        sources = [(f"{self.table_toml}: {name}", layer) for name, layer in layers]
        return load_settings(self.recipe_toml, overrides, sources)

    def _take_up(self, begun: _Begun, recipe_name: str, resume: bool) -> None:
        """Add what earlier sessions were asked for, under what this one is."""
        if (begun.recipe, begun.table) != (recipe_name, self.name):
            raise UsageError(
                f"{self.folder}: holds the table {begun.table} of {begun.recipe}, not "
                f"{self.name} of {recipe_name}; choose another folder with --run-dir"
            )
        if not resume:
            raise UsageError(
                f"{self.folder}: holds this table already; go on with it, or extend it by rows or "
                "seeds, with --resume, or choose another folder with --run-dir"
            )
        self._overrides = {**begun.overrides, **self._new_overrides}

    def _share_data(self, run: RunFolder, settings: Settings) -> None:
        """Copy the prepared data into a run's folder, unless it needs others or has them."""
        common = self._load_settings([("settings", self.table.settings)])
        same = (settings.data, settings.features) == (common.data, common.features)
        lacks_phones = settings.model.phone_layer and not self.prepared.pronunciations.exists()
        if run.notes.exists() or not same or lacks_phones:
            return
        for manifest in sorted(self.prepared.manifest("x").parent.glob("*.jsonl")):
            # Not byte by byte: paths of audio may be relative to the manifest.
            write_manifest(run.manifest(manifest.stem), read_manifest(manifest))
        write_atomically(run.tokens, self.prepared.tokens.read_bytes())
        if self.prepared.pronunciations.exists():
            write_atomically(run.pronunciations, self.prepared.pronunciations.read_bytes())
        write_atomically(run.statistics, self.prepared.statistics.read_bytes())
        write_atomically(run.notes, self.prepared.notes.read_bytes())  # last: marks them complete
