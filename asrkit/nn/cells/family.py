"""The cells by the names that `model.cell` gives them."""

from __future__ import annotations

from asrkit.nn.cells.cell import Cell
from asrkit.nn.cells.coupled import CoupledLstm
from asrkit.nn.cells.gru import Gru
from asrkit.nn.cells.layer_norm import LayerNormLstm
from asrkit.nn.cells.lstm import Lstm
from asrkit.nn.cells.lstm_1997 import Lstm1997
from asrkit.nn.cells.peephole import PeepholeLstm, SimplePeepholeLstm
from asrkit.nn.cells.projected import ProjectedLstm
from asrkit.nn.cells.slstm import SLstm
from asrkit.nn.cells.tanh import TanhRnn
from asrkit.settings import ModelSettings
from asrkit.settings_types import CellName

CELLS: dict[CellName, type[Cell]] = {
    "lstm": Lstm,
    "lstm_1997": Lstm1997,
    "lstm_peephole": PeepholeLstm,
    "lstm_peephole_simple": SimplePeepholeLstm,
    "lstm_coupled": CoupledLstm,
    "lstm_projected": ProjectedLstm,
    "lstm_layer_norm": LayerNormLstm,
    "slstm": SLstm,
    "gru": Gru,
    "tanh": TanhRnn,
}


def make_cell(settings: ModelSettings, input_size: int, num_directions: int) -> Cell:
    """Build the cell of a layer and draw its first weights."""
    cell = CELLS[settings.cell](settings, input_size, num_directions)
    cell.initialize(settings)
    return cell
