"""Numbers as one byte each, through a code book."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asrkit.lm.ngram import Float32

_NUM_CODES = 256
_SAMPLE = 1 << 18
_NUM_BINS = 1 << 12
_ROUNDS = 20


def quantize(values: Float32) -> tuple[NDArray[np.uint8], Float32]:
    """Give the code of each value, uint8 (n,), and the value of each code, float32 (256,).

    The code book is that of Lloyd (1982), "Least squares quantization in PCM"; it starts from codes
    as dense as the cube root of the values' density, which is best where there are many. 0 and the
    extremes keep their values. Up to 253 different values are kept as they are.
    """
    book = _code_book(values)
    middles = (book[1:] + book[:-1]) / 2
    codes = np.searchsorted(middles, values).astype(np.uint8)
    return codes, np.pad(book, (0, _NUM_CODES - len(book)), mode="edge")


def _code_book(values: Float32) -> Float32:
    if not len(values):
        return np.zeros(1, np.float32)
    fixed = np.array([values.min(), values.max(), 0.0], np.float32)
    sample = np.sort(values[:: 1 + len(values) // _SAMPLE])
    centres = np.unique(sample)
    free = _NUM_CODES - len(fixed)
    if len(centres) > free:
        density, edges = np.histogram(sample, _NUM_BINS)
        mass = np.cumsum(np.cbrt(density))
        places = np.searchsorted(mass, (np.arange(free) + 0.5) / free * mass[-1])
        centres = np.unique((edges[:-1] + edges[1:])[places] / 2)
    sums = np.concatenate([[0.0], np.cumsum(sample, dtype=np.float64)])
    for _ in range(_ROUNDS):
        # The sample is sorted, so each code has a stretch of it.
        bounds = np.searchsorted(sample, (centres[1:] + centres[:-1]) / 2)
        bounds = np.concatenate([[0], bounds, [len(sample)]])
        count = np.diff(bounds)
        mean = np.diff(sums[bounds]) / np.maximum(count, 1)
        centres = np.sort(np.where(count > 0, mean, centres))
    return np.unique(np.concatenate([centres.astype(np.float32), fixed]))
