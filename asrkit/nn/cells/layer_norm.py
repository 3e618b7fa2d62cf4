"""LSTM with layer normalisation of what it hears and of its memory cell.

    (i, f, g, o)_t = LN(W x_t) + LN(U h_{t-1}) + b
    c_t = σ(f_t) ∘ c_{t-1} + σ(i_t) ∘ tanh(g_t)        h_t = σ(o_t) ∘ tanh(LN(c_t))

    LN(a) = s ∘ (a - mean(a)) / √(var(a) + ε)

Ba, Kiros & Hinton, Layer Normalization, 2016. Mean and variance are taken over the values of all
four gates, or over all cells, of one frame. Each LN has its own gain s; the one of c_t also adds a
bias, which b does for the other two.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import custom_bwd, custom_fwd
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from asrkit.nn.cells.cell import Cell, State
from asrkit.nn.cells.compiled_recurrence import compiles_for
from asrkit.nn.cells.recurrence import outputs_before
from asrkit.settings import ModelSettings

_EPSILON = 1e-5
_CHUNK_FRAMES = 32


class LayerNormLstm(Cell):
    """Gates i, f, g, o; gradients of the recurrence are written out, for speed.

    Attributes
    ----------
    input_gain, recurrent_gain
        s of LN(W x) and of LN(U h), (D, 4 * H).
    cell_gain, cell_bias
        s of LN(c), and what is added to it, (D, H).
    """

    num_gates = num_input_gates = num_recurrent_gates = 4
    forget_gate = 1

    def __init__(self, settings: ModelSettings, input_size: int, num_directions: int) -> None:
        super().__init__(settings, input_size, num_directions)
        self.input_gain = self._parameter(4)
        self.recurrent_gain = self._parameter(4)
        self.cell_gain = self._parameter(1)
        self.cell_bias = self._parameter(1)

    def initialize(self, settings: ModelSettings) -> None:
        """Draw the first weights; what is normalised begins with variance one and mean zero."""
        super().initialize(settings)
        for gain in (self.input_gain, self.recurrent_gain, self.cell_gain):
            nn.init.ones_(gain)
        nn.init.zeros_(self.cell_bias)

    def forward(
        self, inputs: Sequence[Tensor], state: State | None = None
    ) -> tuple[tuple[Tensor, ...], State]:
        """Run from the first frame to the last; see `Cell.forward`."""
        batch = inputs[0].shape[1]
        if state is None:
            zeros = inputs[0].new_zeros(self.num_directions, batch, self.hidden_size)
            state = zeros, zeros
        mask = self.recurrent_mask(batch)
        if compiles_for((*inputs, *state, *self.parameters())):
            loops = importlib.import_module("asrkit.nn.cells.layer_norm_loops")  # loads numba
            wide = self.input_gain, self.recurrent_gain, self.bias
            weights = (
                self.input_weight,
                self.recurrent_weight,
                torch.stack([_double_candidate(each) for each in wide]),
                torch.stack([self.cell_gain, self.cell_bias]),
            )
            results: tuple[tuple[Tensor, ...], State] = loops.run_compiled(
                self.truncate_frames, mask, inputs, state, weights
            )
            return results
        # Weights with mean zero make products with mean zero, in every frame.
        centred = self.recurrent_weight - self.recurrent_weight.mean(dim=1, keepdim=True)
        outputs, *state = _Run.apply(  # type: ignore[no-untyped-call]
            torch.is_grad_enabled(),
            self.truncate_frames,
            mask,
            self.input_weight,
            _double_candidate(self.input_gain)[:, None],
            _double_candidate(self.bias)[:, None],
            centred,
            _double_candidate(self.recurrent_gain)[:, None],
            self.cell_gain[:, None],
            self.cell_bias[:, None],
            *state,
            *inputs,
        )
        return outputs.unbind(0), tuple(state)


def _double_candidate(blocks: Tensor) -> Tensor:
    """Double g among i, f, g and o of (D, 4 * H): as tanh(g) = 2 σ(2 g) - 1, all become σ."""
    factors = blocks.new_tensor([1.0, 1.0, 2.0, 1.0])
    return (blocks.view(len(blocks), 4, -1) * factors[:, None]).flatten(1)


class _Run(torch.autograd.Function):
    """From D inputs (T, N, F) to the outputs (D, T, N, H) and the last h and c.

    Frames are worked on in chunks that stay in the caches of a CPU: first what does not depend on
    the frame before, for all of them, then what does, frame by frame. Likewise backward, where the
    derivatives of a chunk come first and the gradients of the weights last.
    """

    @staticmethod
    @custom_fwd(device_type="cuda", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(
        ctx: Any,
        keeps: bool,
        truncate_frames: int,
        mask: Tensor | None,
        input_weight: Tensor,
        input_gain: Tensor,
        bias: Tensor,
        weight: Tensor,
        gain: Tensor,
        cell_gain: Tensor,
        cell_bias: Tensor,
        hidden: Tensor,
        cell: Tensor,
        *inputs: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        num_frames = len(inputs[0])
        shape = (*hidden.shape[:2], weight.shape[1])
        kept_frames = num_frames if keeps else min(_CHUNK_FRAMES, num_frames)
        gates, reads, products = (hidden.new_empty(kept_frames, *shape) for _ in range(3))
        read_scales = hidden.new_empty(kept_frames, *shape[:2], 1)
        outputs = hidden.new_empty(len(hidden), num_frames, *hidden.shape[1:])
        transposed = weight.transpose(1, 2).contiguous()
        epsilon = hidden.new_full((), _EPSILON)
        first_hidden = hidden
        hiddens, cells = [], [cell]
        for start in range(0, num_frames, _CHUNK_FRAMES):
            chunk = slice(start, min(start + _CHUNK_FRAMES, num_frames))
            kept = chunk if keeps else slice(0, chunk.stop - start)
            for d, frames in enumerate(inputs):
                reads[kept, d], _, read_scales[kept, d] = torch.native_layer_norm(
                    F.linear(frames[chunk], input_weight[d]), shape[-1:], None, None, _EPSILON
                )
            torch.addcmul(bias, reads[kept], input_gain, out=gates[kept])
            for now, product in zip(gates[kept].unbind(), products[kept].unbind(), strict=True):
                torch.bmm(hidden if mask is None else hidden * mask, transposed, out=product)
                now.addcmul_(product * _scale(product, epsilon), gain).sigmoid_()
                i, f, g, o = now.chunk(4, dim=-1)
                cell = torch.addcmul(f * cell - i, i, g, value=2)
                normal = F.layer_norm(cell, cell.shape[-1:], eps=_EPSILON)
                hidden = o * torch.addcmul(cell_bias, normal, cell_gain).tanh_()
                hiddens.append(hidden)
                if keeps:
                    cells.append(cell)
            torch.stack(hiddens, dim=1, out=outputs[:, chunk])
            hiddens.clear()
        if keeps:
            ctx.truncate_frames = truncate_frames
            weights = input_weight, input_gain, weight, gain, cell_gain, cell_bias
            history = gates, reads, read_scales, products, outputs, torch.stack(cells)
            ctx.save_for_backward(mask, first_hidden, *weights, *history, *inputs)
        return outputs, hidden.clone(), cell.clone()

    @staticmethod
    @once_differentiable
    @custom_bwd(device_type="cuda")  # type: ignore[untyped-decorator]
    def backward(  # type: ignore[override]
        ctx: Any, *grads_of_results: Tensor
    ) -> tuple[Tensor | None, ...]:
        grad_outputs, grad_hidden, grad_cell = grads_of_results
        mask, first_hidden, *saved = ctx.saved_tensors
        input_weight, input_gain, weight, gain, cell_gain, cell_bias = saved[:6]
        gates, reads, read_scales, products, outputs, cells, *inputs = saved[6:]
        grad_inputs = [torch.empty_like(each) for each in inputs]
        grad_bias = torch.zeros_like(input_gain)
        grad_input_weight, grad_input_gain, *grads = (torch.zeros_like(each) for each in saved[:6])
        grad_weight, grad_gain, grad_cell_gain, grad_cell_bias = grads
        epsilon = gain.new_full((), _EPSILON)

        for start in reversed(range(0, len(products), _CHUNK_FRAMES)):
            chunk = slice(start, min(start + _CHUNK_FRAMES, len(products)))
            i, f, g, o = gates[chunk].chunk(4, dim=-1)
            before, now = cells[:-1][chunk], cells[1:][chunk]
            normal, mean, deviation = torch.native_layer_norm(
                now, now.shape[-1:], None, None, _EPSILON
            )
            shown = torch.addcmul(cell_bias, normal, cell_gain).tanh_()
            by_shown = torch.ops.aten.tanh_backward(o, shown)
            by_normal = by_shown * cell_gain
            by_gates = torch.ops.aten.sigmoid_backward(
                torch.cat([2 * g - 1, before, 2 * i, shown], dim=-1), gates[chunk]
            )
            scale = _scale(products[chunk], epsilon)
            zero = torch.zeros_like(scale[0])

            grad_hiddens = torch.empty_like(now)
            grad_gates, grad_products = (torch.empty_like(by_gates) for _ in range(2))
            for t in reversed(range(len(now))):
                torch.add(grad_hidden, grad_outputs[:, start + t], out=grad_hiddens[t])
                grad_hidden = grad_hiddens[t]
                grad_cell = grad_cell + _normalize_back(
                    grad_hidden * by_normal[t], now[t], mean[t], deviation[t]
                )
                torch.cat([grad_cell, grad_cell, grad_cell, grad_hidden], dim=-1, out=grad_gates[t])
                grad_gates[t].mul_(by_gates[t])
                grad_products[t] = _normalize_back(
                    grad_gates[t] * gain, products[start + t], zero, scale[t]
                )
                if ctx.truncate_frames and (start + t) % ctx.truncate_frames == 0:
                    grad_hidden, grad_cell = map(torch.zeros_like, (grad_hidden, grad_cell))
                else:
                    grad_hidden = torch.bmm(grad_products[t], weight)
                    grad_hidden = grad_hidden if mask is None else grad_hidden * mask
                    grad_cell = grad_cell * f[t]

            heard = outputs_before(chunk, outputs, first_hidden)
            heard = heard if mask is None else heard * mask[:, None]
            rows = grad_products.transpose(0, 1).flatten(1, 2)
            grad_weight.baddbmm_(rows.transpose(1, 2), heard.flatten(1, 2))
            grad_gain += _sum_frames(grad_gates * products[chunk] * scale)
            grad_shown = grad_hiddens * by_shown
            grad_cell_gain += _sum_frames(grad_shown * normal)
            grad_cell_bias += _sum_frames(grad_shown)

            grad_bias += _sum_frames(grad_gates)
            grad_input_gain += _sum_frames(grad_gates * reads[chunk])
            # A normalised value has mean 0 and scale 1, whatever its own were.
            no_mean, no_scale = torch.zeros_like(scale), torch.ones_like(scale)
            grad_reads = _normalize_back(grad_gates * input_gain, reads[chunk], no_mean, no_scale)
            grad_reads *= read_scales[chunk]
            for d, frames in enumerate(inputs):
                rows = grad_reads[:, d].flatten(0, 1)
                grad_input_weight[d].addmm_(rows.T, frames[chunk].flatten(0, 1))
                grad_inputs[d][chunk] = (rows @ input_weight[d]).view_as(frames[chunk])
        grads = [grad_input_weight, grad_input_gain, grad_bias, *grads]
        return None, None, None, *grads, grad_hidden, grad_cell, *grad_inputs


def _scale(centred: Tensor, epsilon: Tensor) -> Tensor:
    """Return 1/√(variance + ε) of the last axis, whose mean is zero; it is kept, with length 1."""
    norm: Tensor = torch.linalg.vector_norm(centred, dim=-1, keepdim=True)
    return torch.addcmul(epsilon, norm, norm, value=1.0 / centred.shape[-1]).rsqrt_()


def _normalize_back(grad: Tensor, values: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Return the gradient of `values` from that of what LN has made of them, without its gain."""
    only_of_values = [True, False, False]
    gradients: tuple[Tensor, ...] = torch.ops.aten.native_layer_norm_backward(
        grad, values, values.shape[-1:], mean, scale, None, None, only_of_values
    )
    return gradients[0]


def _sum_frames(grads: Tensor) -> Tensor:
    """Sum (C, D, N, ...) to (D, 1, ...); over both axes at once, torch takes ten times as long."""
    return grads.sum(dim=0).sum(dim=1, keepdim=True)
