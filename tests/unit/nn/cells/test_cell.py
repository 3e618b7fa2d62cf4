"""First weights, and the dropout of the recurrent connections."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from asrkit.nn.cells.cell import Cell, truncate_backpropagation
from asrkit.nn.cells.conv_lstm import ConvLstm
from asrkit.nn.cells.family import CELLS, make_cell
from asrkit.settings import ModelSettings

NAMES = [*CELLS, "conv_lstm"]
WHERE_IT_FORGETS = {"gru": 2, "lstm_coupled": 0, "lstm_1997": None, "tanh": None}
"""The block of gates that keeps the state, where it is not the second."""


def make(name: str, **others: Any) -> Cell:
    torch.manual_seed(0)
    if name == "conv_lstm":
        settings = ModelSettings.model_validate({"conv_channels": 16, **others})
        cell = ConvLstm(settings, 12, 2)
        cell.initialize(settings)
        return cell
    sizes = {"cell": name, "hidden_size": 16, "projection_size": 8}
    return make_cell(ModelSettings.model_validate({**sizes, **others}), 12, 2)


def drawn(cell: Cell) -> dict[str, torch.Tensor]:
    """All that is drawn at random."""
    normal = ("input_gain", "recurrent_gain", "cell_gain", "cell_bias")
    return {name: each for name, each in cell.named_parameters() if name not in normal}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("settings", "bound"),
    [({}, 0.25), ({"init": "uniform"}, 0.1), ({"init": "uniform", "init_range": 0.03}, 0.03)],
)
def test_uniform_weights(name: str, settings: dict[str, Any], bound: float) -> None:
    cell = make(name, forget_bias=0.0, **settings)
    for key, parameter in drawn(cell).items():
        assert 0.8 * bound < parameter.abs().max() <= bound, key
        assert parameter.unique().numel() > 0.99 * parameter.numel(), key


@pytest.mark.parametrize("name", NAMES)
def test_orthogonal_weights(name: str) -> None:
    cell = make(name, init="orthogonal")
    columns = cell.recurrent_weight.shape[-1]
    for block in cell.recurrent_weight.view(-1, 16, columns):
        product = block.T @ block if columns < 16 else block @ block.T
        torch.testing.assert_close(product, torch.eye(len(product)), rtol=0, atol=1e-5)
    assert cell.input_weight.abs().max() <= 0.25


@pytest.mark.parametrize("name", NAMES)
def test_forget_bias(name: str) -> None:
    without, biased = make(name, forget_bias=0.0), make(name, forget_bias=2.5)
    added = (biased.bias - without.bias).view(2, cell_gates(biased), 16)
    expected = torch.zeros_like(added)
    block = WHERE_IT_FORGETS.get(name, 1)
    if block is not None:
        expected[:, block] = 2.5
    torch.testing.assert_close(added, expected, rtol=0, atol=1e-6)


def cell_gates(cell: Cell) -> int:
    return cell.bias.shape[1] // 16


@pytest.mark.parametrize("name", ["lstm", "lstm_coupled", "lstm_layer_norm", "gru", "conv_lstm"])
def test_an_open_forget_gate_keeps_the_state(name: str) -> None:
    cell = make(name, forget_bias=50.0)
    inputs = [0.1 * torch.randn(6, 3, 12) for _ in range(2)]
    with torch.no_grad():
        if WHERE_IT_FORGETS.get(name, 1) == 1:  # only then a gate of its own lets anything in
            cell.bias[:, :16] = -50.0
        start = tuple(torch.rand_like(each) for each in cell(inputs)[1])
        _, (_, kept) = cell(inputs, start)
    torch.testing.assert_close(kept, start[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_recurrent_dropout(name: str) -> None:
    cell = make(name, recurrent_dropout=0.25)
    mask = cell.recurrent_mask(2000)
    assert mask is not None
    assert mask.shape == (2, 2000, cell.output_size)
    assert mask.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert mask.mean().item() == pytest.approx(1.0, abs=0.02)
    assert not torch.equal(mask[0], mask[1])
    inputs = [torch.randn(6, 3, 12) for _ in range(2)]
    first, second = cell(inputs)[0][0], cell(inputs)[0][0]
    torch.testing.assert_close(first[0], second[0])  # the first frame hears nothing
    assert not torch.allclose(first[1:], second[1:])
    cell.eval()
    assert cell.recurrent_mask(2) is None
    assert torch.equal(cell(inputs)[0][0], cell(inputs)[0][0])


def test_truncation_reaches_every_cell() -> None:
    network = torch.nn.ModuleList([make("lstm"), torch.nn.Sequential(make("conv_lstm"))])
    truncate_backpropagation(network, 7)
    assert [each.truncate_frames for each in network.modules() if isinstance(each, Cell)] == [7, 7]
