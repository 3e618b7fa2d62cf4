"""sLSTM: an LSTM with exponential gates, a normaliser and a stabiliser.

    i_t = exp(W_i x_t + U_i h_{t-1} + b_i)      c_t = f_t ∘ c_{t-1} + i_t ∘ z_t
    f_t = σ(W_f x_t + U_f h_{t-1} + b_f)        n_t = f_t ∘ n_{t-1} + i_t
    o_t = σ(W_o x_t + U_o h_{t-1} + b_o)        h_t = o_t ∘ c_t / n_t
    z_t = tanh(W_z x_t + U_z h_{t-1} + b_z)

Beck et al., xLSTM: Extended Long Short-Term Memory, 2024, with one head and the sigmoid form of
the forget gate. i_t may overflow, so c and n are held times exp(-m_t) with the stabiliser
m_t = max(log f_t + m_{t-1}, log i_t); h_t does not depend on m_t, and no gradient goes through it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from asrkit.nn.cells.cell import State
from asrkit.nn.cells.elementwise import ElementwiseCell
from asrkit.nn.cells.recurrence import Tensors


class SLstm(ElementwiseCell):
    """Its states are c, n and m."""

    num_gates = num_input_gates = num_recurrent_gates = 4
    num_states = 3
    forget_gate = 1

    def initial_state(self, like: Tensor, batch: int) -> State:
        """Return zeros, but -∞ for m: however small the first i, there is nothing larger."""
        *zeros, m = super().initial_state(like, batch)
        return *zeros, torch.full_like(m, -torch.inf)

    def update(
        self, gates: Tensors, states: Tensors, parameters: Tensors
    ) -> tuple[Tensor, Tensors]:
        """Compute h, and c, n and m; gates i, f, z, o."""
        (log_i, f, z, o), (c, n, m_before) = gates, states
        log_f = F.logsigmoid(f)
        m = torch.maximum(log_f + m_before, log_i).detach()
        i = (log_i - m).exp()
        f = (log_f + m_before.detach() - m).exp()
        c = torch.addcmul(f * c, i, z.tanh())
        n = torch.addcmul(i, f, n)
        return o.sigmoid() * c / n, (c, n, m)
