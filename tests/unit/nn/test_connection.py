"""How layers are joined."""

from __future__ import annotations

import torch

from asrkit.nn.connection import make_connection

INPUTS, OUTPUTS = torch.randn(2, 7, 3, 4)


def test_plain_and_residual() -> None:
    assert torch.equal(make_connection("plain", 4)(INPUTS, OUTPUTS), OUTPUTS)
    assert torch.equal(make_connection("residual", 4)(INPUTS, OUTPUTS), INPUTS + OUTPUTS)


def test_highway() -> None:
    torch.manual_seed(0)
    highway = make_connection("highway", 4)
    assert highway.gate.bias.tolist() == [-1.0] * 4
    share = torch.sigmoid(INPUTS @ highway.gate.weight.T + highway.gate.bias)
    expected = share * OUTPUTS + (1 - share) * INPUTS
    torch.testing.assert_close(highway(INPUTS, OUTPUTS), expected)
