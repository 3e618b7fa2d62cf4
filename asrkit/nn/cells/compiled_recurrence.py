"""Run a cell over a sequence on a CPU, with all that a frame's units do in one compiled loop.

Of what a frame takes in `recurrence`, a third goes into a dozen small operations of torch and their
passes over memory, and as much again into derivatives on the way back. A cell for which that is too
much has its equations, and their gradient, a second time: as loops that numba compiles, between
which torch multiplies with the recurrent weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrkit.nn.cells.buffers import new_empty
from asrkit.nn.cells.recurrence import (
    Operands,
    Recurrence,
    Tensors,
    add_products,
    outputs_before,
    read_inputs,
)

_FORWARD_FRAMES, _BACKWARD_FRAMES = 64, 32


@dataclass(frozen=True)
class CompiledStep:
    """A cell's frame, compiled. All arrays are in C order; D, N, H and so on as in `Operands`.

    Parameters
    ----------
    forward
        Called with (t, k, gates, products, states, outputs, parameters), it computes frame k + 1 of
        `states` (S, D, K + 1, N, H) and frame t of `outputs` (D, T, N, H) from frame k of `gates`
        (D, K, N, G, H), which is the input's part, and `products` (D, N, G, H), the other part. It
        leaves in `gates` what `backward` needs.
    backward
        Called with (k, j, gates, states, parameters, grad_outputs, grad_hidden, grad_states,
        grad_gates, grad_parameters), it adds frame j of `grad_outputs` (D, J, N, H) to
        `grad_hidden` (D, N, H), carries `grad_states` (S, D, N, H) from frame k + 1 to frame k,
        writes frame j of `grad_gates` (D, J, N, G, H), and adds to `grad_parameters` (P, D, H).
    """

    forward: Callable[..., None]
    backward: Callable[..., None]


def compiles_for(tensors: Iterable[Tensor | None]) -> bool:
    """Whether compiled loops can compute with these: all on a CPU, and of one precision."""
    kinds = {(each.device.type, each.dtype) for each in tensors if each is not None}
    return kinds in ({("cpu", torch.float32)}, {("cpu", torch.float64)})


def run_compiled(
    step: CompiledStep, recurrence: Recurrence, operands: Operands
) -> tuple[Tensors, Tensors]:
    """Do as `run_recurrence`, for a cell all of whose gates read input and output."""
    results = _Run.apply(  # type: ignore[no-untyped-call]
        step, recurrence, torch.is_grad_enabled(), *operands.flat()
    )
    return results[: recurrence.num_directions], results[recurrence.num_directions :]


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, step: CompiledStep, recurrence: Recurrence, keeps: bool, *flat: Tensor
    ) -> Tensors:
        given = Operands.of(flat, recurrence)
        hidden, *first_states = given.state
        num_frames = len(given.inputs[0])
        num_directions, batch, size = hidden.shape
        num_columns = recurrence.num_gates * size
        recurrent_weight = given.recurrent_weight.transpose(1, 2).contiguous()
        parameters = _stack(given.parameters, hidden)

        kept_frames = num_frames if keeps else min(_FORWARD_FRAMES, num_frames)
        gates = new_empty(hidden, num_directions, kept_frames, batch, num_columns)
        states = new_empty(hidden, len(first_states), num_directions, kept_frames + 1, batch, size)
        outputs = new_empty(hidden, num_directions, num_frames, batch, size)
        products = hidden.new_empty(num_directions, batch, num_columns)
        for kept_states, first in zip(states, first_states, strict=True):
            kept_states[:, 0] = first
        block_shape = recurrence.num_gates, size
        arrays = (
            _array(gates.view(*gates.shape[:3], *block_shape)),
            _array(products.view(num_directions, batch, *block_shape)),
            _array(states),
            _array(outputs),
            _array(parameters),
        )
        k = 0
        for chunk in recurrence.chunks(num_frames, _FORWARD_FRAMES):
            if not keeps:
                states[:, :, 0] = states[:, :, k]
            k = chunk.start if keeps else 0
            read_inputs(given, chunk, gates[:, k : k + chunk.stop - chunk.start])
            for t, said in zip(
                range(chunk.start, chunk.stop), outputs[:, chunk].unbind(1), strict=True
            ):
                heard = hidden if given.mask is None else hidden * given.mask
                torch.bmm(heard, recurrent_weight, out=products)
                step.forward(t, k, *arrays)
                hidden = said
                k += 1
        if keeps:
            ctx.step, ctx.recurrence, ctx.num_operands = step, recurrence, len(flat)
            ctx.save_for_backward(*flat, gates, states, outputs)
        return *outputs.unbind(0), hidden.clone(), *(each[:, k].clone() for each in states)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads_of_results: Tensor) -> tuple[Tensor | None, ...]:
        step: CompiledStep = ctx.step
        recurrence: Recurrence = ctx.recurrence
        given = Operands.of(ctx.saved_tensors[: ctx.num_operands], recurrence)
        gates, states, outputs = ctx.saved_tensors[ctx.num_operands :]
        num_directions = recurrence.num_directions
        grad_outputs = grads_of_results[:num_directions]
        grad_hidden, *grad_last_states = grads_of_results[num_directions:]
        grad_hidden = grad_hidden.clone(memory_format=torch.contiguous_format)
        grad_states = torch.stack(grad_last_states)
        parameters = _stack(given.parameters, grad_hidden)
        grad_parameters = torch.zeros_like(parameters)
        grads = Operands(
            tuple(new_empty(each, *each.shape) for each in given.inputs),
            torch.zeros_like(given.input_weight),
            torch.zeros_like(given.recurrent_weight),
            torch.zeros_like(given.bias),
            None,
            None,
            (),
            (),
        )

        grad_gates = torch.empty_like(gates[:, :_BACKWARD_FRAMES])
        from_above = torch.empty_like(outputs[:, :_BACKWARD_FRAMES])
        block_shape = recurrence.num_gates, gates.shape[-1] // recurrence.num_gates
        arrays = (
            _array(gates.view(*gates.shape[:3], *block_shape)),
            _array(states),
            _array(parameters),
            _array(from_above),
            _array(grad_hidden),
            _array(grad_states),
            _array(grad_gates.view(*grad_gates.shape[:3], *block_shape)),
            _array(grad_parameters),
        )
        for chunk in reversed(list(recurrence.chunks(len(given.inputs[0]), _BACKWARD_FRAMES))):
            num_frames = chunk.stop - chunk.start
            for here, grad in zip(from_above, grad_outputs, strict=True):
                here[:num_frames] = grad[chunk]
            for j, grad_products in reversed(list(enumerate(grad_gates[:, :num_frames].unbind(1)))):
                step.backward(chunk.start + j, j, *arrays)
                torch.bmm(grad_products, given.recurrent_weight, out=grad_hidden)
                if given.mask is not None:
                    grad_hidden *= given.mask
            if not recurrence.passes_gradient(chunk.start):
                grad_hidden.zero_()
                grad_states.zero_()
            heard = outputs_before(chunk, outputs, given.state[0])
            heard = heard if given.mask is None else heard * given.mask[:, None]
            add_products(grads, given, chunk, grad_gates[:, :num_frames], heard)
        state = (grad_hidden, *grad_states)
        return (
            None,
            None,
            None,
            *replace(grads, state=state, parameters=tuple(grad_parameters)).flat(),
        )


def _stack(parameters: Tensors, like: Tensor) -> Tensor:
    """Stack P parameters (D, H), of which there may be none."""
    return torch.stack(parameters) if parameters else like.new_empty(0, *like.shape[::2])


def _array(tensor: Tensor) -> NDArray[Any]:
    """Return the same memory for numba; C order is what makes its loops fast."""
    array: NDArray[Any] = tensor.detach().numpy()
    return array
