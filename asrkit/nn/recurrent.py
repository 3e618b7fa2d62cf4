"""A recurrent layer in one or both directions over a padded batch, exact on every valid frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.nn.cells.family import make_cell
from asrkit.nn.reversal import reverse
from asrkit.settings import ModelSettings


class RecurrentLayer(nn.Module):
    """One recurrence for each direction (Graves & Schmidhuber 2005).

    The backward direction reads every utterance reversed within its own length, so that no state
    is ever computed from padding before it is computed from speech. No packed sequence is needed:
    padding comes last in both directions and what is computed there is not used.
    """

    def __init__(self, settings: ModelSettings, input_size: int) -> None:
        super().__init__()
        self.cell = make_cell(settings, input_size, 2 if settings.bidirectional else 1)
        self.output_size = self.cell.num_directions * self.cell.output_size

    def forward(self, frames: Tensor, index: Tensor) -> Tensor:
        """Map (T, N, F) frames to (T, N, D * P); `index` is their `reversal_index`."""
        if self.cell.num_directions == 1:
            outputs: Tensor = self.cell([frames])[0][0]
            return outputs
        (forwards, backwards), _ = self.cell([frames, reverse(frames, index)])
        return torch.cat([forwards, reverse(backwards, index)], dim=-1)
