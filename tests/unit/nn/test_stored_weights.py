"""Weights stored in fewer bytes come back as float32, hardly changed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from asrkit.errors import ModelFileError
from asrkit.nn.stored_weights import Storage, from_stored, to_stored


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(40, 30))
    network.register_buffer("mean", torch.tensor([1 / 3, 1e9]))
    return network


@pytest.mark.parametrize(
    ("storage", "share", "error"),
    [("float32", 1.0, 0.0), ("float16", 0.51, 2**-11), ("int8", 0.36, 0.5 / 127)],
)
def test_size_and_loss(network: nn.Module, storage: Storage, share: float, error: float) -> None:
    before = network.state_dict()
    stored = to_stored(network, storage)
    sizes = [sum(v.numel() * v.itemsize for v in each.values()) for each in (stored, before)]
    assert sizes[0] <= share * sizes[1]
    after = from_stored(stored)
    assert after.keys() == before.keys()
    for name, value in before.items():
        assert after[name].dtype == torch.float32
        largest = value.abs().amax(dim=-1, keepdim=True)
        assert ((after[name] - value).abs() <= 1.001 * error * largest).all()
    assert torch.equal(after["mean"], before["mean"])


def test_rounding_twice_is_rounding_once(network: nn.Module) -> None:
    once = to_stored(network, "int8")
    network.load_state_dict(from_stored(once))
    twice = to_stored(network, "int8")
    for name, value in once.items():
        if value.dtype == torch.int8:
            assert torch.equal(twice[name], value)


def test_too_large_for_float16(network: nn.Module) -> None:
    with torch.no_grad():
        network[1].bias[3] = 1e5
    with pytest.raises(ModelFileError, match=r"1\.bias: holds 100000; expected at most 65504"):
        to_stored(network, "float16")


def test_scales_that_do_not_fit(network: nn.Module) -> None:
    stored = to_stored(network, "int8")
    stored["1.weight.scale"] = torch.ones(1, 40)
    with pytest.raises(
        ModelFileError, match=r"1\.weight: scales of shape \(1, 40\) for \(30, 40\)"
    ):
        from_stored(stored)
