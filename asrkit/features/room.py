"""Rooms: speech from a distance, with the echoes of walls that do not exist."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from asrkit.features.convolution import convolve
from asrkit.features.draws import draw_uniform

_FIRST_ECHO_S = 0.002
_MIXING_TIME_S = 0.05
"""From here on echoes are so many that they are noise."""


def add_room(
    waves: Tensor,
    wave_lens: Tensor,
    t60_s: tuple[float, float],
    direct_db: tuple[float, float],
    probability: float,
    sample_rate_hz: int,
    generator: torch.Generator,
) -> Tensor:
    """Put some utterances into rooms of their own, without delay and as loud as they were.

    Parameters
    ----------
    waves : Tensor (N, S), float32
        Samples, 0 beyond `wave_lens`.
    wave_lens : Tensor (N,), int64
        Valid samples of each utterance.
    t60_s : tuple of two floats
        Shortest and longest time in which the echoes fall by 60 dB; each room's is drawn uniformly.
    direct_db : tuple of two floats
        Energy of the direct sound over that of all echoes; each room's is drawn uniformly.
    probability : float
        Share of utterances that are put into a room, in [0, 1].
    sample_rate_hz : int
        Of the samples.
    generator : torch.Generator
        On the CPU, where all draws are made whatever the device of `waves`. They do not depend
        on padding.

    Returns
    -------
    Tensor (N, S), float32
        Samples, 0 beyond `wave_lens`: what rings on after the end is cut off.
    """
    chosen = (torch.rand(len(waves), generator=generator) < probability).nonzero().flatten()
    if len(chosen) == 0:
        return waves
    responses = draw_responses(len(chosen), t60_s, direct_db, sample_rate_hz, generator)
    rows = chosen.to(waves.device)
    dry = waves[rows]
    wet = convolve(dry, wave_lens[rows], responses.to(waves.device))
    before, after = (torch.linalg.vector_norm(each, dim=1) for each in (dry, wet))
    wet *= (before / after.clamp(min=1e-10))[:, None]
    return waves.index_copy(0, rows, wet)


def draw_responses(
    count: int,
    t60_s: tuple[float, float],
    direct_db: tuple[float, float],
    sample_rate_hz: int,
    generator: torch.Generator,
) -> Tensor:
    """Draw impulse responses (count, R) of rooms: the direct sound, 1 at once, and its echoes.

    As in a room, echoes grow denser with the square of time and each grows weaker with time, so
    that their energy falls exponentially: single ones at first, after the mixing time Gaussian
    noise, the tail of Polack's model.
    """
    times_s = torch.arange(1 + math.ceil(t60_s[1] * sample_rate_hz)) / sample_rate_hz
    t60 = draw_uniform(t60_s, count, generator)
    direct = draw_uniform(direct_db, count, generator)
    shape = (count, len(times_s))
    density = (times_s / _MIXING_TIME_S).square().clamp(max=1.0)
    density[times_s < _FIRST_ECHO_S] = 0.0
    is_there = torch.rand(shape, generator=generator) < density
    echoes = torch.randn(shape, generator=generator) * is_there * density.clamp(min=1e-9).rsqrt()
    echoes *= torch.exp(-math.log(1000) * times_s / t60[:, None])
    energy = echoes.square().sum(dim=1).clamp(min=1e-20)
    echoes *= (10 ** (-direct / 10) / energy).sqrt()[:, None]
    echoes[:, 0] = 1.0
    return echoes
