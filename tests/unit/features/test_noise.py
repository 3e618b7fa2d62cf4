"""Noise has exactly the ratio that was asked for, and is nowhere else."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asrkit.features.noise import add_noise


def make_waves(lens: list[int], size: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.stack(
        [
            F.pad(0.1 * torch.randn(length, generator=generator), (0, size - length))
            for length in lens
        ]
    )


def noisy(
    waves: Tensor, lens: list[int], snr_db: tuple[float, float], share: float, seed: int
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return add_noise(waves, torch.tensor(lens), snr_db, share, generator)


def measure_snr_db(clean: Tensor, mixed: Tensor) -> Tensor:
    noise = mixed.double() - clean.double()
    return 10 * torch.log10(clean.double().square().sum(-1) / noise.square().sum(-1))


@settings(max_examples=30, deadline=None)
@given(
    lens=st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    snr_db=st.floats(-20, 50),
    seed=st.integers(0, 2**31),
)
def test_the_ratio_is_exact(lens: list[int], snr_db: float, seed: int) -> None:
    waves = make_waves(lens, max(lens) + 500)
    measured = measure_snr_db(waves, noisy(waves, lens, (snr_db, snr_db), 1.0, seed))
    expected = torch.full_like(measured, snr_db)
    torch.testing.assert_close(measured, expected, atol=0.01, rtol=0)


def test_ratios_fill_their_range() -> None:
    lens = [200] * 500
    waves = make_waves(lens, 200)
    measured = measure_snr_db(waves, noisy(waves, lens, (5.0, 25.0), 1.0, 2))
    assert measured.min() > 4.99
    assert measured.max() < 25.01
    assert measured.min() < 5.5
    assert measured.max() > 24.5
    assert abs(measured.mean() - 15) < 1


def test_the_noise_is_white_and_gaussian() -> None:
    waves = make_waves([40_000], 40_000)
    noise = (noisy(waves, [40_000], (10.0, 10.0), 1.0, 3) - waves)[0].double()
    noise = noise / noise.std()
    assert abs(noise.mean()) < 0.02
    assert abs(noise.pow(4).mean() - 3) < 0.2
    assert abs((noise[1:] * noise[:-1]).mean()) < 0.02


def coloured(waves: Tensor, lens: list[int], slope: tuple[float, float], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return add_noise(waves, torch.tensor(lens), (10.0, 10.0), 1.0, generator, slope, 16000)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_the_power_of_coloured_noise_falls_with_frequency(slope: float) -> None:
    waves = make_waves([160_000], 160_000)
    noise = (coloured(waves, [160_000], (slope, slope), 3) - waves)[0]
    spectra = torch.fft.rfft(noise.unfold(0, 1600, 800) * torch.hann_window(1600))
    power = spectra.abs().square().mean(dim=0)  # 10 Hz a bin
    octaves = [power[low : 2 * low].mean() for low in (10, 20, 40, 80, 160, 320)]
    falls = [math.log2(low / high) for low, high in pairwise(octaves)]
    assert all(abs(fall - slope) < 0.35 for fall in falls), falls
    assert power[1] < 2.5 * power[4]  # flat below 50 Hz


def test_coloured_noise_has_its_ratio_and_does_not_hear_padding() -> None:
    lens = [8000, 3000, 5000]
    waves = make_waves(lens, 8000)
    mixed = coloured(waves, lens, (0.0, 2.0), 4)
    torch.testing.assert_close(
        measure_snr_db(waves, mixed), torch.full((3,), 10.0).double(), atol=0.01, rtol=0
    )
    padded = coloured(F.pad(waves, (0, 333)), lens, (0.0, 2.0), 4)
    assert not padded[1, 3000:].any()
    torch.testing.assert_close(padded[:, :8000], mixed, atol=1e-6, rtol=0)


def test_padding_stays_zero_and_does_not_change_the_draw() -> None:
    lens = [800, 300, 500]
    waves = make_waves(lens, 800)
    mixed = noisy(waves, lens, (0.0, 20.0), 0.7, 4)
    padded = noisy(F.pad(waves, (0, 333)), lens, (0.0, 20.0), 0.7, 4)
    for row, length in enumerate(lens):
        assert not padded[row, length:].any()
    torch.testing.assert_close(padded[:, :800], mixed, atol=1e-7, rtol=0)


def test_the_share_of_noisy_utterances() -> None:
    lens = [50] * 1000
    waves = make_waves(lens, 50)
    for share, lowest, highest in ((0.0, 0, 0), (0.3, 240, 360), (1.0, 1000, 1000)):
        changed = (noisy(waves, lens, (10.0, 10.0), share, 5) != waves).any(dim=1).sum()
        assert lowest <= changed <= highest


def test_silence_and_emptiness_stay_as_they_are() -> None:
    waves = torch.zeros(2, 400)
    assert torch.equal(noisy(waves, [400, 0], (0.0, 10.0), 1.0, 6), waves)
    assert noisy(torch.zeros(1, 0), [0], (0.0, 10.0), 1.0, 6).shape == (1, 0)


def test_reproducible_from_the_generator() -> None:
    waves = make_waves([300, 300], 300)
    before = torch.get_rng_state()
    mixed = noisy(waves, [300, 300], (0.0, 20.0), 1.0, 7)
    assert torch.equal(mixed, noisy(waves, [300, 300], (0.0, 20.0), 1.0, 7))
    assert not torch.equal(mixed, noisy(waves, [300, 300], (0.0, 20.0), 1.0, 8))
    assert torch.equal(torch.get_rng_state(), before)
    noise = mixed - waves
    assert not torch.allclose(noise[0], noise[1])
