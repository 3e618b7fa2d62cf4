"""Filtering by blocks is convolution, cut to the length of each utterance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asrkit.features.convolution import convolve


def random_waves(lens: list[int], size: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randn(length, generator=generator) for length in lens]
    return torch.stack([F.pad(row, (0, size - len(row))) for row in rows])


@settings(max_examples=40, deadline=None)
@given(
    lens=st.lists(st.integers(0, 9000), min_size=1, max_size=3),
    num_taps=st.integers(1, 3000),
    delay_share=st.sampled_from([0.0, 0.5]),
)
def test_convolution_by_definition(lens: list[int], num_taps: int, delay_share: float) -> None:
    waves = random_waves(lens, max(lens) + 10)
    responses = random_waves([num_taps] * len(lens), num_taps, seed=2)
    delay = int(delay_share * (num_taps - 1))
    found = convolve(waves, torch.tensor(lens), responses, delay)
    assert found.shape == waves.shape
    for row, length in enumerate(lens):
        assert not found[row, length:].any()
        if length:
            full = np.convolve(waves[row, :length].double(), responses[row].double())
            expected = torch.from_numpy(full[delay : delay + length])
            torch.testing.assert_close(found[row, :length].double(), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("extra", [1, 333, 5000])
def test_neither_padding_nor_company_changes_a_sample(extra: int) -> None:
    lens = [9000, 100, 4000]
    waves, responses = random_waves(lens, 9000), random_waves([500] * 3, 500, seed=2)
    together = convolve(F.pad(waves, (0, extra)), torch.tensor(lens), responses)
    for row, length in enumerate(lens):
        one = slice(row, row + 1)
        alone = convolve(waves[one, :length], torch.tensor([length]), responses[one])
        torch.testing.assert_close(together[row, :length], alone[0], atol=1e-5, rtol=0)
