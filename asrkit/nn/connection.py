"""How a layer's output joins its input."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn


def make_connection(kind: Literal["plain", "residual", "highway"], size: int) -> nn.Module:
    """Build what `model.connection` names, for a layer of `size` values a frame."""
    match kind:
        case "plain":
            return Plain()
        case "residual":
            return Residual()
        case "highway":
            return Highway(size)


class Plain(nn.Module):
    """y = h."""

    def forward(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Leave the input out."""
        del inputs
        return outputs


class Residual(nn.Module):
    """y = x + h (He, Zhang, Ren & Sun, Deep Residual Learning for Image Recognition, 2016)."""

    def forward(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Join (..., F) and (..., F)."""
        return inputs + outputs


class Highway(nn.Module):
    """y = s ∘ h + (1 - s) ∘ x with s = σ(W x + b) (Srivastava, Greff & Schmidhuber 2015).

    The bias begins at -1, so that at first most of the input is carried on, as in the paper.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(size, size)
        nn.init.constant_(self.gate.bias, -1.0)

    def forward(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Join (..., F) and (..., F)."""
        return torch.lerp(inputs, outputs, self.gate(inputs).sigmoid())
