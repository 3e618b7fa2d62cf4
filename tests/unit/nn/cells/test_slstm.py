"""The sLSTM's exponential gates, far beyond what float32 can hold."""

from __future__ import annotations

import pytest
import torch

from asrkit.nn.cells.family import make_cell
from asrkit.settings import ModelSettings


@pytest.mark.parametrize("first", [-200.0, 0.0, 200.0])
def test_nothing_overflows_and_nothing_is_divided_by_zero(first: float) -> None:
    torch.manual_seed(0)
    hidden, num_frames = 4, 40
    cell = make_cell(ModelSettings(cell="slstm", hidden_size=hidden), 4 * hidden, 1)
    with torch.no_grad():  # the inputs are the gates
        cell.input_weight.copy_(torch.eye(4 * hidden))
        cell.recurrent_weight.zero_()
        cell.bias.zero_()
    gates = 200.0 * torch.randint(-1, 2, (num_frames, 1, 4, hidden)).float()
    gates[:, :, 2:] = torch.randn(num_frames, 1, 2, hidden)
    gates[0, :, 0] = first
    frames = gates.flatten(2).requires_grad_()
    (outputs,), state = cell([frames])
    assert all(each.isfinite().all() for each in (outputs, *state))
    outputs.sum().backward()
    assert frames.grad is not None
    assert frames.grad.isfinite().all()

    c = n = torch.zeros(1, hidden, dtype=torch.float64)
    for output, (i, f, z, o) in zip(outputs, gates.double().transpose(1, 2), strict=True):
        c = torch.sigmoid(f) * c + torch.exp(i) * torch.tanh(z)
        n = torch.sigmoid(f) * n + torch.exp(i)
        torch.testing.assert_close(output.double(), o.sigmoid() * c / n, rtol=1e-4, atol=1e-5)
