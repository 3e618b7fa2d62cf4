"""LSTM whose gates also see the memory cell, through one weight a unit ("peepholes").

    i_t = σ(W_i x_t + U_i h_{t-1} + p_i ∘ c_{t-1} + b_i)
    f_t = σ(W_f x_t + U_f h_{t-1} + p_f ∘ c_{t-1} + b_f)
    c_t = f_t ∘ c_{t-1} + i_t ∘ tanh(W_g x_t + U_g h_{t-1} + b_g)
    o_t = σ(W_o x_t + U_o h_{t-1} + p_o ∘ c_t + b_o)
    h_t = o_t ∘ tanh(c_t)

Gers, Schraudolph & Schmidhuber, Learning Precise Timing with LSTM Recurrent Networks, 2002; the
form above, without their truncated gradient, is that of Graves, Mohamed & Hinton 2013.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.nn.cells.elementwise import ElementwiseCell
from asrkit.nn.cells.recurrence import Tensors
from asrkit.nn.cells.triton_lstm import LstmForm
from asrkit.settings import ModelSettings


class PeepholeLstm(ElementwiseCell):
    """Input and forget gate see the cell before, the output gate the cell now.

    Attributes
    ----------
    peepholes
        (D, 3, H): p_i, p_f and p_o.
    """

    num_gates = num_input_gates = num_recurrent_gates = 4
    num_states = 1
    forget_gate = 1
    lstm_form = LstmForm(peephole="full")
    compiled_step = "peephole_loops", "FULL"

    def __init__(self, settings: ModelSettings, input_size: int, num_directions: int) -> None:
        super().__init__(settings, input_size, num_directions)
        self.peepholes = nn.Parameter(torch.empty(num_directions, 3, self.hidden_size))

    def elementwise_parameters(self) -> Tensors:
        """Return the peepholes."""
        return self.peepholes.unbind(1)

    def next_states(self, gates: Tensors, states: Tensors, parameters: Tensors) -> Tensors:
        """Compute c; gates i, f, g, o."""
        (i, f, g, _), (c,), (p_i, p_f, _) = gates, states, parameters
        i = torch.addcmul(i, p_i, c).sigmoid_()
        f = torch.addcmul(f, p_f, c).sigmoid_()
        return (torch.addcmul(f * c, i, g.tanh()),)

    def output(
        self, gates: Tensors, before: Tensors, after: Tensors, parameters: Tensors
    ) -> Tensor:
        """Compute h."""
        (*_, o), (c,), (*_, p_o) = gates, after, parameters
        return torch.addcmul(o, p_o, c).sigmoid_() * c.tanh()


class SimplePeepholeLstm(PeepholeLstm):
    """The simplified form: all three gates see the cell before, so they are computed at once."""

    lstm_form = LstmForm(peephole="simple")
    compiled_step = "peephole_loops", "SIMPLE"

    def output(
        self, gates: Tensors, before: Tensors, after: Tensors, parameters: Tensors
    ) -> Tensor:
        """Compute h."""
        (*_, o), (earlier,), (c,), (*_, p_o) = gates, before, after, parameters
        return torch.addcmul(o, p_o, earlier).sigmoid_() * c.tanh()
