"""One reader, files that it takes, and how an input is drawn and tried."""

from __future__ import annotations

import shutil
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Literal

from asrkit.errors import AsrkitError
from fuzzing.mutations import mutate
from fuzzing.structures import Parts

INPUT = "fuzzed"
"""Folder of the input, in the working directory. A refusal has to name it or a file in it."""

Files = dict[str, bytes]
"""Contents by file name."""
Kind = Literal["accepted", "refused", "crash", "hang", "memory"]


@dataclass(frozen=True)
class Target:
    """A reader to be tried.

    Attributes
    ----------
    name
        On the command line.
    make_seeds
        Gives the parts of valid inputs, the same each time.
    read
        Reads the files in a folder, and uses what it read as far as others do.
    assemble
        Makes files of parts; without it the parts are the files.
    named_as
        What a refusal has to name.
    """

    name: str
    make_seeds: Callable[[], list[Parts]]
    read: Callable[[Path], object]
    assemble: Callable[[Mapping[str, bytes]], Files] | None = None
    named_as: str = INPUT

    @cached_property
    def seeds(self) -> list[Parts]:
        """Parts of valid inputs."""
        return self.make_seeds()

    @cached_property
    def seed_files(self) -> list[Files]:
        """Files of the same inputs."""
        return [self._files_of(parts) for parts in self.seeds]

    def _files_of(self, parts: Parts) -> Files:
        return dict(parts) if self.assemble is None else self.assemble(parts)

    def draw(self, seed: int, number: int) -> Files:
        """Give the damaged input of a number; it depends on nothing else."""
        rng = Random(f"{self.name} {seed} {number}")
        parts = rng.choice(self.seeds)
        if self.assemble is None:
            return self._damage(parts, self.seeds, rng)
        inside = rng.random()
        if inside < 0.8:
            parts = self._damage(parts, self.seeds, rng)
        files = self.assemble(parts)
        return files if inside < 0.7 else self._damage(files, self.seed_files, rng)

    @staticmethod
    def _damage(parts: Parts, all_seeds: list[Parts], rng: Random) -> Parts:
        """Damage one part, sometimes another too; now and then one is missing."""
        damaged = dict(parts)
        for _ in range(rng.choice((1, 1, 2))):
            name = rng.choice(list(parts))
            if len(parts) > 1 and rng.random() < 0.03:
                damaged.pop(name, None)
            elif name in damaged:
                others = [other[name] for other in all_seeds if name in other]
                damaged[name] = mutate(damaged[name], others, rng)
        return damaged


@dataclass(frozen=True)
class Outcome:
    """What became of an input."""

    kind: Kind
    report: str = ""
    """The message of a refusal; what went wrong of a crash."""


def attempt(target: Target, files: Files) -> Outcome:
    """Have a target read files, in the working directory.

    It may take them or raise an `AsrkitError` that names them. Anything else is a crash, a warning
    or an interruption of its own too; so is a folder that holds other files afterwards.
    """
    folder = Path(INPUT)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    beside = sorted(Path().iterdir())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            target.read(folder)
        outcome = Outcome("accepted")
    except AsrkitError as error:
        outcome = Outcome("refused", str(error))
        if target.named_as not in str(error):
            outcome = Outcome("crash", f"refused without naming {target.named_as}: {error!r}")
    except MemoryError:
        outcome = Outcome("memory", traceback.format_exc())
    except Exception:
        outcome = Outcome("crash", traceback.format_exc())
    if sorted(Path().iterdir()) != beside:
        return Outcome("crash", f"wrote outside its folder: {sorted(Path().iterdir())}")
    return outcome
