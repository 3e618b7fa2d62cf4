"""Cells that mix units only through their recurrent weights: the whole rest is elementwise.

Such a cell is written as its equations, once, in `next_states` and `output`. `recurrence` runs it
over a sequence and derives its gradient; for some of them `triton_lstm` does so faster, on a GPU
that can.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from asrkit.nn.cells.cell import Cell, State
from asrkit.nn.cells.compiled_recurrence import compiles_for, run_compiled
from asrkit.nn.cells.recurrence import Operands, Recurrence, Tensors, run_recurrence
from asrkit.nn.cells.triton_lstm import LstmForm, is_available, run_lstm


class ElementwiseCell(Cell):
    """Base of the cells whose state update treats every unit by itself."""

    num_states: int
    """Tensors of the state besides the output."""
    lstm_form: LstmForm | None = None
    """What `triton_lstm` has to run on a GPU to compute the same; None if it cannot."""
    compiled_step: tuple[str, str] | None = None
    """Module and name of the `CompiledStep` for a CPU, for cells that are too slow without. It is
    imported where it is run, because numba takes long to load."""

    @abstractmethod
    def next_states(self, gates: Tensors, states: Tensors, parameters: Tensors) -> Tensors:
        """Compute the states of a frame, or of many frames at once, from those before each.

        Parameters
        ----------
        gates
            `num_gates` tensors (..., N, H), before their nonlinearities.
        states
            `num_states` tensors (..., N, H).
        parameters
            `elementwise_parameters`, each so that it broadcasts.

        Returns
        -------
        tuple of Tensor
            `num_states` tensors (..., N, H).
        """

    @abstractmethod
    def output(
        self, gates: Tensors, before: Tensors, after: Tensors, parameters: Tensors
    ) -> Tensor:
        """Compute the output (..., N, H) of such frames, from the states before and after each."""

    def elementwise_parameters(self) -> Tensors:
        """Return the weights that the equations need, each (D, H)."""
        return ()

    def output_projection(self) -> Tensor | None:
        """Return what maps the cell's output to that of the layer, (D, P, H), if anything does."""
        return None

    def initial_state(self, like: Tensor, batch: int) -> State:
        """Return zeros: the output (D, N, P) and the states (D, N, H)."""
        outer = (self.num_directions, batch)
        output = like.new_zeros(*outer, self.output_size)
        return output, *(like.new_zeros(*outer, self.hidden_size) for _ in range(self.num_states))

    def forward(
        self, inputs: Sequence[Tensor], state: State | None = None
    ) -> tuple[Tensors, State]:
        """Run from the first frame to the last; see `Cell.forward`."""
        batch = inputs[0].shape[1]
        operands = Operands(
            tuple(inputs),
            self.input_weight,
            self.recurrent_weight,
            self.bias,
            self.output_projection(),
            self.recurrent_mask(batch),
            state or self.initial_state(inputs[0], batch),
            self.elementwise_parameters(),
        )
        if self.lstm_form and operands.mask is None and is_available(inputs[0]):
            return run_lstm(self.lstm_form, self.truncate_frames, operands)
        recurrence = Recurrence(
            self.next_states,
            self.output,
            self.num_directions,
            self.num_gates,
            self.num_states,
            self.truncate_frames,
        )
        if self.compiled_step and compiles_for(operands.flat()):
            module, name = self.compiled_step
            step = getattr(importlib.import_module(f"asrkit.nn.cells.{module}"), name)
            return run_compiled(step, recurrence, operands)
        return run_recurrence(recurrence, operands)
