"""The GRU against torch's."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def test_torch_gru(assert_equals_torch: Callable[..., None]) -> None:
    assert_equals_torch("gru", nn.GRU)
