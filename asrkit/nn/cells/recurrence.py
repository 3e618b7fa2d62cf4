"""Run an elementwise cell over a sequence, and its gradient back through time.

The gradient of a frame is linear in what comes back from the frame after, and its coefficients
depend on values that the forward pass has left. So they are computed for many frames at once, by
differentiating the cell's own equations; only multiplying with them, and with the recurrent
weights, is done frame by frame. A cell states its equations once and needs no gradient of its own.

Its states and its output are separate equations, because most gates act on the output through the
states alone: the gradient goes from the output to the states first, which is less work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.amp.autocast_mode import custom_bwd, custom_fwd
from torch.autograd.function import once_differentiable

from asrkit.nn.cells.buffers import new_empty

Tensors = tuple[Tensor, ...]
NextStates = Callable[[Tensors, Tensors, Tensors], Tensors]
Output = Callable[[Tensors, Tensors, Tensors, Tensors], Tensor]

_FORWARD_FRAMES, _BACKWARD_FRAMES = 64, 32
"""Frames whose gates are worked on at once: few enough to stay in the caches of a CPU."""


@dataclass(frozen=True)
class Recurrence:
    """What is to be run: `ElementwiseCell` explains the fields."""

    next_states: NextStates
    output: Output
    num_directions: int
    num_gates: int
    num_states: int
    truncate_frames: int

    def chunks(self, num_frames: int, chunk_frames: int) -> Iterator[slice]:
        """Frames in stretches of so many, none across a multiple of `truncate_frames`."""
        start = 0
        while start < num_frames:
            stop = min(start + chunk_frames, num_frames)
            if self.truncate_frames:
                stop = min(stop, start - start % self.truncate_frames + self.truncate_frames)
            yield slice(start, stop)
            start = stop

    def passes_gradient(self, frame: int) -> bool:
        """Whether the gradient goes from this frame to the one before."""
        return self.truncate_frames == 0 or frame % self.truncate_frames != 0


@dataclass(frozen=True)
class Operands:
    """The tensors of a recurrence.

    Parameters
    ----------
    inputs
        D tensors (T, N, F).
    input_weight, recurrent_weight, bias
        (D, Gi * H, F), (D, Gr * H, P) and (D, G * H): of the G gates, the first Gi read the input,
        the last Gr the output of the frame before.
    projection
        (D, P, H), or None where P = H.
    mask
        (D, N, P), multiplied with what the recurrent weights read, or None.
    state
        Output (D, N, P) and states (D, N, H) before the first frame.
    parameters
        What the equations take besides, each (D, H).
    """

    inputs: tuple[Tensor, ...]
    input_weight: Tensor
    recurrent_weight: Tensor
    bias: Tensor
    projection: Tensor | None
    mask: Tensor | None
    state: tuple[Tensor, ...]
    parameters: tuple[Tensor, ...]

    def flat(self) -> tuple[Tensor | None, ...]:
        """All in the order of the fields."""
        weights = (self.input_weight, self.recurrent_weight, self.bias, self.projection, self.mask)
        return *self.inputs, *weights, *self.state, *self.parameters

    @classmethod
    def of(cls, flat: Sequence[Any], recurrence: Recurrence) -> Operands:
        """Undo `flat`."""
        weights = recurrence.num_directions
        state = weights + 5
        parameters = state + 1 + recurrence.num_states
        input_weight, recurrent_weight, bias, projection, mask = flat[weights:state]
        return cls(
            tuple(flat[:weights]),
            input_weight,
            recurrent_weight,
            bias,
            projection,
            mask,
            tuple(flat[state:parameters]),
            tuple(flat[parameters:]),
        )

    @property
    def input_gates(self) -> slice:
        """Columns of the gates that read the input."""
        return slice(0, self.input_weight.shape[1])

    @property
    def recurrent_gates(self) -> slice:
        """Columns of the gates that read the output of the frame before."""
        return slice(self.bias.shape[1] - self.recurrent_weight.shape[1], self.bias.shape[1])


def run_recurrence(recurrence: Recurrence, operands: Operands) -> tuple[Tensors, Tensors]:
    """Compute the outputs, one (T, N, P) tensor a direction, and the state after the last frame."""
    results = _Run.apply(  # type: ignore[no-untyped-call]
        recurrence, torch.is_grad_enabled(), *operands.flat()
    )
    return results[: recurrence.num_directions], results[recurrence.num_directions :]


class _Run(torch.autograd.Function):
    @staticmethod
    @custom_fwd(device_type="cuda", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, recurrence: Recurrence, keeps: bool, *flat: Tensor) -> tuple[Tensor, ...]:
        given = Operands.of(flat, recurrence)
        num_frames, batch, _ = given.inputs[0].shape
        hidden, states = given.state[0], given.state[1:]
        num_directions, num_columns = given.bias.shape
        recurrent_weight = given.recurrent_weight.transpose(1, 2).contiguous()
        parameters = tuple(each[:, None] for each in given.parameters)

        kept_frames = num_frames if keeps else min(_FORWARD_FRAMES, num_frames)
        gates = new_empty(hidden, num_directions, kept_frames, batch, num_columns)
        before = [new_empty(s, num_directions, kept_frames, *s.shape[1:]) for s in states]
        outputs = new_empty(hidden, num_directions, num_frames, *hidden.shape[1:])
        for chunk in recurrence.chunks(num_frames, _FORWARD_FRAMES):
            here = gates[:, chunk if keeps else slice(0, chunk.stop - chunk.start)]
            read_inputs(given, chunk, here)
            hiddens: list[Tensor] = []
            histories: list[list[Tensor]] = [[] for _ in states]
            blocks = here.view(*here.shape[:3], recurrence.num_gates, -1).unbind(-2)
            for recurrent_gates, *frame in zip(
                here[..., given.recurrent_gates].unbind(1),
                *(block.unbind(1) for block in blocks),
                strict=True,
            ):
                heard = hidden if given.mask is None else hidden * given.mask
                recurrent_gates.baddbmm_(heard, recurrent_weight)
                for history, state in zip(histories, states, strict=True):
                    history.append(state)
                frame_gates = tuple(frame)
                earlier, states = states, recurrence.next_states(frame_gates, states, parameters)
                hidden = recurrence.output(frame_gates, earlier, states, parameters)
                if given.projection is not None:
                    hidden = torch.bmm(hidden, given.projection.transpose(1, 2))
                hiddens.append(hidden)
            torch.stack(hiddens, dim=1, out=outputs[:, chunk])
            if keeps:
                for kept_states, history in zip(before, histories, strict=True):
                    torch.stack(history, dim=1, out=kept_states[:, chunk])
        if keeps:
            ctx.recurrence = recurrence
            ctx.num_operands = len(flat)
            ctx.save_for_backward(*flat, gates, outputs, *before)
        return *outputs.unbind(0), hidden.clone(), *(state.clone() for state in states)

    @staticmethod
    @once_differentiable
    @custom_bwd(device_type="cuda")  # type: ignore[untyped-decorator]
    def backward(  # type: ignore[override]
        ctx: Any, *grads_of_results: Tensor
    ) -> tuple[Tensor | None, ...]:
        recurrence: Recurrence = ctx.recurrence
        grad_outputs = grads_of_results[: recurrence.num_directions]
        carried = list(grads_of_results[recurrence.num_directions :])
        given = Operands.of(ctx.saved_tensors[: ctx.num_operands], recurrence)
        gates, outputs, *before = ctx.saved_tensors[ctx.num_operands :]
        grads = Operands(
            tuple(new_empty(each, *each.shape) for each in given.inputs),
            torch.zeros_like(given.input_weight),
            torch.zeros_like(given.recurrent_weight),
            torch.zeros_like(given.bias),
            None if given.projection is None else torch.zeros_like(given.projection),
            None,
            (),
            tuple(torch.zeros_like(each) for each in given.parameters),
        )
        buffer = torch.empty_like(gates[:, :_BACKWARD_FRAMES])
        for chunk in reversed(list(recurrence.chunks(len(given.inputs[0]), _BACKWARD_FRAMES))):
            grad_gates = buffer[:, : chunk.stop - chunk.start]
            local = _Chunk(recurrence, gates[:, chunk], [each[:, chunk] for each in before], given)
            from_above = torch.stack([each[chunk] for each in grad_outputs])
            carried = local.run_back(from_above, carried, grad_gates)
            if not recurrence.passes_gradient(chunk.start):
                carried = [torch.zeros_like(each) for each in carried]
            local.add_gradients(grads.projection, grads.parameters)
            heard = outputs_before(chunk, outputs, given.state[0])
            heard = heard if given.mask is None else heard * given.mask[:, None]
            add_products(grads, given, chunk, grad_gates, heard)
        return None, None, *replace(grads, state=tuple(carried)).flat()


class _Chunk:
    """Some frames on the way back: their own derivatives at once, then time step by step."""

    def __init__(
        self, recurrence: Recurrence, gates: Tensor, before: Sequence[Tensor], given: Operands
    ) -> None:
        self.given = given
        self.block_shape = (*gates.shape[:3], recurrence.num_gates, -1)
        blocks = _variables(gates.view(self.block_shape).unbind(-2))
        states = _variables(before)
        self.parameters = _variables(given.parameters)
        with torch.enable_grad():
            wide = tuple(each[:, None, None] for each in self.parameters)
            following = recurrence.next_states(blocks, states, wide)
            after = _variables(following)
            output = recurrence.output(blocks, states, after, wide)
        self.results = (output, *following)
        of_output = _derivatives(output, (*after, *blocks, *states))
        of_following = [_derivatives(each, (*blocks, *states)) for each in following]
        # Derivatives of the output by the states after, frame by frame; then for each variable
        # which results depend on it, and the derivatives frame by frame.
        self.of_after = [
            None if each is None else each.unbind(1) for each in of_output[: len(after)]
        ]
        columns = [
            [(number, each.unbind(1)) for number, each in enumerate(column) if each is not None]
            for column in zip(of_output[len(after) :], *of_following, strict=True)
        ]
        self.of_blocks, self.of_states = columns[: len(blocks)], columns[len(blocks) :]
        self.grad_results: list[Sequence[Tensor]] = []
        self.grad_outputs: list[Tensor] = []

    def run_back(
        self, grad_outputs: Tensor, carried: list[Tensor], grad_gates: Tensor
    ) -> list[Tensor]:
        """Fill `grad_gates`; from gradients of the state after the frames to those before them."""
        given = self.given
        frames = zip(
            range(grad_outputs.shape[1]),
            grad_outputs.unbind(1),
            grad_gates[..., given.recurrent_gates].unbind(1),
            *(block.unbind(1) for block in grad_gates.view(self.block_shape).unbind(-2)),
            strict=True,
        )
        for t, from_above, grad_recurrent, *grad_blocks in reversed(list(frames)):
            grad_output = carried[0] + from_above
            self.grad_outputs.append(grad_output)
            if given.projection is not None:
                grad_output = torch.bmm(grad_output, given.projection)
            grad_states = (
                grad if shown is None else torch.addcmul(grad, grad_output, shown[t])
                for grad, shown in zip(carried[1:], self.of_after, strict=True)
            )
            grads = [grad_output, *grad_states]
            self.grad_results.append(grads)

            for grad_block, column in zip(grad_blocks, self.of_blocks, strict=True):
                _chain(grads, column, t, grad_block)
            heard = torch.bmm(grad_recurrent, given.recurrent_weight)
            if given.mask is not None:
                heard = heard * given.mask
            states = (_chain(grads, each, t, torch.empty_like(grads[0])) for each in self.of_states)
            carried = [heard, *states]
        return carried

    def add_gradients(
        self, grad_projection: Tensor | None, grad_parameters: Sequence[Tensor]
    ) -> None:
        """Add what these frames contribute to gradients, after `run_back`."""
        if grad_projection is not None:
            said = torch.stack(self.grad_outputs[::-1], dim=1).flatten(1, 2)
            grad_projection.baddbmm_(said.transpose(1, 2), self.results[0].detach().flatten(1, 2))
        if self.parameters:
            results = [
                torch.stack(each[::-1], dim=1) for each in zip(*self.grad_results, strict=True)
            ]
            of_parameters = torch.autograd.grad(self.results, self.parameters, results)
            for total, grad in zip(grad_parameters, of_parameters, strict=True):
                total.add_(grad)


def read_inputs(given: Operands, chunk: slice, gates: Tensor) -> None:
    """Fill gates (D, C, N, G * H) with what the inputs of a chunk and the biases make of them."""
    unread = given.input_gates.stop
    for d, inputs in enumerate(given.inputs):
        rows = gates[d].view(-1, gates.shape[-1])
        torch.addmm(
            given.bias[d, :unread],
            inputs[chunk].flatten(0, 1),
            given.input_weight[d].T,
            out=rows[:, :unread],
        )
        rows[:, unread:] = given.bias[d, unread:]


def outputs_before(chunk: slice, outputs: Tensor, first: Tensor) -> Tensor:
    """Return the outputs of the frames before those of a chunk, (D, C, N, P).

    `outputs` (D, T, N, P) are those of all frames, `first` (D, N, P) that before them.
    """
    if chunk.start == 0:
        return torch.cat([first[:, None], outputs[:, : chunk.stop - 1]], dim=1)
    return outputs[:, chunk.start - 1 : chunk.stop - 1]


def add_products(
    grads: Operands, given: Operands, chunk: slice, grad_gates: Tensor, heard: Tensor
) -> None:
    """Add what the gates of a chunk contribute to the gradients of inputs, weights and biases."""
    by_input = grad_gates[..., given.input_gates].flatten(1, 2)
    for d, (rows, inputs) in enumerate(zip(by_input, given.inputs, strict=True)):
        grads.inputs[d][chunk] = (rows @ given.input_weight[d]).view_as(inputs[chunk])
        grads.input_weight[d].addmm_(rows.T, inputs[chunk].flatten(0, 1))
    by_output = grad_gates[..., given.recurrent_gates].flatten(1, 2)
    grads.recurrent_weight.baddbmm_(by_output.transpose(1, 2), heard.flatten(1, 2))
    grads.bias.add_(grad_gates.sum((1, 2)))


def _variables(values: Iterable[Tensor]) -> Tensors:
    """Return tensors with the same values, by which can be differentiated."""
    return tuple(each.detach().requires_grad_() for each in values)


def _derivatives(result: Tensor, variables: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """Elementwise derivatives of a result by each variable, or None where they are zero.

    No element of the result depends on more than one element of a block, so that the gradient of
    their sum holds every derivative by itself.
    """
    if not result.requires_grad:
        return (None,) * len(variables)
    return torch.autograd.grad(
        result, variables, torch.ones_like(result), retain_graph=True, allow_unused=True
    )


def _chain(
    grads: Sequence[Tensor],
    derivatives: Sequence[tuple[int, Sequence[Tensor]]],
    t: int,
    total: Tensor,
) -> Tensor:
    """Chain rule in frame t: write the sum over results of gradient times derivative to `total`."""
    if not derivatives:
        return total.zero_()
    (number, first), *others = derivatives
    torch.mul(grads[number], first[t], out=total)
    for number, derivative in others:
        total.addcmul_(grads[number], derivative[t])
    return total
