"""First weights of what is not a recurrence; the cells draw their own."""

from __future__ import annotations

from torch import nn

from asrkit.nn.cells.cell import Cell
from asrkit.settings import ModelSettings


def initialize_outside_cells(network: nn.Module, settings: ModelSettings) -> None:
    """With `model.init = "uniform"`, draw all weights outside the cells from ±`init_range` too.

    The networks of Graves, Mohamed & Hinton (2013) began with all weights in ±0.1. Otherwise each
    kind of layer keeps torch's own first weights.
    """
    if settings.init != "uniform":
        return
    recurrent = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, Cell)
        for parameter in module.parameters()
    }
    for parameter in network.parameters():
        if id(parameter) not in recurrent:
            nn.init.uniform_(parameter, -settings.init_range, settings.init_range)
