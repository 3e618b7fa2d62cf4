"""Where sentences sorted by length are cut into batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


def cut(lengths: Sequence[int] | NDArray[np.int64], words_per_batch: int) -> Iterator[slice]:
    """Cut sentences of rising length where the padded batch, with ends, would be too large.

    A sentence that is longer than a batch is one by itself.
    """
    first = 0
    for stop in range(1, len(lengths)):
        if (stop + 1 - first) * (lengths[stop] + 1) > words_per_batch:
            yield slice(first, stop)
            first = stop
    yield slice(first, len(lengths))
