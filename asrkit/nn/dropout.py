"""Dropout whose mask is drawn for every frame, or once for all frames of an utterance."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """Zero a share of the values of time-major frames (T, N, F) in training.

    Parameters
    ----------
    probability
        Of a value to be zeroed; the others are scaled to keep the expectation.
    per
        `frame` draws anew for every frame (Srivastava et al. 2014); `sequence` draws one mask for
        all frames of an utterance (Gal & Ghahramani, A Theoretically Grounded Application of
        Dropout in Recurrent Neural Networks, 2016).
    """

    def __init__(self, probability: float, per: Literal["frame", "sequence"]) -> None:
        super().__init__()
        self.probability = probability
        self.per = per

    def forward(self, frames: Tensor) -> Tensor:
        """Return frames of the same shape."""
        if self.per == "frame" or not self.training or self.probability == 0.0:
            return F.dropout(frames, self.probability, self.training)
        return frames * F.dropout(frames.new_ones(frames.shape[1:]), self.probability)
