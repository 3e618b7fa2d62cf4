"""The sLSTM's frame and its gradient as compiled loops; `slstm` has the equations."""

from __future__ import annotations

from typing import Any

from asrkit.compiled import compiled
from asrkit.nn.cells.compiled_recurrence import CompiledStep
from asrkit.nn.cells.vector_math import ONE, ZERO, exp, log1p, sigmoid, tanh


@compiled(fast=True)
def _forward_row(
    gates: Any, product: Any, r: Any, log_n: Any, new_r: Any, new_log_n: Any, output: Any
) -> None:
    """Leave σ(d), σ(f), tanh(z) and σ(o) in the gates."""
    for k in range(len(r)):
        log_i = gates[0, k] + product[0, k]
        forget, log_forget = _sigmoid_and_its_log(gates[1, k] + product[1, k])
        z = tanh(gates[2, k] + product[2, k])
        o = sigmoid(gates[3, k] + product[3, k])
        weight, log_weight = _sigmoid_and_its_log(log_i - (log_forget + log_n[k]))
        mean = r[k] + weight * (z - r[k])
        gates[0, k] = weight
        gates[1, k] = forget
        gates[2, k] = z
        gates[3, k] = o
        new_r[k] = mean
        new_log_n[k] = log_i - log_weight
        output[k] = o * mean


@compiled(inline=True, fast=True)
def _sigmoid_and_its_log(x: Any) -> Any:
    small = exp(-x if x > ZERO else x)
    larger = ONE / (ONE + small)
    return (larger if x > ZERO else small * larger), (ZERO if x > ZERO else x) - log1p(small)


@compiled(fast=True)
def _backward_row(
    gates: Any, r: Any, new_r: Any, above: Any, hidden: Any, by_r: Any, by_log_n: Any, grads: Any
) -> None:
    """Replace gradients of r and log n by those of the frame before."""
    for k in range(len(r)):
        weight, z, o = gates[0, k], gates[2, k], gates[3, k]
        by_hidden = hidden[k] + above[k]
        by_mean = by_r[k] + by_hidden * o
        by_d = (by_mean * weight * (z - r[k]) - by_log_n[k]) * (ONE - weight)
        grads[0, k] = by_d + by_log_n[k]
        grads[1, k] = -by_d * (ONE - gates[1, k])
        grads[2, k] = by_mean * weight * (ONE - z * z)
        grads[3, k] = by_hidden * new_r[k] * o * (ONE - o)
        by_r[k] = by_mean * (ONE - weight)
        by_log_n[k] = -by_d


@compiled()
def _forward(
    t: int, k: int, gates: Any, products: Any, states: Any, outputs: Any, _parameters: Any
) -> None:
    for d in range(products.shape[0]):
        for n in range(products.shape[1]):
            r, log_n = states[0, d], states[1, d]
            _forward_row(
                gates[d, k, n],
                products[d, n],
                r[k, n],
                log_n[k, n],
                r[k + 1, n],
                log_n[k + 1, n],
                outputs[d, t, n],
            )


@compiled()
def _backward(
    k: int,
    j: int,
    gates: Any,
    states: Any,
    _parameters: Any,
    grad_outputs: Any,
    grad_hidden: Any,
    grad_states: Any,
    grad_gates: Any,
    _grad_parameters: Any,
) -> None:
    for d in range(grad_hidden.shape[0]):
        for n in range(grad_hidden.shape[1]):
            _backward_row(
                gates[d, k, n],
                states[0, d, k, n],
                states[0, d, k + 1, n],
                grad_outputs[d, j, n],
                grad_hidden[d, n],
                grad_states[0, d, n],
                grad_states[1, d, n],
                grad_gates[d, j, n],
            )


STEP = CompiledStep(_forward, _backward)
