"""Channels pass their band and stop the rest; mu-law is that of G.711."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.features.channel import band_pass, mu_law, narrow_channel
from asrkit.features.gain import change_gain

RATE_HZ = 16000


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tone(hertz: float, amplitude: float = 0.5) -> Tensor:
    return amplitude * torch.sin(2 * math.pi * hertz * torch.arange(8000) / RATE_HZ)


def send(
    waves: Tensor,
    telephone: float = 0.0,
    low_pass_hz: tuple[float, float] | None = None,
    low_pass: float = 1.0,
    seed: int = 1,
) -> Tensor:
    lens = torch.full((len(waves),), waves.shape[1])
    return narrow_channel(waves, lens, telephone, low_pass_hz, low_pass, RATE_HZ, seeded(seed))


def level_db(wave: Tensor) -> float:
    """Of what is heard for long."""
    return 20 * math.log10(wave[1000:-1000].square().mean().sqrt().item() + 1e-9)


@pytest.mark.parametrize(
    ("hertz", "passes"), [(60, False), (500, True), (1000, True), (3000, True), (4000, False)]
)
def test_what_a_telephone_passes(hertz: float, passes: bool) -> None:
    wave = tone(hertz)
    heard = send(wave[None], telephone=1.0)[0]
    if passes:
        assert abs(level_db(heard) - level_db(wave)) < 0.5
        assert level_db(heard - wave) - level_db(wave) < -25  # and it is not delayed
    else:
        assert level_db(heard) - level_db(wave) < -25


@pytest.mark.parametrize("cutoff_hz", [1000.0, 4000.0, 7500.0])
def test_a_low_pass_filter(cutoff_hz: float) -> None:
    (response,) = band_pass(torch.tensor([0.0]), torch.tensor([cutoff_hz]), RATE_HZ)
    torch.testing.assert_close(response, response.flip(0), atol=1e-8, rtol=0)
    gains_db = 20 * torch.log10(torch.fft.rfft(response, RATE_HZ).abs() + 1e-9)
    assert gains_db[: int(cutoff_hz) - 150].abs().max() < 0.1
    assert gains_db[int(cutoff_hz) + 150 :].max() < -40
    beyond = band_pass(torch.tensor([0.0]), torch.tensor([9000.0]), RATE_HZ)[0]
    torch.testing.assert_close(beyond, F.one_hot(torch.tensor(128), 257).float(), atol=1e-6, rtol=0)


def test_mu_law_has_255_steps_fine_near_zero() -> None:
    levels = mu_law(torch.linspace(-1.0, 1.0, 100_001)).unique()
    assert len(levels) == 255
    assert torch.equal(levels, -levels.flip(0))
    # From code to code, compressed values are equally far apart.
    compressed = levels.sign() * torch.log1p(255 * levels.abs()) / math.log(256)
    torch.testing.assert_close(compressed.diff(), torch.full((254,), 1 / 127), atol=1e-4, rtol=0)
    samples = 0.3 * torch.randn(1000, generator=seeded(2)).clamp(-3, 3)
    steps = (mu_law(samples) - samples).abs()
    assert (steps <= 0.03 * samples.abs() + 1e-3).all()
    assert mu_law(torch.tensor([0.0, 7.0, -7.0])).tolist() == pytest.approx([0.0, 1.0, -1.0])


def test_who_is_sent_where() -> None:
    waves = 0.1 * torch.randn(400, 600, generator=seeded(3))
    assert torch.equal(send(waves), waves)
    heard = send(waves, telephone=0.25, low_pass_hz=(1000.0, 6000.0), low_pass=0.4)
    levels = mu_law(torch.linspace(-1.0, 1.0, 100_001)).unique()
    is_changed = (heard != waves).any(dim=1)
    is_telephone = torch.isin(heard, levels).all(dim=1)
    assert 75 <= is_telephone.sum() <= 125
    assert 90 <= (is_changed & ~is_telephone).sum() <= 150
    again = send(waves, telephone=0.25, low_pass_hz=(1000.0, 6000.0), low_pass=0.4)
    assert torch.equal(heard, again)


def test_padding_changes_nothing_and_stays_zero() -> None:
    lens = torch.tensor([3000, 1200, 0])
    waves = torch.stack([F.pad(tone(700)[:n], (0, 3000 - n)) for n in lens.tolist()])
    for telephone in (0.5, 1.0):
        settings = (telephone, (2000.0, 5000.0), 1.0, RATE_HZ)
        heard = narrow_channel(waves, lens, *settings, seeded(4))
        padded = narrow_channel(F.pad(waves, (0, 555)), lens, *settings, seeded(4))
        assert not heard[1, 1200:].any()
        assert not padded[:, 3000:].any()
        # A rounding error may move a sample by one of the telephone's steps.
        torch.testing.assert_close(padded[:, :3000], heard, atol=0.03, rtol=0)
        assert (padded[:, :3000] - heard).abs().mean() < 1e-5


def test_gain() -> None:
    waves = 0.1 * torch.randn(300, 50, generator=seeded(5))
    louder = change_gain(waves, (-6.0, 12.0), seeded(6))
    gains_db = 20 * torch.log10(louder.norm(dim=1) / waves.norm(dim=1))
    assert gains_db.min() > -6.01
    assert gains_db.max() < 12.01
    assert gains_db.max() - gains_db.min() > 17
    gains = louder.norm(dim=1) / waves.norm(dim=1)
    torch.testing.assert_close(louder, gains[:, None] * waves)
    assert torch.equal(louder, change_gain(waves, (-6.0, 12.0), seeded(6)))
