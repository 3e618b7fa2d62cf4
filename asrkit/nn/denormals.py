"""Flush denormal numbers to zero while a network runs on a CPU.

Over padding the states of a recurrent layer decay into denormals, with which a CPU is many times
slower.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Compute without denormal numbers inside the block; where the CPU cannot, nothing changes.

    This holds for the calling thread and for those that it starts. torch's own threads are started
    by the first arithmetic that needs them and keep what they began with, so a program that wants
    them to flush, too, enters a block before any.
    """
    were_flushed = (torch.tensor([1e-40]) * 1.0).item() == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(were_flushed)
