"""The projected LSTM against torch's."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def test_torch_lstm_with_a_projection(assert_equals_torch: Callable[..., None]) -> None:
    assert_equals_torch("lstm_projected", nn.LSTM, proj_size=2)
