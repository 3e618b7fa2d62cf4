"""The network of the laboratory: one recurrent layer, read out by a linear map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.nn.cells.cell import Cell, State
from asrkit.nn.cells.family import make_cell
from asrkit.settings import ModelSettings
from asrkit.settings_types import CellName

_WITH_INPUT_GATE = {
    *("lstm", "lstm_1997", "lstm_peephole", "lstm_peephole_simple", "lstm_projected"),
    *("lstm_layer_norm", "slstm"),
}
_INPUT_GATE = 0


class LabNetwork(nn.Module):
    """One direction of one cell and a linear output: (T, N, F) -> (T, N, V).

    Parameters
    ----------
    cell, num_inputs, hidden_size, num_outputs
        Its name and sizes.
    forget_bias, input_bias
        Added to the first biases of forget and input gates, where the cell has them.
    """

    cell: Cell

    def __init__(
        self,
        cell: CellName,
        num_inputs: int,
        hidden_size: int,
        num_outputs: int,
        forget_bias: float = 1.0,
        input_bias: float = 0.0,
    ) -> None:
        super().__init__()
        settings = ModelSettings(
            cell=cell,
            bidirectional=False,
            num_layers=1,
            hidden_size=hidden_size,
            projection_size=max(1, hidden_size // 2),
            forget_bias=forget_bias,
        )
        self.cell = make_cell(settings, num_inputs, 1)
        if cell in _WITH_INPUT_GATE:
            with torch.no_grad():
                gates = self.cell.bias.view(1, self.cell.num_gates, hidden_size)
                gates[:, _INPUT_GATE] += input_bias
        self.output = nn.Linear(self.cell.output_size, num_outputs)

    def forward(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over a batch from a state, or from zeros; return outputs and the last state."""
        hidden, state = self.cell([inputs], state)
        return self.output(hidden[0]), state
