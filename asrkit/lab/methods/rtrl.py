"""Real-time recurrent learning: the exact gradient, carried forward with the state.

For a cell that goes from state s to s' = f(s, x, θ), the sensitivity S = ds/dθ obeys

    S' = ∂f/∂s S + ∂f/∂θ

and a loss at the new state adds dL/ds' S' to the gradient. Nothing of the past is kept, at the
price of a matrix of states x weights for each sequence. Williams & Zipser, A Learning Algorithm for
Continually Running Fully Recurrent Neural Networks, 1989. The LSTM papers approximate it, cutting
the paths that lead through outputs back into gates; here nothing is cut.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn import functional as F

from asrkit.errors import UsageError
from asrkit.lab.network import LabNetwork
from asrkit.lab.tasks.task import Sequences, Task
from asrkit.nn.cells.cell import Cell, State
from asrkit.nn.cells.elementwise import ElementwiseCell


def rtrl_gradient(
    network: LabNetwork, task: Task, sequences: Sequences, state: State | None
) -> State:
    """Add the gradient of the batch's loss to the weights' `grad`; return the state after it.

    Raises
    ------
    UsageError
        If the cell is not one whose state update is elementwise.
    """
    cell, inputs = _elementwise(network.cell), sequences.inputs
    step = _Step(cell)
    weights = {name: weight.detach() for name, weight in step.named_parameters()}

    def advance(values: dict[str, Tensor], flat: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        after: Tensor = functional_call(step, values, (flat, frame))
        return after, after

    # One run gives both the derivatives by weights and state, and the state itself.
    differentiate = vmap(jacrev(advance, argnums=(0, 1), has_aux=True), in_dims=(None, 0, 0))
    num_sequences = inputs.shape[1]
    state = state or cell.initial_state(inputs, num_sequences)
    flat = torch.cat([each[0] for each in state], dim=-1)
    sensitivities = {
        name: flat.new_zeros(*flat.shape, weight.numel()) for name, weight in weights.items()
    }
    gradient = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for t in range(len(inputs)):
        (by_weights, by_state), flat = differentiate(weights, flat, inputs[t])
        for name, direct in by_weights.items():
            sensitivities[name] = torch.baddbmm(direct.flatten(2), by_state, sensitivities[name])
        frame = sequences.frame(t)
        if not frame.weights.any():
            continue
        hidden = flat[:, : cell.output_size].detach().requires_grad_()
        task.loss(network.output(hidden)[None], frame).backward()  # type: ignore[no-untyped-call]
        for name, sensitivity in sensitivities.items():
            by_hidden = torch.einsum("nz,nzw->w", hidden.grad, sensitivity[:, : cell.output_size])
            gradient[name] += by_hidden.view_as(gradient[name])
    for name, weight in step.named_parameters():
        weight.grad = gradient[name] if weight.grad is None else weight.grad + gradient[name]
    parts = torch.split(flat, [each.shape[-1] for each in state], dim=-1)
    return tuple(part[None] for part in parts)


def _elementwise(cell: Cell) -> ElementwiseCell:
    if not isinstance(cell, ElementwiseCell):
        raise UsageError(
            f"rtrl: {type(cell).__name__} does not update its units one by one; choose another "
            "cell or method"
        )
    return cell


class _Step(nn.Module):
    """One frame of one sequence, by a cell's own equations: state (Z,), input (F,) -> state."""

    def __init__(self, cell: ElementwiseCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, flat: Tensor, frame: Tensor) -> Tensor:
        cell = self.cell
        hidden = flat[: cell.output_size]
        states = flat[cell.output_size :].view(cell.num_states, cell.hidden_size)
        read, heard = cell.input_weight[0] @ frame, cell.recurrent_weight[0] @ hidden
        (bias,) = cell.bias
        # The first gates read the input, the last ones the output of the frame before.
        gates = bias + F.pad(read, (0, len(bias) - len(read)))
        gates = gates + F.pad(heard, (len(bias) - len(heard), 0))
        parameters = tuple(each[0] for each in cell.elementwise_parameters())
        blocks = gates.view(cell.num_gates, -1).unbind(0)
        before = states.unbind(0)
        after = cell.next_states(blocks, before, parameters)
        output = cell.output(blocks, before, after, parameters)
        projection = cell.output_projection()
        if projection is not None:
            output = projection[0] @ output
        return torch.cat([output, *after])
