"""The peephole cells' frame and its gradient as compiled loops; `peephole` has the equations."""

from __future__ import annotations

from functools import partial
from typing import Any

from asrkit.compiled import compiled
from asrkit.nn.cells.compiled_recurrence import CompiledStep
from asrkit.nn.cells.vector_math import ONE, sigmoid, tanh


@compiled(fast=True)
def _forward_row(
    late: bool, gates: Any, product: Any, before: Any, after: Any, output: Any, peepholes: Any
) -> None:
    """Leave the gates after their nonlinearities."""
    p_i, p_f, p_o = peepholes
    for k in range(len(before)):
        c = before[k]
        i = sigmoid(gates[0, k] + product[0, k] + p_i[k] * c)
        f = sigmoid(gates[1, k] + product[1, k] + p_f[k] * c)
        g = tanh(gates[2, k] + product[2, k])
        new = f * c + i * g
        o = sigmoid(gates[3, k] + product[3, k] + p_o[k] * (new if late else c))
        gates[0, k] = i
        gates[1, k] = f
        gates[2, k] = g
        gates[3, k] = o
        after[k] = new
        output[k] = o * tanh(new)


@compiled(fast=True)
def _backward_row(
    late: bool,
    gates: Any,
    before: Any,
    after: Any,
    peepholes: Any,
    above: Any,
    hidden: Any,
    by_cell: Any,
    grads: Any,
    by_peepholes: Any,
) -> None:
    """Replace the gradient of c by that of the frame before."""
    p_i, p_f, p_o = peepholes
    by_p_i, by_p_f, by_p_o = by_peepholes
    for k in range(len(before)):
        i, f, g, o = gates[0, k], gates[1, k], gates[2, k], gates[3, k]
        c, new = before[k], after[k]
        shown = tanh(new)
        by_hidden = hidden[k] + above[k]
        by_o = by_hidden * shown * o * (ONE - o)
        through_o = by_o * p_o[k]
        by_new = by_cell[k] + by_hidden * o * (ONE - shown * shown)
        by_new = by_new + through_o if late else by_new
        by_i = by_new * g * i * (ONE - i)
        by_f = by_new * c * f * (ONE - f)
        by_c = by_new * f + by_i * p_i[k] + by_f * p_f[k]
        grads[0, k] = by_i
        grads[1, k] = by_f
        grads[2, k] = by_new * i * (ONE - g * g)
        grads[3, k] = by_o
        by_cell[k] = by_c if late else by_c + through_o
    seen = after if late else before
    for k in range(len(before)):  # by itself, because too many arrays keep a loop scalar
        by_p_i[k] += grads[0, k] * before[k]
        by_p_f[k] += grads[1, k] * before[k]
        by_p_o[k] += grads[3, k] * seen[k]


@compiled()
def _forward(
    late: bool, t: int, k: int, gates: Any, products: Any, states: Any, outputs: Any, peepholes: Any
) -> None:
    for d in range(products.shape[0]):
        seen = peepholes[0, d], peepholes[1, d], peepholes[2, d]
        for n in range(products.shape[1]):
            cell = states[0, d]
            _forward_row(
                late,
                gates[d, k, n],
                products[d, n],
                cell[k, n],
                cell[k + 1, n],
                outputs[d, t, n],
                seen,
            )


@compiled()
def _backward(
    late: bool,
    k: int,
    j: int,
    gates: Any,
    states: Any,
    peepholes: Any,
    grad_outputs: Any,
    grad_hidden: Any,
    grad_states: Any,
    grad_gates: Any,
    grad_peepholes: Any,
) -> None:
    for d in range(grad_hidden.shape[0]):
        for n in range(grad_hidden.shape[1]):
            _backward_row(
                late,
                gates[d, k, n],
                states[0, d, k, n],
                states[0, d, k + 1, n],
                (peepholes[0, d], peepholes[1, d], peepholes[2, d]),
                grad_outputs[d, j, n],
                grad_hidden[d, n],
                grad_states[0, d, n],
                grad_gates[d, j, n],
                (grad_peepholes[0, d], grad_peepholes[1, d], grad_peepholes[2, d]),
            )


FULL = CompiledStep(partial(_forward, True), partial(_backward, True))
SIMPLE = CompiledStep(partial(_forward, False), partial(_backward, False))
"""Whether the output gate sees the cell of this frame, later than the others do."""
