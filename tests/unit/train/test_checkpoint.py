"""A checkpoint continues a run bit for bit, and a bad one is refused by name."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from torch import nn

from asrkit.errors import CheckpointError
from asrkit.settings import TrainSettings
from asrkit.train.checkpoint import (
    Position,
    load_weights,
    load_weights_into,
    read_checkpoint,
    save_checkpoint,
    save_weights,
)
from asrkit.train.optimizer import make_optimizer

OPTIMIZERS = {
    "sgd with momentum": TrainSettings(optimizer="sgd", momentum=0.9, weight_decay=1e-2),
    "plain sgd": TrainSettings(optimizer="sgd", momentum=0.0),
    "adamw": TrainSettings(optimizer="adamw", weight_decay=1e-2),
}
POSITION = Position(
    epoch=3,
    batch=17,
    step=321,
    epoch_loss=1 / 3,
    metrics_bytes=12345,
    num_reductions=2,
    epochs_since_reduction=1,
    best_error=0.1 + 0.2,
    best_epoch=2,
    dev_errors={"epoch-0002.safetensors": 0.30000000000000004, "epoch-0001.safetensors": 1e-300},
    loss_scale={"scale": 65536.0, "_growth_tracker": 7},
)


def new_model() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        frames = torch.randn(8, 5, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(frames).square().sum().backward()
        optimizer.step()


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    expected = other.state_dict()
    for name, value in one.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("num_before", [0, 1, 5])
def test_going_on_is_as_if_never_stopped(tmp_path: Path, name: str, num_before: int) -> None:
    torch.manual_seed(0)
    model = new_model()
    optimizer = make_optimizer(model, OPTIMIZERS[name])
    train(model, optimizer, range(num_before))
    save_checkpoint(tmp_path / "last", model, optimizer, POSITION)
    train(model, optimizer, range(num_before, num_before + 5))

    resumed = new_model()
    resumed_optimizer = make_optimizer(resumed, OPTIMIZERS[name])
    checkpoint = read_checkpoint(tmp_path / "last")
    assert checkpoint.position == POSITION
    checkpoint.restore(resumed, resumed_optimizer)
    train(resumed, resumed_optimizer, range(num_before, num_before + 5))
    assert_same_weights(resumed, model)


def test_order_of_kept_epochs_survives(tmp_path: Path) -> None:
    model = new_model()
    optimizer = make_optimizer(model, TrainSettings())
    save_checkpoint(tmp_path / "last", model, optimizer, POSITION)
    position = read_checkpoint(tmp_path / "last").position
    assert list(position.dev_errors) == list(POSITION.dev_errors)  # the best comes first


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    model = new_model()
    optimizer = make_optimizer(model, TrainSettings())
    train(model, optimizer, range(2))
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, model, optimizer, POSITION)
    return path


def refusal(path: Path, model: nn.Module, settings: TrainSettings = TrainSettings()) -> str:  # noqa: B008
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path).restore(model, make_optimizer(model, settings))
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.5, 0.999])
def test_truncated(checkpoint: Path, share: float) -> None:
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: int(len(content) * share)])
    assert "damaged" in refusal(checkpoint, new_model())


def test_damaged(checkpoint: Path) -> None:
    content = bytearray(checkpoint.read_bytes())
    content[20:40] = b"\xff" * 20
    checkpoint.write_bytes(content)
    assert "damaged" in refusal(checkpoint, new_model())
    checkpoint.write_bytes(b"not a checkpoint at all, but some text of a fair length")
    assert "damaged" in refusal(checkpoint, new_model())


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.9, 0.999])
def test_end_of_zeros(checkpoint: Path, share: float) -> None:
    content = checkpoint.read_bytes()
    kept = int(len(content) * share)
    checkpoint.write_bytes(content[:kept] + bytes(len(content) - kept))
    assert "damaged" in refusal(checkpoint, new_model())


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_single_bit(checkpoint: Path, share: float) -> None:
    content = bytearray(checkpoint.read_bytes())
    content[int(len(content) * share)] ^= 1
    checkpoint.write_bytes(content)
    refusal(checkpoint, new_model())


def test_a_position_that_was_changed(checkpoint: Path) -> None:
    rewrite_metadata(checkpoint, {"position": '{"epoch": 1}'})
    assert "does not have its fingerprint" in refusal(checkpoint, new_model())


def test_checkpoints_of_earlier_versions_have_no_fingerprint(checkpoint: Path) -> None:
    expected = {name: value.clone() for name, value in read_checkpoint(checkpoint).tensors.items()}
    rewrite_metadata(checkpoint, {"sha256": None})
    found = read_checkpoint(checkpoint)
    assert found.position == POSITION
    assert found.tensors.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found.tensors[name], value)


def test_weights_have_a_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    weights = {"scalar": torch.tensor(1.5), "half": torch.ones(3).bfloat16(), "none": torch.ones(0)}
    save_weights(path, weights)
    assert load_weights(path).keys() == weights.keys()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="weights: damaged: its content does not have its"):
        load_weights(path)


def test_missing(tmp_path: Path) -> None:
    assert "there is no such checkpoint" in refusal(tmp_path / "last", new_model())
    assert "damaged" in refusal(tmp_path, new_model())  # a folder


def test_weights_alone_are_no_checkpoint(tmp_path: Path) -> None:
    save_weights(tmp_path / "weights", new_model().state_dict())
    assert "not a training checkpoint" in refusal(tmp_path / "weights", new_model())


def rewrite_metadata(path: Path, metadata: dict[str, str | None]) -> None:
    """Change or, where the value is None, take away metadata."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    changed = {**header["__metadata__"], **metadata}
    header["__metadata__"] = {key: value for key, value in changed.items() if value is not None}
    written = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(written)) + written + content[8 + length :])


@pytest.mark.parametrize("position", ["{", "[]", '{"epoch": 1, "colour": 2}'])
def test_position_that_is_none(checkpoint: Path, position: str) -> None:
    rewrite_metadata(checkpoint, {"position": position, "sha256": None})
    assert "not a training checkpoint" in refusal(checkpoint, new_model())


def test_of_another_model(checkpoint: Path) -> None:
    narrower = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
    assert "do not fit the model" in refusal(checkpoint, narrower)
    assert "do not fit the model" in refusal(checkpoint, nn.Linear(5, 7))


def test_of_another_optimizer(checkpoint: Path) -> None:
    message = refusal(checkpoint, new_model(), TrainSettings(optimizer="sgd"))
    assert message.endswith("holds the state of AdamW, but train.optimizer asks for SGD")


def test_weights_round_trip(tmp_path: Path) -> None:
    model = new_model()
    save_weights(tmp_path / "weights", model.state_dict())
    other = new_model()
    load_weights_into(other, load_weights(tmp_path / "weights"), tmp_path / "weights")
    assert_same_weights(other, model)


def test_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    model = new_model()
    save_weights(tmp_path / "one", model.state_dict())
    save_weights(tmp_path / "two", dict(reversed(model.state_dict().items())))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
