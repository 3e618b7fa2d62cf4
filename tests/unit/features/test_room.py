"""Rooms: echoes decay as asked for, are as strong as asked for, and delay nothing."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.features.room import add_room, draw_responses

RATE_HZ = 16000


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def in_room(waves: Tensor, lens: list[int], probability: float = 1.0, seed: int = 3) -> Tensor:
    limits = (0.2, 0.5), (0.0, 10.0)
    return add_room(waves, torch.tensor(lens), *limits, probability, RATE_HZ, seeded(seed))


@pytest.mark.parametrize("t60_s", [0.2, 0.7])
def test_echoes_fall_by_60_db_in_the_time_drawn(t60_s: float) -> None:
    echoes = draw_responses(200, (t60_s, t60_s), (0.0, 0.0), RATE_HZ, seeded(1))[:, 1:]
    energy = echoes.square().mean(dim=0)
    window = round(0.02 * RATE_HZ)
    level_db = 10 * torch.log10(energy.unfold(0, window, window).mean(dim=1))
    start, stop = 3, int(0.9 * t60_s / 0.02)  # after the mixing time
    fall_db = (level_db[start] - level_db[stop]) / ((stop - start) * 0.02)
    assert abs(fall_db.item() - 60 / t60_s) < 0.05 * 60 / t60_s


def test_the_direct_sound_comes_at_once_and_is_as_strong_as_asked_for() -> None:
    responses = draw_responses(50, (0.2, 0.6), (-3.0, 12.0), RATE_HZ, seeded(2))
    assert (responses[:, 0] == 1).all()
    assert not responses[:, 1 : round(0.002 * RATE_HZ)].any()
    ratios_db = -10 * torch.log10(responses[:, 1:].square().sum(dim=1))
    assert ratios_db.min() > -3.01
    assert ratios_db.max() < 12.01
    assert ratios_db.max() - ratios_db.min() > 10


def test_echoes_are_single_at_first_and_dense_later() -> None:
    responses = draw_responses(50, (0.5, 0.5), (0.0, 0.0), RATE_HZ, seeded(3))
    is_there = (responses != 0).float().mean(dim=0)
    assert is_there[32 : round(0.01 * RATE_HZ)].mean() < 0.04
    assert is_there[round(0.051 * RATE_HZ) :].mean() > 0.99


def test_speech_stays_in_place_and_as_loud() -> None:
    lens = [16000, 9000, 0]
    waves = torch.stack([F.pad(torch.randn(n, generator=seeded(4)), (0, 16000 - n)) for n in lens])
    heard = in_room(waves, lens)
    assert heard.shape == waves.shape
    assert heard.isfinite().all()
    assert not heard[1, 9000:].any()
    torch.testing.assert_close(heard.norm(dim=1), waves.norm(dim=1))
    spectra = torch.fft.rfft(waves[0], 32000), torch.fft.rfft(heard[0], 32000)
    lag = torch.fft.irfft(spectra[1] * spectra[0].conj(), 32000).argmax()
    assert lag == 0


def test_padding_changes_nothing() -> None:
    lens = [8000, 3000, 5000]
    waves = torch.stack([F.pad(torch.randn(n, generator=seeded(5)), (0, 8000 - n)) for n in lens])
    for probability in (0.5, 1.0):
        heard = in_room(waves, lens, probability)
        padded = in_room(F.pad(waves, (0, 777)), lens, probability)
        torch.testing.assert_close(padded[:, :8000], heard, atol=1e-5, rtol=0)


def test_reproducible_and_only_for_some() -> None:
    waves = torch.randn(400, 300, generator=seeded(6))
    before = torch.get_rng_state()
    heard = in_room(waves, [300] * 400, probability=0.3)
    assert torch.equal(heard, in_room(waves, [300] * 400, probability=0.3))
    assert torch.equal(torch.get_rng_state(), before)
    changed = (heard != waves).any(dim=1).sum()
    assert 90 <= changed <= 150
    assert torch.equal(in_room(waves, [300] * 400, probability=0.0), waves)


def test_silence_stays_silent() -> None:
    assert not in_room(torch.zeros(1, 4000), [4000]).any()
    assert math.isfinite(in_room(torch.full((1, 4000), 1e-12), [4000]).sum().item())
