"""Gated recurrent unit: two gates, and no state besides the output.

    z_t = σ(W_z x_t + U_z h_{t-1} + b_z)
    r_t = σ(W_r x_t + U_r h_{t-1} + b_r)
    n_t = tanh(W_n x_t + b_n + r_t ∘ (U_n h_{t-1} + b_u))
    h_t = (1 - z_t) ∘ n_t + z_t ∘ h_{t-1}

Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, 2014. There r_t multiplies
h_{t-1} before U_n does; after it, as in cuDNN and torch, one product with h_{t-1} serves all gates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.nn.cells.elementwise import ElementwiseCell
from asrkit.nn.cells.recurrence import Tensors


class Gru(ElementwiseCell):
    """The blocks of gates are n (of the input), r, z and n (of the output before)."""

    num_gates = 4
    num_input_gates = num_recurrent_gates = 3
    num_states = 1
    forget_gate = 2

    def next_states(self, gates: Tensors, states: Tensors, parameters: Tensors) -> Tensors:
        """Compute h."""
        (n, r, z, u), (h,) = gates, states
        n = torch.addcmul(n, r.sigmoid(), u).tanh()
        return (torch.lerp(n, h, z.sigmoid()),)

    def output(
        self, gates: Tensors, before: Tensors, after: Tensors, parameters: Tensors
    ) -> Tensor:
        """Return h, which is the state as well."""
        return after[0]
