"""The nonlinearities of the cells, for loops that numba compiles for the vector unit of a CPU.

A call of the C library would keep such a loop from being vectorised. So in float32 they are a few
arithmetic operations, right to 2e-7; NaN stays NaN. In float64 they are the C library's.

Numba does not see that a loop must be compiled again when something here changes: change the loop's
own file, too, or delete its cache.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from asrkit.compiled import compiled

# Constants are float32, because numba would compute in float64 with any other.
ONE, TWO, HALF, ZERO = (np.float32(value) for value in (1.0, 2.0, 0.5, 0.0))

_LEAST, _GREATEST = np.float32(-87.0), np.float32(87.0)
_LOG2_E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_ROUNDER = np.float32(1.5 * 2**23)
"""Added to a small number, it leaves that number, rounded, in the last bits of the sum."""
# (e^r - 1 - r) / r² for |r| <= ln(2) / 2; the coefficients are those of Cephes' expf.
_E0, _E1, _E2 = (
    np.float32(5.0000001201e-1),
    np.float32(1.6666665459e-1),
    np.float32(4.1665795894e-2),
)
_E3, _E4, _E5 = (
    np.float32(8.3334519073e-3),
    np.float32(1.3981999507e-3),
    np.float32(1.9875691500e-4),
)
# artanh(s) / s = 1 + s²/3 + s⁴/5 + ..., here for s <= 1/3.
_A1, _A2, _A3, _A4, _A5, _A6 = (np.float32(1 / odd) for odd in range(3, 15, 2))

_OPTIONS: Any = {"error_model": "numpy", "fastmath": {"contract"}, "forceinline": True}


@intrinsic
def _times_power_of_two(_typing: Any, _number: Any, _rounded: Any) -> Any:
    """Multiply with 2^n, where `_rounded` is n + _ROUNDER: add n to the bits of the exponent."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        bits = ir.IntType(32)
        number_bits, rounded_bits = (builder.bitcast(each, bits) for each in arguments)
        power = builder.shl(rounded_bits, ir.Constant(bits, 23))
        return builder.bitcast(builder.add(number_bits, power), ir.FloatType())

    return types.float32(types.float32, types.float32), generate


def exp(x: Any) -> Any:
    """Compute e^x; in float32, as if x were at least -87 and at most 87."""
    return math.exp(x)


def log1p(x: Any) -> Any:
    """Compute log(1 + x) for x from 0 to 1."""
    return math.log1p(x)


@overload(exp, jit_options=_OPTIONS)
def _compile_exp(x):  # type: ignore[no-untyped-def]
    def in_float32(x):  # type: ignore[no-untyped-def]
        x = _LEAST if x < _LEAST else x
        x = _GREATEST if x > _GREATEST else x
        rounded = x * _LOG2_E + _ROUNDER
        n = rounded - _ROUNDER
        r = x - n * _LN2_HIGH - n * _LN2_LOW
        p = ((((_E5 * r + _E4) * r + _E3) * r + _E2) * r + _E1) * r + _E0
        power: Any = _times_power_of_two  # as numba calls it
        return power(p * (r * r) + r + ONE, rounded)

    return in_float32 if x == types.float32 else lambda x: math.exp(x)  # noqa: PLW0108


@overload(log1p, jit_options=_OPTIONS)
def _compile_log1p(x):  # type: ignore[no-untyped-def]
    def in_float32(x):  # type: ignore[no-untyped-def]
        s = x / (TWO + x)
        u = s * s
        p = (((((_A6 * u + _A5) * u + _A4) * u + _A3) * u + _A2) * u + _A1) * u + ONE
        return TWO * s * p

    return in_float32 if x == types.float32 else lambda x: math.log1p(x)  # noqa: PLW0108


@compiled(inline=True, fast=True)
def sigmoid(x: Any) -> Any:
    """Compute σ(x) = 1 / (1 + e^-x)."""
    return ONE / (ONE + exp(-x))


@compiled(inline=True, fast=True)
def tanh(x: Any) -> Any:
    """Compute tanh(x) = 2 σ(2 x) - 1, right to 2e-7 of 1 in float32, not of itself."""
    return TWO * sigmoid(TWO * x) - ONE
