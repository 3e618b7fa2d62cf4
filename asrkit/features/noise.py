"""Additive noise at a chosen signal-to-noise ratio."""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.features.convolution import convolve
from asrkit.features.draws import draw_uniform

_FLAT_BELOW_HZ = 50.0
"""Coloured noise rises no further below this, where speech has nothing to lose."""
_COLOUR_S = 0.064
"""Length of the filters that colour it."""


def add_noise(
    waves: Tensor,
    wave_lens: Tensor,
    snr_db: tuple[float, float],
    probability: float,
    generator: torch.Generator,
    slope: tuple[float, float] = (0.0, 0.0),
    sample_rate_hz: int = 16000,
) -> Tensor:
    """Add Gaussian noise to some utterances, each at an exact ratio of its own.

    Parameters
    ----------
    waves : Tensor (N, S), float32
        Samples, 0 beyond `wave_lens`. They are not clipped to [-1, 1] afterwards.
    wave_lens : Tensor (N,), int64
        Valid samples of each utterance.
    snr_db : tuple of two floats
        Lowest and highest signal-to-noise ratio; each utterance's is drawn uniformly.
    probability : float
        Share of utterances that get noise, in [0, 1].
    generator : torch.Generator
        On the CPU, where all draws are made whatever the device of `waves`. They do not depend
        on padding.
    slope : tuple of two floats, optional
        The power of an utterance's noise falls with frequency to a power drawn uniformly from this
        range: 0 is white, 1 pink, 2 brown.
    sample_rate_hz : int, optional
        Of the samples; white noise has no need of it.

    Returns
    -------
    Tensor (N, S), float32
        Noisy samples, 0 beyond `wave_lens`.
    """
    chosen = torch.rand(len(waves), generator=generator) < probability
    ratios_db = draw_uniform(snr_db, len(waves), generator)
    noise = torch.zeros(waves.shape)
    for row, length in enumerate(wave_lens.tolist()):
        if chosen[row]:
            noise[row, :length] = torch.randn(length, generator=generator)
    noise = noise.to(waves.device)
    if slope != (0.0, 0.0) and chosen.any():
        slopes = draw_uniform(slope, len(waves), generator)
        colours = _colours(slopes[chosen], sample_rate_hz).to(waves.device)
        rows = chosen.nonzero().flatten().to(waves.device)
        noise[rows] = convolve(noise[rows], wave_lens[rows], colours, delay=colours.shape[1] // 2)
    return mix(waves, noise, ratios_db)


def mix(waves: Tensor, noise: Tensor, ratios_db: Tensor) -> Tensor:
    """Add noise (N, S) to waves (N, S), scaled to exact signal-to-noise ratios (N,).

    Signal and noise power are both measured on the samples at hand, so the ratio of the two sums of
    squares is the one asked for, not only its expectation. Digital silence, which no ratio fits,
    stays silent.
    """
    signal, unscaled = (torch.linalg.vector_norm(each, dim=1) for each in (waves, noise))
    # Where nothing is added there is no noise to measure, and any other size serves.
    unscaled = unscaled.masked_fill(unscaled == 0, 1.0)
    gain = signal / unscaled * 10 ** (-ratios_db.to(waves.device) / 20)
    return torch.addcmul(waves, gain[:, None], noise)


def _colours(slopes: Tensor, sample_rate_hz: int) -> Tensor:
    """Make symmetric filters (N, R) that let power through as 1 / frequency ** slope, (N,)."""
    half = round(_COLOUR_S / 2 * sample_rate_hz)
    frequencies_hz = torch.arange(half + 1) * (sample_rate_hz / 2 / half)
    steepness = frequencies_hz.clamp(min=_FLAT_BELOW_HZ).log()
    filters = torch.fft.irfft(torch.exp(-slopes[:, None] / 2 * steepness), 2 * half)
    window = torch.hann_window(2 * half)
    colours: Tensor = filters.roll(half, dims=1) * window
    return colours
