"""How the weights of a model are stored: as they are, in half precision, or in 8 bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from asrkit.errors import ModelFileError
from asrkit.nn.rounding import quantize_rows

Storage = Literal["float32", "float16", "int8"]

_DTYPES = (torch.float32, torch.float16, torch.int8)
_SCALE = ".scale"
"""Ends the name of the scales of an 8-bit matrix."""


def to_stored(model: nn.Module, storage: Storage) -> dict[str, Tensor]:
    """Give the tensors to be stored, on the CPU.

    Parameters
    ----------
    model
        In float32. Its buffers, the statistics of features, are stored as they are.
    storage
        `float16` rounds every parameter. `int8` rounds each row of a matrix, as the 8-bit form for
        CPUs does (`asrkit.nn.quantized`), so that its recurrent layers lose nothing more by it;
        biases, and what else has one axis, are stored as they are.

    Raises
    ------
    ModelFileError
        If a weight is too large for float16.
    """
    parameters = {name for name, _ in model.named_parameters()}
    stored = {}
    for name, value in model.state_dict().items():
        weights = value.detach().cpu().contiguous()
        stored[name] = weights
        if name in parameters and storage == "float16":
            stored[name] = weights.half()
            if not stored[name].isfinite().all():
                raise ModelFileError(
                    f"{name}: holds {weights.abs().max():g}; expected at most 65504 for float16; "
                    "store int8 or float32"
                )
        elif storage == "int8" and name in parameters and _is_matrix(name, weights):
            stored[name], stored[name + _SCALE] = quantize_rows(weights)
    return stored


def _is_matrix(name: str, weights: Tensor) -> bool:
    """Whether rows have weights of one unit; a cell's biases, (D, G * H), have those of a layer."""
    return weights.ndim > 1 and not name.endswith("bias")


def from_stored(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the state dict in float32, in whatever way it was stored.

    Raises
    ------
    ModelFileError
        If a tensor is of a type that `to_stored` does not give, or scales do not fit.
    """
    weights = {}
    for name, value in stored.items():
        if value.dtype not in _DTYPES:
            expected = ", ".join(map(str, _DTYPES))
            raise ModelFileError(f"{name}: holds {value.dtype}; expected one of {expected}")
        if name.endswith(_SCALE) and name.removesuffix(_SCALE) in stored:
            continue
        scales = stored.get(name + _SCALE)
        if scales is None:
            weights[name] = value.float().clone()
        elif scales.shape == (*value.shape[:-1], 1):
            weights[name] = value * scales
        else:
            raise ModelFileError(
                f"{name}: scales of shape {tuple(scales.shape)} for {tuple(value.shape)}"
            )
    return weights
