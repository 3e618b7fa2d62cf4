"""Each utterance filtered by an impulse response of its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.features.padding import valid_positions

_MIN_BLOCK = 4096


def convolve(waves: Tensor, wave_lens: Tensor, responses: Tensor, delay: int = 0) -> Tensor:
    """Convolve utterances with impulse responses, keeping their lengths.

    By Fourier transforms of overlapping blocks (overlap-save), whose size depends on that of the
    responses alone.

    Parameters
    ----------
    waves : Tensor (N, S), float32
        Samples, 0 beyond `wave_lens`.
    wave_lens : Tensor (N,), int64
        Valid samples of each utterance.
    responses : Tensor (N, R), float32
        One response an utterance, R >= 1.
    delay : int, optional
        Place in the response that keeps a sound where it was, e.g. the middle of a symmetric one.

    Returns
    -------
    Tensor (N, S), float32
        Samples, 0 beyond `wave_lens`: what rings on after the end is cut off.
    """
    size, history = waves.shape[1], responses.shape[1] - 1
    block = max(_MIN_BLOCK, 1 << (2 * history).bit_length())
    hop = block - history
    num_blocks = -(-size // hop)
    padded = F.pad(waves, (history - delay, num_blocks * hop - size + delay))
    spectra = torch.fft.rfft(padded.unfold(1, block, hop))
    spectra *= torch.fft.rfft(responses, block)[:, None]
    filtered: Tensor = torch.fft.irfft(spectra, block)[:, :, history:].flatten(1)[:, :size]
    return filtered.masked_fill_(~valid_positions(wave_lens, size), 0.0)
