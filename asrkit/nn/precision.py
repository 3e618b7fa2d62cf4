"""The arithmetic that a network is trained in."""

from __future__ import annotations

import os

import torch

_CACHES_OF_CPUS = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
_SHAPES_KEPT = "16"


def autocast(device_type: str, precision: str) -> torch.autocast:
    """Give a context for a `train.precision` in which products are computed so.

    A CPU's oneDNN keeps what it has made for each of the last 1024 shapes. In training hardly one
    comes twice, and they would take gigabytes: it is told to keep few, which takes effect if there
    were no such products before.
    """
    dtype: torch.dtype = getattr(torch, precision)
    is_lower = dtype == torch.bfloat16 or (device_type == "cuda" and dtype == torch.float16)
    if device_type == "cpu":
        for name in _CACHES_OF_CPUS:
            os.environ.setdefault(name, _SHAPES_KEPT)
    return torch.autocast(device_type, dtype, is_lower)
