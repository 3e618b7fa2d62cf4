"""Round the rows of a matrix to 8 bits, each with a scale of its own."""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST = 127.0


def quantize_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row to whole numbers within ±127.

    Parameters
    ----------
    values
        (..., K) float32.

    Returns
    -------
    rows
        (..., K) int8.
    scales
        (..., 1) float32, what the numbers of each row are to be multiplied with.
    """
    scales = values.abs().amax(dim=-1, keepdim=True).clamp_(min=torch.finfo().tiny) / LARGEST
    return (values / scales).round_().to(torch.int8), scales
