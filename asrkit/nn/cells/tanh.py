"""The simple recurrent network: no gate, no memory cell.

    h_t = tanh(W x_t + U h_{t-1} + b)

Elman, Finding Structure in Time, 1990; "CTC-3l-500h-tanh" of Graves, Mohamed & Hinton 2013.
"""

from __future__ import annotations

from torch import Tensor

from asrkit.nn.cells.elementwise import ElementwiseCell
from asrkit.nn.cells.recurrence import Tensors


class TanhRnn(ElementwiseCell):
    """Its one block of gates is the new output before the nonlinearity."""

    num_gates = num_input_gates = num_recurrent_gates = 1
    num_states = 0

    def next_states(self, gates: Tensors, states: Tensors, parameters: Tensors) -> Tensors:
        """Return no states."""
        return ()

    def output(
        self, gates: Tensors, before: Tensors, after: Tensors, parameters: Tensors
    ) -> Tensor:
        """Compute h."""
        (a,) = gates
        return a.tanh()
