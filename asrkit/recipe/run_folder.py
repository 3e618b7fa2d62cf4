"""The folder of a run: what lies where, and whether it may be continued with given settings."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asrkit.config import load_settings, settings_to_toml
from asrkit.errors import UsageError
from asrkit.files import remove_partial_files, write_atomically
from asrkit.recipe.environment import Environment
from asrkit.settings import Settings
from asrkit.train.loop import FINAL_WEIGHTS

if sys.platform != "win32":
    import fcntl

# Settings that may change between sessions of a run: they say what it is, decide when it ends and
# what is done with the trained model, not what the model is. The score is one of them only after
# training, which goes by the dev error.
_CHANGEABLE = (
    "recipe.description",
    "train.max_epochs",
    "train.early_stopping_epochs",
    "train.checkpoint_steps",
)


class RunFolder:
    """Paths of a run, below one folder.

    Attributes
    ----------
    settings, environment
        Snapshot of the resolved settings; what the run was made with.
    tokens, pronunciations, statistics, notes
        What the prepare stage leaves beside the manifests; pronunciations where there are phones.
    final_weights, model
        What training leaves; the packed model.
    plan
        What `asrkit plan` predicted, and after training what was seen.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "settings.toml"
        self.environment = folder / "environment.json"
        self.tokens = folder / "data" / "tokens.txt"
        self.pronunciations = folder / "data" / "pronunciations.txt"
        self.statistics = folder / "data" / "statistics.safetensors"
        self.notes = folder / "data" / "notes.json"
        self.final_weights = folder / "checkpoints" / FINAL_WEIGHTS
        self.model = folder / "model.asr"
        self.plan = folder / "plan.json"

    def manifest(self, split: str) -> Path:
        """Give the path of a split's utterances, JSON lines."""
        return self.folder / "data" / f"{split}.jsonl"

    def hypotheses(self, split: str) -> Path:
        """Give the path of a decoded split, JSON lines."""
        return self.folder / "decode" / f"{split}.jsonl"

    def score(self, split: str) -> Path:
        """Give the path of a split's score report, JSON."""
        return self.folder / "score" / f"{split}.json"

    @property
    def has_begun(self) -> bool:
        """Whether there is a run to go on with: its data are prepared."""
        return self.notes.exists()

    def recorded_settings(self, recipe_name: str, overrides: Sequence[str]) -> Settings:
        """Read the settings the run was begun with, so that they need not be given again.

        Raises
        ------
        UsageError
            If the run is one of another recipe.
        ConfigError
            If an override is wrong.
        """
        settings = load_settings(self.settings, overrides)
        if settings.recipe.name != recipe_name:
            raise UsageError(
                f"{self.folder}: holds a run of {settings.recipe.name}, not of {recipe_name}; "
                "choose another folder with --run-dir"
            )
        return settings

    def open(self, settings: Settings, resume: bool, trains: bool = True) -> None:
        """Make the folder, or go on in it.

        Parameters
        ----------
        settings
            Of this session; written into the folder.
        resume
            Whether the folder may hold a run already.
        trains
            Whether this session trains: the environment recorded is that of the last one that did.

        Raises
        ------
        UsageError
            If it holds a run and `resume` is not set, or one of other settings.
        """
        if self.has_begun:
            if not resume:
                raise UsageError(
                    f"{self.folder}: holds a run already; continue it with --resume, or choose "
                    "another folder with --run-dir"
                )
            self._check_same(settings)
        for folder in ("data", "decode", "score"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        if trains:
            for folder in (".", "checkpoints", "data", "decode", "score"):
                remove_partial_files(self.folder / folder)
        self.record(settings, with_environment=trains or not self.environment.exists())

    @contextmanager
    def kept_from_others(self) -> Iterator[None]:
        """Keep other trainings out of the folder, as long as the block and the process last.

        Where the platform or the file system has no locks, nobody is kept out.

        Raises
        ------
        UsageError
            If another process trains in it.
        """
        if sys.platform == "win32":
            yield
            return
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno == errno.EWOULDBLOCK:
                os.close(descriptor)
                raise UsageError(
                    f"{self.folder}: another process trains in it; wait for its end, or end it"
                ) from error
        try:
            yield
        finally:
            os.close(descriptor)

    def record(self, settings: Settings, with_environment: bool = True) -> None:
        """Write down what this session is carried out with."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.settings, settings_to_toml(settings).encode())
        if with_environment:
            Environment.of_this_process(settings.recipe.seed).save(self.environment)

    def _check_same(self, settings: Settings) -> None:
        before = load_settings(self.settings)
        changeable_tables = ("decode", "score") if self.final_weights.exists() else ("decode",)
        old, new = _flatten(before.model_dump()), _flatten(settings.model_dump())
        changed = [
            f"{key} was {old[key]!r} and is now {new[key]!r}"
            for key in sorted(new)
            if old[key] != new[key]
            and key not in _CHANGEABLE
            and key.split(".")[0] not in changeable_tables
        ]
        if changed:
            raise UsageError(
                f"{self.folder}: the run has other settings: {'; '.join(changed)}; "
                "set them back, or start another run with --run-dir"
            )


def _flatten(tables: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
    return {
        f"{table}.{key}": value
        for table, keys in tables.items()
        for key, value in (keys or {}).items()
    }
