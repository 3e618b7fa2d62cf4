"""Of the two newest checkpoints the newest good one is taken, and what was not is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from asrkit.errors import CheckpointError
from asrkit.settings import TrainSettings
from asrkit.train.checkpoint import Position, read_checkpoint, save_weights
from asrkit.train.last_checkpoints import LastCheckpoints
from asrkit.train.optimizer import make_optimizer

LINE = b'{"event": "step"}\n'


class Run:
    """A model that is its step number, saved as a training does it."""

    def __init__(self, folder: Path) -> None:
        self.metrics = folder / "metrics.jsonl"
        self.folder = folder / "checkpoints"
        self.folder.mkdir(exist_ok=True)
        self.last = self.folder / "last.safetensors"
        self.previous = self.folder / "previous.safetensors"
        self.checkpoints = LastCheckpoints(self.folder)
        self.model = nn.Linear(1, 1, bias=False)
        self.optimizer = make_optimizer(self.model, TrainSettings())

    def load(self) -> int:
        """Load; give the step the position tells, which the model must have, too."""
        step = self.checkpoints.load(self.model, self.optimizer).step
        if step:
            assert self.model.weight.item() == step
        return step

    def save(self, step: int) -> None:
        nn.init.constant_(self.model.weight, step)
        self.metrics.write_bytes(LINE * step)
        position = Position(step=step, metrics_bytes=len(LINE) * step)
        self.checkpoints.save(self.model, self.optimizer, position)


@pytest.fixture
def saved(tmp_path: Path) -> Run:
    """A run with checkpoints of steps 1 and 2, to be loaded anew."""
    run = Run(tmp_path)
    assert run.load() == 0
    run.save(1)
    run.save(2)
    return Run(tmp_path)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def fill_end_with_zeros(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-4] + bytes(4))


def replace_by_weights(path: Path) -> None:
    save_weights(path, {"weight": torch.ones(1)})


DAMAGES = [truncate, fill_end_with_zeros, replace_by_weights, Path.unlink]


def test_the_last_one(saved: Run) -> None:
    assert saved.load() == 2
    assert saved.checkpoints.remarks == []
    assert read_checkpoint(saved.previous).position.step == 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_one_before(saved: Run, damage: Callable[[Path], None]) -> None:
    damage(saved.last)
    assert saved.load() == 1
    problem, remedy = saved.checkpoints.remarks
    assert problem.startswith(f"{saved.last}: ")
    assert remedy == f"going on from {saved.previous}, step 1"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_does_not_replace_a_good_one(
    saved: Run, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(saved.last)
    saved.load()
    saved.save(2)
    assert read_checkpoint(saved.previous).position.step == 1
    assert read_checkpoint(saved.last).position.step == 2
    saved.save(3)
    assert read_checkpoint(saved.previous).position.step == 2


def test_metrics_that_were_shortened(saved: Run) -> None:
    os.truncate(saved.metrics, len(LINE) + 3)
    assert saved.load() == 1
    assert saved.checkpoints.remarks == [
        f"{saved.metrics}: has lost events before step 2 of last.safetensors",
        f"going on from {saved.previous}, step 1",
    ]


def test_metrics_that_were_deleted(saved: Run) -> None:
    saved.metrics.unlink()
    assert saved.load() == 2
    assert saved.checkpoints.remarks[-1] == f"going on from {saved.last}, step 2"
    assert len(saved.checkpoints.remarks) == 3


@pytest.mark.parametrize("damage", DAMAGES)
def test_both_damaged(saved: Run, damage: Callable[[Path], None]) -> None:
    damage(saved.previous)
    truncate(saved.last)
    with pytest.raises(CheckpointError, match=r"delete both in .* to start the training anew") as e:
        saved.load()
    assert str(saved.last) in str(e.value)
    assert str(saved.previous) in str(e.value)


def test_of_another_model_is_not_damage(saved: Run) -> None:
    other = nn.Linear(2, 1)
    with pytest.raises(CheckpointError, match="do not fit the model"):
        saved.checkpoints.load(other, make_optimizer(other, TrainSettings()))
