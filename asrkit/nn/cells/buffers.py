"""Large tensors on a CPU, in memory that is used again.

The C library gives a block of more than 32 MB back to the system as soon as it is freed, and the
system clears it page by page for whoever asks next. On long sequences that takes a good part of a
training step. So such blocks are kept here for the next tensors, never many more than were in use
at once.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections import deque

import torch
from torch import Tensor

_LEAST_BYTES = 2**24


class _Buffers:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[Tensor] = []
        # Blocks come back when their last tensor goes, in any thread and at any moment, even while
        # this one holds the lock: adding to a deque needs none.
        self._returned: deque[Tensor] = deque()

    def empty(self, num_bytes: int) -> Tensor:
        """Return bytes; when neither they nor a view of them are left, their memory is kept."""
        block = self._take(num_bytes)
        array = block.numpy()[:num_bytes]
        # The tensor made of an array holds it, and with it the block, for as long as it is used.
        weakref.finalize(array, self._returned.append, block).atexit = False
        return torch.from_numpy(array)

    def _take(self, num_bytes: int) -> Tensor:
        """Return the smallest free block that is large enough, or a new one."""
        with self._lock:
            while self._returned:
                self._free.append(self._returned.popleft())
            self._free.sort(key=len)
            for number, block in enumerate(self._free):
                if len(block) >= num_bytes:
                    return self._free.pop(number)
            # None is large enough: kept, they would only add to what is needed now.
            self._free.clear()
        return torch.empty(num_bytes, dtype=torch.uint8)


_BUFFERS = _Buffers()


def new_empty(like: Tensor, *shape: int) -> Tensor:
    """Return an uninitialised tensor of the dtype and on the device of another."""
    num_bytes = math.prod(shape) * like.element_size()
    if like.device.type != "cpu" or num_bytes < _LEAST_BYTES:
        return like.new_empty(shape)
    return _BUFFERS.empty(num_bytes).view(like.dtype).view(shape)
