"""The first long short-term memory: input and output gates, and a cell that never forgets.

    i_t = σ(W_i x_t + U_i h_{t-1} + b_i)        c_t = c_{t-1} + i_t ∘ g_t
    o_t = σ(W_o x_t + U_o h_{t-1} + b_o)        h_t = o_t ∘ tanh(c_t)
    g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)

Hochreiter & Schmidhuber, Long Short-Term Memory, 1997, with one cell a block; tanh stands for the
squashing functions of the paper (g in [-2, 2], h in [-1, 1]), and the gradient is not truncated.
"""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.nn.cells.elementwise import ElementwiseCell
from asrkit.nn.cells.recurrence import Tensors
from asrkit.nn.cells.triton_lstm import LstmForm


class Lstm1997(ElementwiseCell):
    """No forget gate: what a cell holds stays, and what comes adds to it."""

    num_gates = num_input_gates = num_recurrent_gates = 3
    num_states = 1
    lstm_form = LstmForm(forget="none")

    def next_states(self, gates: Tensors, states: Tensors, parameters: Tensors) -> Tensors:
        """Compute c; gates i, g, o."""
        (i, g, _), (c,) = gates, states
        return (torch.addcmul(c, i.sigmoid(), g.tanh()),)

    def output(
        self, gates: Tensors, before: Tensors, after: Tensors, parameters: Tensors
    ) -> Tensor:
        """Compute h."""
        (*_, o), (c,) = gates, after
        return o.sigmoid() * c.tanh()
