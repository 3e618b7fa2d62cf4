"""The best epochs are kept, in order, and averaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from asrkit.errors import CheckpointError
from asrkit.train.best_weights import BestWeights, mean_weights


def model_of(value: float) -> nn.Module:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_ranking(tmp_path: Path) -> None:
    errors: dict[str, float] = {}
    best = BestWeights(tmp_path, 2, errors)
    for epoch, error in enumerate([0.9, 0.5, 0.7, 0.6], start=1):
        best.offer(epoch, error, model_of(epoch))
    assert list(errors.items()) == [
        ("epoch-0002.safetensors", 0.5),
        ("epoch-0004.safetensors", 0.6),
    ]
    assert best.best()["weight"].item() == 2.0
    assert best.mean()["weight"].item() == 3.0


def test_among_equals_the_later(tmp_path: Path) -> None:
    best = BestWeights(tmp_path, 2, {})
    for epoch in (1, 2, 3):
        best.offer(epoch, 1.0, model_of(epoch))
    assert list(best.errors) == ["epoch-0003.safetensors", "epoch-0002.safetensors"]
    assert best.best()["weight"].item() == 3.0


def test_files_live_until_no_checkpoint_names_them(tmp_path: Path) -> None:
    (tmp_path / "last.safetensors").touch()
    best = BestWeights(tmp_path, 1, {})
    best.offer(1, 0.5, model_of(1))
    best.offer(2, 0.4, model_of(2))
    best.offer(3, 0.6, model_of(3))  # never written
    kept = ["epoch-0001.safetensors", "epoch-0002.safetensors", "last.safetensors"]
    assert files(tmp_path) == kept
    best.delete_others()
    assert files(tmp_path) == kept[1:]  # the first was not kept even before the third came


def test_what_the_checkpoint_before_names_lives(tmp_path: Path) -> None:
    best = BestWeights(tmp_path, 1, {})
    for epoch, error in ((1, 0.5), (2, 0.4)):
        best.offer(epoch, error, model_of(epoch))
        best.delete_others()
    assert files(tmp_path) == ["epoch-0001.safetensors", "epoch-0002.safetensors"]
    best.offer(3, 0.9, model_of(3))
    best.delete_others()
    assert files(tmp_path) == ["epoch-0002.safetensors"]


def test_an_epoch_done_again_after_a_kill(tmp_path: Path) -> None:
    best = BestWeights(tmp_path, 1, {})
    best.offer(1, 0.5, model_of(1))
    again = BestWeights(tmp_path, 1, {})  # killed before the checkpoint that would have told
    again.offer(1, 0.5, model_of(7))
    assert again.best()["weight"].item() == 7.0


def test_missing_file_is_named(tmp_path: Path) -> None:
    best = BestWeights(tmp_path, 1, {"epoch-0001.safetensors": 0.5})
    with pytest.raises(CheckpointError, match=r"epoch-0001\.safetensors: there is no such"):
        best.best()


def test_mean() -> None:
    first = {"weight": torch.tensor([1.0, 3e38]), "count": torch.tensor(4)}
    second = {"weight": torch.tensor([2.0, 3e38]), "count": torch.tensor(9)}
    mean = mean_weights([first, second])
    assert mean["weight"].tolist() == [1.5, torch.tensor(3e38).item()]  # no overflow on the way
    assert mean["weight"].dtype == torch.float32
    assert mean["count"].item() == 4


def test_mean_of_equal_weights_is_exact() -> None:
    weights = {"weight": torch.randn(1000)}
    assert torch.equal(mean_weights([weights] * 3)["weight"], weights["weight"])
