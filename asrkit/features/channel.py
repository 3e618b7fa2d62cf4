"""Narrow channels: what telephones and poor recordings leave of speech."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from asrkit.features.convolution import convolve

_TELEPHONE_HZ = (300.0, 3400.0)
_FILTER_S = 0.016
_LINEAR_STEPS = 8192
"""Of samples between 0 and 1 before they are compressed, as in G.711."""
_LEVELS = 127
_MU = 255.0


def narrow_channel(
    waves: Tensor,
    wave_lens: Tensor,
    telephone_probability: float,
    low_pass_hz: tuple[float, float] | None,
    low_pass_probability: float,
    sample_rate_hz: int,
    generator: torch.Generator,
) -> Tensor:
    """Send some utterances through a telephone, and some others through a low-pass filter.

    A telephone leaves 300 to 3400 Hz, in the 255 steps of 8-bit mu-law.

    Parameters
    ----------
    waves : Tensor (N, S), float32
        Samples, 0 beyond `wave_lens`. The telephone clips what is beyond [-1, 1].
    wave_lens : Tensor (N,), int64
        Valid samples of each utterance.
    telephone_probability : float
        Share of utterances that are telephoned, in [0, 1].
    low_pass_hz : tuple of two floats, or None
        Lowest and highest cutoff; each utterance's is drawn uniformly. None filters nothing.
    low_pass_probability : float
        Share of the other utterances that are low-pass filtered.
    sample_rate_hz : int
        Of the samples.
    generator : torch.Generator
        On the CPU, where all draws are made whatever the device of `waves`. They do not depend
        on padding.

    Returns
    -------
    Tensor (N, S), float32
        Samples, 0 beyond `wave_lens`; nothing is delayed.
    """
    draws = torch.rand(len(waves), 3, generator=generator)
    is_telephone = draws[:, 0] < telephone_probability
    is_low_passed = torch.zeros_like(is_telephone)
    lowest_hz, highest_hz = torch.zeros(len(waves)), torch.full((len(waves),), _TELEPHONE_HZ[1])
    if low_pass_hz is not None:
        is_low_passed = ~is_telephone & (draws[:, 1] < low_pass_probability)
        cutoffs_hz = low_pass_hz[0] + (low_pass_hz[1] - low_pass_hz[0]) * draws[:, 2]
        highest_hz = torch.where(is_low_passed, cutoffs_hz, highest_hz)
    lowest_hz[is_telephone] = _TELEPHONE_HZ[0]
    chosen = (is_telephone | is_low_passed).nonzero().flatten()
    if len(chosen) == 0:
        return waves
    responses = band_pass(lowest_hz[chosen], highest_hz[chosen], sample_rate_hz)
    rows = chosen.to(waves.device)
    heard = convolve(
        waves[rows], wave_lens[rows], responses.to(waves.device), delay=responses.shape[1] // 2
    )
    telephoned = is_telephone[chosen].nonzero().flatten().to(waves.device)
    heard[telephoned] = mu_law(heard[telephoned])
    return waves.index_copy(0, rows, heard)


def band_pass(lowest_hz: Tensor, highest_hz: Tensor, sample_rate_hz: int) -> Tensor:
    """Make symmetric filters (N, R) that pass a band each, (N,) and (N,): windowed sinc functions.

    A lowest frequency of 0 makes a low-pass filter.
    """
    half = round(_FILTER_S / 2 * sample_rate_hz)
    times = torch.arange(-half, half + 1)
    window = torch.hamming_window(len(times), periodic=False)

    def low_pass(cutoff_hz: Tensor) -> Tensor:
        share = (2 * cutoff_hz / sample_rate_hz).clamp(max=1.0)[:, None]
        return share * torch.sinc(share * times) * window

    return low_pass(highest_hz) - low_pass(lowest_hz)


def mu_law(waves: Tensor) -> Tensor:
    """Quantise samples in [-1, 1] by mu-law with 8 bits; 0 stays 0."""
    magnitudes = torch.arange(_LINEAR_STEPS + 1, dtype=torch.float64) / _LINEAR_STEPS
    compressed = torch.log1p(_MU * magnitudes) / math.log1p(_MU)
    levels = torch.round(compressed * _LEVELS) / _LEVELS
    expanded = torch.expm1(levels * math.log1p(_MU)) / _MU
    table = torch.cat([-expanded.flip(0)[:-1], expanded]).to(waves.device, waves.dtype)
    steps = (waves.clamp(-1.0, 1.0) * _LINEAR_STEPS).round().int() + _LINEAR_STEPS
    return table.index_select(0, steps.flatten()).view(waves.shape)
