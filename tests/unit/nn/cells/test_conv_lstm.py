"""The shapes of the ConvLSTM, how far it hears, and its front end."""

from __future__ import annotations

import math

import pytest
import torch

from asrkit.nn.cells.conv_lstm import ConvLstm
from asrkit.nn.frontend import make_frontend
from asrkit.settings import ModelSettings


def settings_for(bidirectional: bool = True) -> ModelSettings:
    return ModelSettings(frontend="conv_lstm", conv_channels=3, bidirectional=bidirectional)


@pytest.mark.parametrize("num_features", [1, 2, 3, 8, 13])
def test_the_frequency_axis_is_halved(num_features: int) -> None:
    cell = ConvLstm(settings_for(), num_features, 2)
    cell.initialize(settings_for())
    num_bins = math.ceil(num_features / 2)
    assert cell.output_size == 3 * num_bins
    assert cell.peepholes.shape == (2, 3, num_bins, 1, 3)
    outputs, (hidden, memory) = cell([torch.randn(5, 4, num_features)] * 2)
    assert [each.shape for each in outputs] == [(5, 4, 3 * num_bins)] * 2
    assert hidden.shape == memory.shape == (2, 4, 3 * num_bins)


def test_each_frame_carries_a_bin_one_further() -> None:
    torch.manual_seed(0)
    cell = ConvLstm(settings_for(), 20, 1)
    cell.initialize(settings_for())
    frames = torch.randn(4, 1, 20)
    clean = cell([frames])[0][0]
    frames[0, 0, 10] += 1.0  # the centre of bin 5
    changed = (cell([frames])[0][0] != clean).view(4, 10, 3).any(-1)
    heard = [row.nonzero().flatten().tolist() for row in changed]
    assert heard == [[5], [4, 5, 6], [3, 4, 5, 6, 7], [2, 3, 4, 5, 6, 7, 8]]


def test_two_directions_are_summed() -> None:
    torch.manual_seed(0)
    both = make_frontend(settings_for(), 9)
    single = make_frontend(settings_for(bidirectional=False), 9)
    assert both.output_size == single.output_size == 3 * 5
    feats, lens = torch.randn(2, 7, 9), torch.tensor([7, 7])
    total = torch.zeros(2, 7, 15)
    for d, turn in enumerate([lambda x: x, lambda x: x.flip(1)]):
        for mine, theirs in zip(single.parameters(), both.parameters(), strict=True):
            mine.data.copy_(theirs.data[d : d + 1])
        total += turn(single(turn(feats), lens))
    torch.testing.assert_close(both(feats, lens), total)
