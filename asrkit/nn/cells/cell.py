"""What all recurrences have in common: shapes, states and first weights."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asrkit.settings import ModelSettings

State = tuple[Tensor, ...]
"""The output of the last frame (D, N, P), then the cell's own states, each (D, N, H)."""


class Cell(nn.Module, ABC):
    """One layer's recurrence, in one direction or in two at once.

    N batch, T frames, F inputs, H hidden units, P outputs, D directions. A frame's gates stand side
    by side in G blocks of H values; the first `num_input_gates` of them read the input, the last
    `num_recurrent_gates` read the output of the frame before.

    Parameters
    ----------
    settings
        Width, first weights and dropout of the recurrent connections.
    input_size
        F.
    num_directions
        D, 1 or 2. Directions share nothing; they are computed side by side because that is faster.

    Attributes
    ----------
    input_weight
        W, (D, num_input_gates * H, F).
    recurrent_weight
        U, (D, num_recurrent_gates * H, P).
    bias
        b, (D, G * H).
    truncate_frames
        No gradient passes a multiple of this many frames; 0 lets all pass.
    """

    num_gates: int
    num_input_gates: int
    num_recurrent_gates: int
    forget_gate: int | None = None
    """Which block of gates, opened, keeps the state."""

    def __init__(
        self,
        settings: ModelSettings,
        input_size: int,
        num_directions: int,
        output_size: int | None = None,
    ) -> None:
        super().__init__()
        self.num_directions = num_directions
        self.hidden_size = settings.hidden_size
        self.output_size = output_size or settings.hidden_size
        self.recurrent_dropout = settings.recurrent_dropout
        self.truncate_frames = 0
        self.input_weight = self._parameter(self.num_input_gates, input_size)
        self.recurrent_weight = self._parameter(self.num_recurrent_gates, self.output_size)
        self.bias = self._parameter(self.num_gates)

    def _parameter(self, num_blocks: int, *columns: int) -> nn.Parameter:
        """Uninitialised weights for blocks of H rows, (D, num_blocks * H, *columns)."""
        rows = num_blocks * self.hidden_size
        return nn.Parameter(torch.empty(self.num_directions, rows, *columns))

    def initialize(self, settings: ModelSettings) -> None:
        """Draw the first weights of all parameters, as `model.init` and `forget_bias` say."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        if settings.init == "uniform":
            bound = settings.init_range
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)
        with torch.no_grad():
            if settings.init == "orthogonal":
                columns = self.recurrent_weight.shape[-1]
                for block in self.recurrent_weight.view(-1, self.hidden_size, columns):
                    nn.init.orthogonal_(block)
            if self.forget_gate is not None:
                # An open forget gate lets gradients through long before the gate has learnt to.
                gates = self.bias.view(self.num_directions, self.num_gates, self.hidden_size)
                gates[:, self.forget_gate] += settings.forget_bias

    def recurrent_mask(self, batch: int) -> Tensor | None:
        """Draw the dropout of the recurrent connections, (D, N, P): one for all frames."""
        if not self.training or self.recurrent_dropout == 0.0:
            return None
        keep = 1.0 - self.recurrent_dropout
        mask = self.bias.new_empty(self.num_directions, batch, self.output_size)
        return mask.bernoulli_(keep) / keep

    @abstractmethod
    def forward(
        self, inputs: Sequence[Tensor], state: State | None = None
    ) -> tuple[tuple[Tensor, ...], State]:
        """Run from the first frame to the last.

        Padding may stand behind the last valid frame; what is computed there means nothing, and
        nothing valid depends on it.

        Parameters
        ----------
        inputs
            One (T, N, F) tensor a direction, in the order in which that direction reads.
        state
            To start from; None is zeros.

        Returns
        -------
        outputs
            One (T, N, P) tensor a direction.
        state
            After the last frame.
        """


def truncate_backpropagation(network: nn.Module, num_frames: int) -> None:
    """Let no gradient pass a multiple of so many frames of any recurrence; 0 lets all pass."""
    for module in network.modules():
        if isinstance(module, Cell):
            module.truncate_frames = num_frames
