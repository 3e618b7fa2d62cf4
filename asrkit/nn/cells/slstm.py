"""sLSTM: an LSTM with exponential input gates and a normaliser.

    i_t = exp(W_i x_t + U_i h_{t-1} + b_i)      c_t = f_t ∘ c_{t-1} + i_t ∘ z_t
    f_t = σ(W_f x_t + U_f h_{t-1} + b_f)        n_t = f_t ∘ n_{t-1} + i_t
    o_t = σ(W_o x_t + U_o h_{t-1} + b_o)        h_t = o_t ∘ c_t / n_t
    z_t = tanh(W_z x_t + U_z h_{t-1} + b_z)

Beck et al., xLSTM: Extended Long Short-Term Memory, 2024, with one head and the sigmoid form of
the forget gate.

c and n grow without bound, and i may overflow; the paper scales them by a stabiliser. But only
their ratio is ever read: a mean of all z so far, in which the newest weighs σ(d_t) with
d_t = log i_t - log(f_t ∘ n_{t-1}). So the states here are that mean and log n, which need none:

    r_t = c_t / n_t = (1 - σ(d_t)) ∘ r_{t-1} + σ(d_t) ∘ z_t        log n_t = log i_t - log σ(d_t)
"""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.nn.cells.cell import State
from asrkit.nn.cells.elementwise import ElementwiseCell
from asrkit.nn.cells.recurrence import Tensors


class SLstm(ElementwiseCell):
    """Its states are r = c / n and log n."""

    num_gates = num_input_gates = num_recurrent_gates = 4
    num_states = 2
    forget_gate = 1
    compiled_step = "slstm_loops", "STEP"

    def initial_state(self, like: Tensor, batch: int) -> State:
        """Return zeros, but -∞ for log n: at first there is nothing."""
        *zeros, log_n = super().initial_state(like, batch)
        return *zeros, torch.full_like(log_n, -torch.inf)

    def next_states(self, gates: Tensors, states: Tensors, parameters: Tensors) -> Tensors:
        """Compute r and log n; gates i, f, z, o."""
        (log_i, f, z, _), (r, log_n) = gates, states
        d = log_i - (_log_sigmoid(f) + log_n)
        r = torch.lerp(r, z.tanh(), d.sigmoid())
        return r, log_i - _log_sigmoid(d)

    def output(
        self, gates: Tensors, before: Tensors, after: Tensors, parameters: Tensors
    ) -> Tensor:
        """Compute h."""
        (*_, o), (r, _) = gates, after
        return o.sigmoid() * r


def _log_sigmoid(x: Tensor) -> Tensor:
    """Return log σ(x) = min(x, 0) + log σ(|x|), without overflow; torch's own is much slower."""
    return torch.minimum(x, x.new_zeros(())) + x.abs().sigmoid().log()
