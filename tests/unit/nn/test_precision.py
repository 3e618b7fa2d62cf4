"""What a CPU computes in, by the setting."""

from __future__ import annotations

import pytest
import torch

from asrkit.nn.precision import autocast


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float32)],
)
def test_products_on_a_cpu(precision: str, dtype: torch.dtype) -> None:
    ones = torch.ones(2, 2)
    with autocast("cpu", precision):
        assert (ones @ ones).dtype == dtype
    assert (ones @ ones).dtype == torch.float32
