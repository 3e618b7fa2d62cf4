"""LSTM that forgets as much as it takes in: coupled input and forget gates.

    i_t = σ(W_i x_t + U_i h_{t-1} + b_i)        c_t = (1 - i_t) ∘ c_{t-1} + i_t ∘ g_t
    o_t = σ(W_o x_t + U_o h_{t-1} + b_o)        h_t = o_t ∘ tanh(c_t)
    g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)

The variant CIFG of Greff, Srivastava, Koutník, Steunebrink & Schmidhuber, LSTM: A Search Space
Odyssey, 2017, without peepholes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.nn.cells.elementwise import ElementwiseCell
from asrkit.nn.cells.recurrence import Tensors
from asrkit.nn.cells.triton_lstm import LstmForm


class CoupledLstm(ElementwiseCell):
    """Three quarters of the weights of an LSTM.

    The first gate is computed as f = 1 - i, so that `forget_bias` means what it does elsewhere.
    """

    num_gates = num_input_gates = num_recurrent_gates = 3
    num_states = 1
    forget_gate = 0
    lstm_form = LstmForm(forget="coupled")

    def next_states(self, gates: Tensors, states: Tensors, parameters: Tensors) -> Tensors:
        """Compute c; gates f, g, o."""
        (f, g, _), (c,) = gates, states
        return (torch.lerp(g.tanh(), c, f.sigmoid()),)

    def output(
        self, gates: Tensors, before: Tensors, after: Tensors, parameters: Tensors
    ) -> Tensor:
        """Compute h."""
        (*_, o), (c,) = gates, after
        return o.sigmoid() * c.tanh()
