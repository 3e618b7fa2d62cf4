"""Flush denormal numbers to zero while a network runs on a CPU.

Over padding the states of a recurrent layer decay into denormals, with which a CPU is many times
slower.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def flush_denormals() -> None:
    """Compute without denormals from now on; where the CPU cannot, nothing changes.

    This holds for the calling thread and for those that it starts later. torch's own threads are
    started by the first arithmetic that needs them, so a program calls this before any.
    """
    torch.set_flush_denormal(True)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Compute without denormals inside the block, in the calling thread."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
