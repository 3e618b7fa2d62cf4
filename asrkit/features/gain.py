"""Level: how loud an utterance was recorded."""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.features.draws import draw_uniform


def change_gain(waves: Tensor, gain_db: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Amplify each utterance of waves (N, S) by decibels drawn uniformly from a range.

    All draws come from `generator`, on the CPU. Samples are not clipped to [-1, 1].
    """
    gains: Tensor = 10 ** (draw_uniform(gain_db, len(waves), generator) / 20)
    return waves * gains.to(waves.device)[:, None]
