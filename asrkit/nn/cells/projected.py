"""LSTM whose output is projected to fewer values, which the next frame reads.

    i_t, f_t, o_t = σ(W x_t + U r_{t-1} + b)    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t
    g_t = tanh(W_g x_t + U_g r_{t-1} + b_g)     r_t = R (o_t ∘ tanh(c_t))

Sak, Senior & Beaufays, Long Short-Term Memory Recurrent Neural Network Architectures for Large
Scale Acoustic Modeling, 2014, without peepholes and without their non-recurrent projection.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.nn.cells.elementwise import ElementwiseCell
from asrkit.nn.cells.recurrence import Tensors
from asrkit.settings import ModelSettings


class ProjectedLstm(ElementwiseCell):
    """Many memory cells at the price of few recurrent weights.

    Attributes
    ----------
    projection
        R, (D, P, H) with P = `model.projection_size`.
    """

    num_gates = num_input_gates = num_recurrent_gates = 4
    num_states = 1
    forget_gate = 1

    def __init__(self, settings: ModelSettings, input_size: int, num_directions: int) -> None:
        super().__init__(settings, input_size, num_directions, settings.projection_size)
        shape = num_directions, settings.projection_size, settings.hidden_size
        self.projection = nn.Parameter(torch.empty(shape))

    def output_projection(self) -> Tensor:
        """Return the projection."""
        return self.projection

    def next_states(self, gates: Tensors, states: Tensors, parameters: Tensors) -> Tensors:
        """Compute c; gates i, f, g, o."""
        (i, f, g, _), (c,) = gates, states
        return (torch.addcmul(f.sigmoid() * c, i.sigmoid(), g.tanh()),)

    def output(
        self, gates: Tensors, before: Tensors, after: Tensors, parameters: Tensors
    ) -> Tensor:
        """Compute the output before its projection."""
        (*_, o), (c,) = gates, after
        return o.sigmoid() * c.tanh()
