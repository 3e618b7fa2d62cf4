"""First weights of what is not a recurrence."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from asrkit.nn.network import CtcNetwork
from asrkit.settings import ModelSettings


def make(**settings: Any) -> CtcNetwork:
    torch.manual_seed(0)
    sizes = {"num_layers": 2, "hidden_size": 20, "connection": "highway", "frontend": "conv"}
    return CtcNetwork(ModelSettings.model_validate({**sizes, **settings}), 12, 9)


@pytest.mark.parametrize("init_range", [0.1, 0.02])
def test_uniform_reaches_all_weights(init_range: float) -> None:
    network = make(init="uniform", init_range=init_range, forget_bias=0.0)
    for name, parameter in network.named_parameters():
        assert 0.5 * init_range < parameter.abs().max() <= init_range, name


def test_the_forget_bias_stays() -> None:
    bias = make(init="uniform", forget_bias=3.0).encoder.layers[0].cell.bias.view(2, 4, 20)
    torch.testing.assert_close(bias[:, 1], torch.full((2, 20), 3.0), rtol=0, atol=0.1)
    assert bias[:, [0, 2, 3]].abs().max() <= 0.1


def test_other_kinds_leave_the_rest_to_torch() -> None:
    for init in ("scaled_uniform", "orthogonal"):
        network = make(init=init)
        torch.testing.assert_close(
            network.encoder.connections[1].gate.bias, torch.full((40,), -1.0)
        )
        assert network.encoder.frontend.convolutions[0].weight.abs().max() > 0.2
