"""What a run was made with: code, packages, machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

import asrkit
from asrkit.recipe.record import load_record, save_record

_PACKAGES = ("torch", "torchaudio", "numpy", "soundfile", "soxr", "safetensors", "pydantic")


@dataclass(frozen=True)
class Environment:
    """Versions, the git commit of a checkout, and the machine."""

    asrkit: str
    git_commit: str | None
    """None where it was not a checkout of asrkit."""
    git_modified: bool
    python: str
    packages: dict[str, str]
    platform: str
    num_threads: int
    num_processes: int
    num_cpus: int | None
    gpus: list[str]
    command: list[str]
    seed: int

    @classmethod
    def of_this_process(cls, seed: int) -> Environment:
        """Look around; `seed` is the recipe's."""
        return cls(
            asrkit=asrkit.__version__,
            git_commit=_git("rev-parse", "HEAD"),
            git_modified=bool(_git("status", "--porcelain")),
            python=platform.python_version(),
            packages={name: metadata.version(name) for name in _PACKAGES},
            platform=platform.platform(),
            num_threads=torch.get_num_threads(),
            num_processes=int(os.environ.get("WORLD_SIZE", "1")),
            num_cpus=os.cpu_count(),
            gpus=[torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
            command=[Path(sys.argv[0]).name, *sys.argv[1:]],
            seed=seed,
        )

    def save(self, path: Path) -> None:
        """Write as JSON."""
        save_record(path, self)

    @classmethod
    def load(cls, path: Path) -> Environment:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            If the file is damaged.
        """
        return load_record(path, cls, "train with --resume to write it anew")

    def commit(self, num_digits: int = 40) -> str:
        """Name the commit, and say where files differed from it."""
        changed = " with local changes" if self.git_modified else ""
        return f"{(self.git_commit or 'unknown')[:num_digits]}{changed}"


def _git(*arguments: str) -> str | None:
    """Ask git about the folder asrkit lies in; None where it is not a checkout of asrkit."""
    folder = Path(asrkit.__file__).resolve().parents[1]
    if not (folder / ".git").exists():  # git itself would look further up, into others' projects
        return None
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
