"""Random numbers of an augmentation, one an utterance."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_uniform(limits: tuple[float, float], count: int, generator: torch.Generator) -> Tensor:
    """Draw numbers (count,) uniformly from a range, on the CPU."""
    low, high = limits
    return low + (high - low) * torch.rand(count, generator=generator)
