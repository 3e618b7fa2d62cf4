"""LSTM with layer normalisation of what it hears and of its memory cell.

    (i, f, g, o)_t = LN(W x_t) + LN(U h_{t-1}) + b
    c_t = σ(f_t) ∘ c_{t-1} + σ(i_t) ∘ tanh(g_t)        h_t = σ(o_t) ∘ tanh(LN(c_t))

    LN(a) = s ∘ (a - mean(a)) / √(var(a) + ε)

Ba, Kiros & Hinton, Layer Normalization, 2016. Mean and variance are taken over the values of all
four gates, or over all cells, of one frame. Each LN has its own gain s; the one of c_t also adds a
bias, which b does for the other two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import custom_bwd, custom_fwd
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from asrkit.nn.cells.cell import Cell, State
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
        read = [
            F.layer_norm(F.linear(frames, weight), bias.shape, gain, bias, _EPSILON)
            for frames, weight, gain, bias in zip(
                inputs,
                self.input_weight,
                _double_candidate(self.input_gain),
                _double_candidate(self.bias),
                strict=True,
            )
        ]
        # Weights with mean zero make products with mean zero, in every frame.
        centred = self.recurrent_weight - self.recurrent_weight.mean(dim=1, keepdim=True)
        outputs, *state = _Run.apply(  # type: ignore[no-untyped-call]
            torch.is_grad_enabled(),
            self.truncate_frames,
            self.recurrent_mask(batch),
            torch.stack(read, dim=1),
            centred,
            _double_candidate(self.recurrent_gain)[:, None],
            self.cell_gain[:, None],
            self.cell_bias[:, None],
            *state,
        )
        return outputs.unbind(0), tuple(state)


def _double_candidate(blocks: Tensor) -> Tensor:
    """Double g among i, f, g and o of (D, 4 * H): as tanh(g) = 2 σ(2 g) - 1, all become σ."""
    factors = blocks.new_tensor([1.0, 1.0, 2.0, 1.0])
    return (blocks.view(len(blocks), 4, -1) * factors[:, None]).flatten(1)


class _Run(torch.autograd.Function):
    """From LN(W x) + b, (T, D, N, 4 * H), to the outputs (D, T, N, H) and the last h and c.

    Only what depends on the frame before is computed frame by frame. The backward pass works out
    all derivatives of a chunk of frames at once, goes through them, and then sums the gradients of
    the weights in one product.
    """

    @staticmethod
    @custom_fwd(device_type="cuda", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(
        ctx: Any,
        keeps: bool,
        truncate_frames: int,
        mask: Tensor | None,
        read: Tensor,
        weight: Tensor,
        gain: Tensor,
        cell_gain: Tensor,
        cell_bias: Tensor,
        hidden: Tensor,
        cell: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        num_frames, *shape = read.shape
        rows = num_frames if keeps else 1
        products, gates = (read.new_empty(rows, *shape) for _ in range(2))
        transposed = weight.transpose(1, 2).contiguous()
        hiddens, cells = [hidden], [cell]
        for t, read_now in enumerate(read.unbind()):
            heard = hidden if mask is None else hidden * mask
            product = torch.bmm(heard, transposed, out=products[t if keeps else 0])
            now = torch.addcmul(
                read_now, product * _scale(product), gain, out=gates[t if keeps else 0]
            )
            i, f, g, o = now.sigmoid_().chunk(4, dim=-1)
            cell = torch.addcmul(f * cell - i, i, g, value=2)
            normal = F.layer_norm(cell, cell.shape[-1:], eps=_EPSILON)
            hidden = o * torch.addcmul(cell_bias, normal, cell_gain).tanh()
            hiddens.append(hidden)
            if keeps:
                cells.append(cell)
        if keeps:
            ctx.truncate_frames = truncate_frames
            history = products, gates, torch.stack(hiddens[:-1]), torch.stack(cells)
            ctx.save_for_backward(mask, weight, gain, cell_gain, cell_bias, *history)
        return torch.stack(hiddens[1:], dim=1), hidden.clone(), cell.clone()

    @staticmethod
    @once_differentiable
    @custom_bwd(device_type="cuda")  # type: ignore[untyped-decorator]
    def backward(  # type: ignore[override]
        ctx: Any, *grads_of_results: Tensor
    ) -> tuple[Tensor | None, ...]:
        grad_outputs, grad_hidden, grad_cell = grads_of_results
        mask, weight, gain, cell_gain, cell_bias, *history = ctx.saved_tensors
        products, gates, hiddens, cells = history
        grad_read = torch.empty_like(products)
        grads = [torch.zeros_like(each) for each in (weight, gain, cell_gain, cell_bias)]
        grad_weight, grad_gain, grad_cell_gain, grad_cell_bias = grads

        for start in reversed(range(0, len(products), _CHUNK_FRAMES)):
            chunk = slice(start, start + _CHUNK_FRAMES)
            i, f, g, o = gates[chunk].chunk(4, dim=-1)
            before, now = cells[:-1][chunk], cells[1:][chunk]
            normal, mean, deviation = torch.native_layer_norm(
                now, now.shape[-1:], None, None, _EPSILON
            )
            shown = torch.addcmul(cell_bias, normal, cell_gain).tanh()
            by_shown = torch.ops.aten.tanh_backward(o, shown)
            by_normal = by_shown * cell_gain
            by_gates = torch.ops.aten.sigmoid_backward(
                torch.cat([2 * g - 1, before, 2 * i, shown], dim=-1), gates[chunk]
            )
            scale = _scale(products[chunk])
            zero = torch.zeros_like(scale[0])

            grad_hiddens = torch.empty_like(now)
            grad_products: list[Tensor] = []
            for t in reversed(range(len(now))):
                torch.add(grad_hidden, grad_outputs[:, start + t], out=grad_hiddens[t])
                grad_hidden = grad_hiddens[t]
                grad_cell = grad_cell + _normalize_back(
                    grad_hidden * by_normal[t], now[t], mean[t], deviation[t]
                )
                grad_gates = torch.cat([grad_cell, grad_cell, grad_cell, grad_hidden], dim=-1)
                torch.mul(grad_gates, by_gates[t], out=grad_read[start + t])
                grad_product = _normalize_back(
                    grad_read[start + t] * gain, products[start + t], zero, scale[t]
                )
                grad_products.append(grad_product)
                if ctx.truncate_frames and (start + t) % ctx.truncate_frames == 0:
                    grad_hidden, grad_cell = map(torch.zeros_like, (grad_hidden, grad_cell))
                else:
                    grad_hidden = torch.bmm(grad_product, weight)
                    grad_hidden = grad_hidden if mask is None else grad_hidden * mask
                    grad_cell = grad_cell * f[t]

            heard = hiddens[chunk] if mask is None else hiddens[chunk] * mask
            rows = torch.stack(grad_products[::-1], dim=1).flatten(1, 2)
            grad_weight.baddbmm_(rows.transpose(1, 2), heard.transpose(0, 1).flatten(1, 2))
            grad_gain += _sum_frames(grad_read[chunk] * products[chunk] * scale)
            grad_shown = grad_hiddens * by_shown
            grad_cell_gain += _sum_frames(grad_shown * normal)
            grad_cell_bias += _sum_frames(grad_shown)
        return None, None, None, grad_read, *grads, grad_hidden, grad_cell


def _scale(centred: Tensor) -> Tensor:
    """Return 1/√(variance + ε) of the last axis, whose mean is zero; it is kept, with length 1."""
    norm: Tensor = torch.linalg.vector_norm(centred, dim=-1, keepdim=True)
    epsilon = norm.new_full((), _EPSILON)
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
