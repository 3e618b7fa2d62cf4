"""The layer-normalised LSTM on a CPU: its frame and its gradient as compiled loops.

`layer_norm` has the equations. Here W x_t, U h_{t-1} and c_t are normalised where they lie, row by
row, and so are their gradients on the way back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrkit.compiled import compiled
from asrkit.nn.cells.buffers import new_empty
from asrkit.nn.cells.cell import State
from asrkit.nn.cells.recurrence import outputs_before
from asrkit.nn.cells.vector_math import ONE, TWO, ZERO, sigmoid, tanh

_EPSILON = 1e-5
_FORWARD_FRAMES, _BACKWARD_FRAMES = 64, 32


def run_compiled(
    truncate_frames: int,
    mask: Tensor | None,
    inputs: Sequence[Tensor],
    state: State,
    weights: tuple[Tensor, Tensor, Tensor, Tensor],
) -> tuple[tuple[Tensor, ...], State]:
    """Compute the outputs, one (T, N, H) tensor a direction, and the last h and c.

    `weights` are W, U and two more: `wide` (3, D, 4 * H), the gains of W x and of U h and the bias,
    with those of g doubled, so that all gates are σ, as tanh(g) = 2 σ(2 g) - 1; and `narrow`
    (2, D, H), gain and bias of c.
    """
    *outputs, hidden, cell = _Run.apply(  # type: ignore[no-untyped-call]
        torch.is_grad_enabled(), truncate_frames, mask, *weights, *state, *inputs
    )
    return tuple(outputs), (hidden, cell)


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        keeps: bool,
        truncate_frames: int,
        mask: Tensor | None,
        input_weight: Tensor,
        weight: Tensor,
        wide: Tensor,
        narrow: Tensor,
        hidden: Tensor,
        cell: Tensor,
        *inputs: Tensor,
    ) -> tuple[Tensor, ...]:
        num_frames, batch, _ = inputs[0].shape
        num_directions, num_columns, size = weight.shape
        kept_frames = num_frames if keeps else min(_FORWARD_FRAMES, num_frames)
        outer = num_directions, kept_frames, batch
        reads, products, gates = (new_empty(hidden, *outer, num_columns) for _ in range(3))
        normals = new_empty(hidden, *outer, size)
        scales = hidden.new_empty(*outer, 3)
        cells = new_empty(hidden, num_directions, kept_frames + 1, batch, size)
        outputs = new_empty(hidden, num_directions, num_frames, batch, size)
        product = hidden.new_empty(num_directions, batch, num_columns)
        transposed = weight.transpose(1, 2).contiguous()
        first_hidden = hidden
        cells[:, 0] = cell
        tensors = product, wide, narrow, reads, products, gates, normals, scales, cells, outputs
        arrays = [each.detach().numpy() for each in tensors]
        k = 0
        for start in range(0, num_frames, _FORWARD_FRAMES):
            chunk = slice(start, min(start + _FORWARD_FRAMES, num_frames))
            if not keeps:
                cells[:, 0] = cells[:, k]
            k = start if keeps else 0
            for d, frames in enumerate(inputs):
                rows = reads[d, k : k + chunk.stop - start].flatten(0, 1)
                torch.mm(frames[chunk].flatten(0, 1), input_weight[d].T, out=rows)
            for t, said in zip(range(start, chunk.stop), outputs[:, chunk].unbind(1), strict=True):
                torch.bmm(hidden if mask is None else hidden * mask, transposed, out=product)
                _forward(t, k, *arrays)
                hidden = said
                k += 1
        if keeps:
            ctx.truncate_frames = truncate_frames
            history = reads, products, gates, normals, scales, cells, outputs
            ctx.save_for_backward(
                mask, input_weight, weight, wide, narrow, first_hidden, *history, *inputs
            )
        return *outputs.unbind(0), hidden.clone(), cells[:, k].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads_of_results: Tensor) -> tuple[Tensor | None, ...]:
        *grad_outputs, grad_hidden, grad_cell = grads_of_results
        mask, input_weight, weight, wide, narrow, first_hidden, *saved = ctx.saved_tensors
        reads, products, gates, normals, scales, cells, outputs, *inputs = saved
        grad_hidden, grad_cell = (
            each.clone(memory_format=torch.contiguous_format) for each in (grad_hidden, grad_cell)
        )
        grad_inputs = [new_empty(each, *each.shape) for each in inputs]
        grad_input_weight, grad_weight, grad_wide, grad_narrow = (
            torch.zeros_like(each, memory_format=torch.contiguous_format)
            for each in (input_weight, weight, wide, narrow)
        )
        from_above = torch.empty_like(outputs[:, :_BACKWARD_FRAMES])
        grad_reads, grad_products = (
            torch.empty_like(gates[:, :_BACKWARD_FRAMES]) for _ in range(2)
        )
        kept = wide, narrow, reads, products, gates, normals, scales, cells
        filled = from_above, grad_hidden, grad_cell, grad_reads, grad_products
        arrays = [each.numpy() for each in (*kept, *filled, grad_wide, grad_narrow)]
        num_frames = outputs.shape[1]
        for start in reversed(range(0, num_frames, _BACKWARD_FRAMES)):
            chunk = slice(start, min(start + _BACKWARD_FRAMES, num_frames))
            here = slice(0, chunk.stop - start)
            for d, grad in enumerate(grad_outputs):
                from_above[d, here] = grad[chunk]
            for j, grad_product in reversed(list(enumerate(grad_products[:, here].unbind(1)))):
                _backward(start + j, j, *arrays)
                if ctx.truncate_frames and (start + j) % ctx.truncate_frames == 0:
                    grad_hidden.zero_()
                    grad_cell.zero_()
                    continue
                torch.bmm(grad_product, weight, out=grad_hidden)
                if mask is not None:
                    grad_hidden *= mask
            heard = outputs_before(chunk, outputs, first_hidden)
            heard = heard if mask is None else heard * mask[:, None]
            by_product = grad_products[:, here].flatten(1, 2)
            grad_weight.baddbmm_(by_product.transpose(1, 2), heard.flatten(1, 2))
            for d, frames in enumerate(inputs):
                rows = grad_reads[d, here].flatten(0, 1)
                grad_input_weight[d].addmm_(rows.T, frames[chunk].flatten(0, 1))
                grad_inputs[d][chunk] = (rows @ input_weight[d]).view_as(frames[chunk])
        weights = grad_input_weight, grad_weight, grad_wide, grad_narrow
        return None, None, None, *weights, grad_hidden, grad_cell, *grad_inputs


@compiled(fast=True)
def _normalize(values: Any) -> Any:
    """Replace a row by (a - mean(a)) s, where s = 1 / √(var(a) + ε), and return s."""
    count = np.float32(len(values))
    total = squares = values[0] * ZERO
    for k in range(len(values)):
        total += values[k]
    mean = total / count
    for k in range(len(values)):
        values[k] -= mean
        squares += values[k] * values[k]
    scale = values.dtype.type(1.0 / math.sqrt(squares / count + _EPSILON))
    for k in range(len(values)):
        values[k] *= scale
    return scale


@compiled(fast=True)
def _normalize_back(grads: Any, normal: Any, scale: Any) -> None:
    """Replace the gradient of a row that `_normalize` has made by that of what it was before."""
    count = np.float32(len(grads))
    total = along = grads[0] * ZERO
    for k in range(len(grads)):
        total += grads[k]
        along += grads[k] * normal[k]
    total /= count
    along /= count
    for k in range(len(grads)):
        grads[k] = scale * (grads[k] - total - along * normal[k])


@compiled(fast=True)
def _forward_row(
    now: Any,
    wide: Any,
    narrow: Any,
    read: Any,
    product: Any,
    gates: Any,
    normal: Any,
    scales: Any,
    before: Any,
    after: Any,
    output: Any,
) -> None:
    """Leave what is normalised in `read`, `product` and `normal`, and the gates after their σ."""
    size = len(before)
    (read_gain, product_gain, bias), (cell_gain, cell_bias) = wide, narrow
    product[:] = now
    scales[0], scales[1] = _normalize(read), _normalize(product)
    for k in range(len(gates)):
        gates[k] = sigmoid(read[k] * read_gain[k] + product[k] * product_gain[k] + bias[k])
    i, f, g, o = gates[:size], gates[size : 2 * size], gates[2 * size : 3 * size], gates[3 * size :]
    for k in range(size):
        after[k] = f[k] * before[k] + i[k] * (TWO * g[k] - ONE)
    normal[:] = after
    scales[2] = _normalize(normal)
    for k in range(size):
        output[k] = o[k] * tanh(normal[k] * cell_gain[k] + cell_bias[k])


@compiled(fast=True)
def _backward_row(
    wide: Any,
    narrow: Any,
    read: Any,
    product: Any,
    gates: Any,
    normal: Any,
    scales: Any,
    before: Any,
    above: Any,
    hidden: Any,
    by_cell: Any,
    by_read: Any,
    by_product: Any,
    by_wide: Any,
    by_narrow: Any,
) -> None:
    """Replace the gradient of c by that of the frame before; write those of W x and U h."""
    size = len(before)
    (read_gain, product_gain, _), (cell_gain, cell_bias) = wide, narrow
    (by_read_gain, by_product_gain, by_bias), (by_cell_gain, by_cell_bias) = by_wide, by_narrow
    i, f, g, o = gates[:size], gates[size : 2 * size], gates[2 * size : 3 * size], gates[3 * size :]
    by_gates = by_product  # until it is multiplied with what stands between them
    by_i, by_f = by_gates[:size], by_gates[size : 2 * size]
    by_g, by_o = by_gates[2 * size : 3 * size], by_gates[3 * size :]
    by_normal = by_i  # until the loop that needs it last
    for k in range(size):
        shown = tanh(normal[k] * cell_gain[k] + cell_bias[k])
        by_hidden = hidden[k] + above[k]
        by_o[k] = by_hidden * shown * o[k] * (ONE - o[k])
        by_normal[k] = by_hidden * o[k] * (ONE - shown * shown)
    for k in range(size):
        by_cell_gain[k] += by_normal[k] * normal[k]
        by_cell_bias[k] += by_normal[k]
        by_normal[k] *= cell_gain[k]
    _normalize_back(by_normal, normal, scales[2])
    for k in range(size):
        by_new = by_cell[k] + by_normal[k]
        by_cell[k] = by_new * f[k]
        by_i[k] = by_new * (TWO * g[k] - ONE) * i[k] * (ONE - i[k])
        by_f[k] = by_new * before[k] * f[k] * (ONE - f[k])
        by_g[k] = by_new * TWO * i[k] * g[k] * (ONE - g[k])
    for k in range(len(gates)):
        by_bias[k] += by_gates[k]
        by_read_gain[k] += by_gates[k] * read[k]
        by_product_gain[k] += by_gates[k] * product[k]
    for k in range(len(gates)):
        by_read[k] = by_gates[k] * read_gain[k]
        by_product[k] = by_gates[k] * product_gain[k]
    _normalize_back(by_read, read, scales[0])
    _normalize_back(by_product, product, scales[1])


@compiled()
def _forward(
    t: int,
    k: int,
    product: Any,
    wide: Any,
    narrow: Any,
    reads: Any,
    products: Any,
    gates: Any,
    normals: Any,
    scales: Any,
    cells: Any,
    outputs: Any,
) -> None:
    for d in range(product.shape[0]):
        for n in range(product.shape[1]):
            _forward_row(
                product[d, n],
                (wide[0, d], wide[1, d], wide[2, d]),
                (narrow[0, d], narrow[1, d]),
                reads[d, k, n],
                products[d, k, n],
                gates[d, k, n],
                normals[d, k, n],
                scales[d, k, n],
                cells[d, k, n],
                cells[d, k + 1, n],
                outputs[d, t, n],
            )


@compiled()
def _backward(
    k: int,
    j: int,
    wide: Any,
    narrow: Any,
    reads: Any,
    products: Any,
    gates: Any,
    normals: Any,
    scales: Any,
    cells: Any,
    from_above: Any,
    grad_hidden: Any,
    grad_cell: Any,
    grad_reads: Any,
    grad_products: Any,
    grad_wide: Any,
    grad_narrow: Any,
) -> None:
    for d in range(grad_hidden.shape[0]):
        for n in range(grad_hidden.shape[1]):
            _backward_row(
                (wide[0, d], wide[1, d], wide[2, d]),
                (narrow[0, d], narrow[1, d]),
                reads[d, k, n],
                products[d, k, n],
                gates[d, k, n],
                normals[d, k, n],
                scales[d, k, n],
                cells[d, k, n],
                from_above[d, j, n],
                grad_hidden[d, n],
                grad_cell[d, n],
                grad_reads[d, j, n],
                grad_products[d, j, n],
                (grad_wide[0, d], grad_wide[1, d], grad_wide[2, d]),
                (grad_narrow[0, d], grad_narrow[1, d]),
            )
