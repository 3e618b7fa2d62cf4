"""The nonlinearities of compiled loops against numpy's in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from asrkit.compiled import compiled
from asrkit.nn.cells.vector_math import exp, log1p, sigmoid, tanh

CASES = {
    "exp": (exp, np.exp, -87.0, 87.0),
    "log1p": (log1p, np.log1p, 0.0, 1.0),
    "sigmoid": (sigmoid, lambda x: 1 / (1 + np.exp(-x)), -80.0, 120.0),
    "tanh": (tanh, np.tanh, -120.0, 120.0),
}


def apply(function: Callable[[float], float], values: np.ndarray) -> np.ndarray:
    @compiled()
    def loop(values: np.ndarray, results: np.ndarray) -> None:
        for k in range(len(values)):
            results[k] = function(values[k])

    results = np.empty_like(values)
    loop(values, results)
    return results


@pytest.mark.parametrize("name", CASES)
def test_values(name: str) -> None:
    function, reference, least, greatest = CASES[name]
    values = np.linspace(least, greatest, 20_001)
    close = np.concatenate([values, [0.0, 1e-3, 1e-20]])
    np.testing.assert_allclose(apply(function, close), reference(close), rtol=1e-14, atol=1e-15)
    close = close.astype(np.float32)
    expected = reference(close.astype(np.float64))
    absolute = 2e-7 if name == "tanh" else 0.0
    np.testing.assert_allclose(apply(function, close), expected, rtol=3e-7, atol=absolute)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_no_number_or_infinite(dtype: type) -> None:
    values = np.array([np.nan, -np.nan, np.inf, -np.inf], dtype)
    assert np.isnan(apply(exp, values)[:2]).all()
    assert np.isnan(apply(log1p, values)[:2]).all()
    np.testing.assert_allclose(apply(sigmoid, values)[2:], [1.0, 0.0], atol=1e-37)
    np.testing.assert_allclose(apply(tanh, values)[2:], [1.0, -1.0])
