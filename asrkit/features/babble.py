"""Babble: the voices of other utterances of the batch behind each."""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.features.draws import draw_uniform
from asrkit.features.noise import mix


def add_babble(
    waves: Tensor,
    wave_lens: Tensor,
    snr_db: tuple[float, float],
    probability: float,
    num_voices: int,
    generator: torch.Generator,
) -> Tensor:
    """Add other utterances of the batch to some, all together at an exact ratio.

    All voices are equally loud. Each begins at a drawn place of its utterance and is repeated to
    the end of the one it is added to.

    Parameters
    ----------
    waves : Tensor (N, S), float32
        Samples, 0 beyond `wave_lens`. They are not clipped to [-1, 1] afterwards.
    wave_lens : Tensor (N,), int64
        Valid samples of each utterance.
    snr_db : tuple of two floats
        Lowest and highest signal-to-noise ratio; each utterance's is drawn uniformly.
    probability : float
        Share of utterances that get babble, in [0, 1].
    num_voices : int
        Drawn from the others without repetition; all others, where there are fewer.
    generator : torch.Generator
        On the CPU, where all draws are made whatever the device of `waves`. They do not depend
        on padding.

    Returns
    -------
    Tensor (N, S), float32
        Samples with babble, 0 beyond `wave_lens`; as they were, if the batch is of one utterance.
    """
    size = len(waves)
    chosen = torch.rand(size, generator=generator) < probability
    ratios_db = draw_uniform(snr_db, size, generator)
    lens = wave_lens.tolist()
    babble = torch.zeros_like(waves)
    loudness = torch.linalg.vector_norm(waves, dim=1) / wave_lens.clamp(min=1).sqrt()
    gains = (1 / loudness.clamp(min=1e-9)).tolist()
    for row in chosen.nonzero().flatten().tolist():
        others = torch.randperm(size, generator=generator).tolist()
        starts = torch.rand(size, dtype=torch.float64, generator=generator).tolist()
        voices = [other for other in others if other != row and lens[other]][:num_voices]
        for voice in voices:
            start = int(starts[voice] * lens[voice])
            target, heard = babble[row, : lens[row]], waves[voice, : lens[voice]]
            _add_repeated(target, heard, start, gains[voice])
    return mix(waves, babble, ratios_db)


def _add_repeated(target: Tensor, voice: Tensor, start: int, gain: float) -> None:
    """Add a voice (S',) from one of its samples on, over and over, to all of a target (S,)."""
    done = 0
    while done < len(target):
        piece = voice[start : start + len(target) - done]
        target[done : done + len(piece)].add_(piece, alpha=gain)
        done, start = done + len(piece), 0
