"""A layer over a padded batch against torch's packed sequences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asrkit.nn.cells.cell import Cell
from asrkit.nn.recurrent import RecurrentLayer
from asrkit.nn.reversal import reversal_index
from asrkit.settings import ModelSettings

LENS = torch.tensor([6, 1, 9, 4])


def copy_weights(source: Cell, direction: int, target: nn.LSTM, suffix: str) -> None:
    with torch.no_grad():
        getattr(target, f"weight_ih_l0{suffix}").copy_(source.input_weight[direction])
        getattr(target, f"weight_hh_l0{suffix}").copy_(source.recurrent_weight[direction])
        getattr(target, f"bias_ih_l0{suffix}").copy_(source.bias[direction])
        getattr(target, f"bias_hh_l0{suffix}").zero_()


def packed(reference: nn.LSTM, frames: Tensor) -> Tensor:
    states, _ = reference(pack_padded_sequence(frames, LENS, enforce_sorted=False))
    return pad_packed_sequence(states, total_length=len(frames))[0]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_sequences(bidirectional: bool) -> None:
    torch.manual_seed(4)
    settings = ModelSettings(hidden_size=7, bidirectional=bidirectional)
    layer = RecurrentLayer(settings, 5).double()
    reference = nn.LSTM(5, 7, bidirectional=bidirectional).double()
    copy_weights(layer.cell, 0, reference, "")
    if bidirectional:
        copy_weights(layer.cell, 1, reference, "_reverse")

    frames = torch.randn(11, 4, 5, dtype=torch.float64)  # rubbish beyond the lengths
    mine, theirs = frames.clone().requires_grad_(), frames.clone().requires_grad_()
    found = layer(mine, reversal_index(LENS, 11))
    expected = packed(reference, theirs)
    valid = torch.arange(11)[:, None] < LENS
    assert found.shape == (11, 4, layer.output_size)
    torch.testing.assert_close(found[valid], expected[valid], rtol=1e-12, atol=1e-12)

    weights = torch.randn(found[valid].shape, dtype=torch.float64)
    (found[valid] * weights).sum().backward()
    (expected[valid] * weights).sum().backward()
    assert mine.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-10, atol=1e-12)
    assert not mine.grad[~valid].any()  # nothing valid has seen the padding
