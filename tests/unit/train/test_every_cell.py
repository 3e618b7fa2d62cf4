"""Every recurrence and front end learns in the training loop."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from asrkit.settings_types import CellName
from asrkit.train import loop
from asrkit.train.loop import Trainer
from asrkit.train.metrics import read_metrics

NETWORKS: list[dict[str, Any]] = [
    *({"cell": cell} for cell in get_args(CellName)),
    {"frontend": "conv_lstm", "conv_channels": 2},
]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: next(iter(network.values())))
def test_it_learns(
    network: dict[str, Any],
    tmp_path: Path,
    make_trainer: Callable[..., Trainer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    monkeypatch.setattr(loop, "draw_curves", lambda _folder: None)
    sizes = {"hidden_size": 5, "projection_size": 3, "recurrent_dropout": 0.1}
    training = {"max_epochs": 4, "learning_rate": 0.03, "truncate_frames": 15}
    trainer = make_trainer(tmp_path / "run", model={**sizes, **network}, train=training)
    trainer.run()
    losses = [epoch["train_loss"] for epoch in read_metrics(tmp_path / "run", "epoch")]
    assert losses[-1] < 0.9 * losses[0]
