"""A trained model in the 8-bit form that is faster on a CPU."""

from __future__ import annotations

import copy

from torch import nn

from asrkit.errors import UsageError
from asrkit.nn.cells.lstm import Lstm
from asrkit.nn.encoder import RecurrentEncoder
from asrkit.nn.int8_lstm import Int8LstmLayer
from asrkit.nn.int8_product import has_int8_products
from asrkit.nn.model import AcousticModel
from asrkit.nn.recurrent import RecurrentLayer


def why_not_int8(model: AcousticModel) -> str:
    """Say what keeps a model from having an 8-bit form on this machine; empty if nothing does."""
    encoders = _encoders(model)
    if not encoders:
        return 'a model of kind = "next_label" has no encoder'
    cells = [
        layer.cell
        for encoder in encoders
        for layer in encoder.layers
        if isinstance(layer, RecurrentLayer)
    ]
    if not all(type(cell) is Lstm for cell in cells):
        return f'its cell is {type(cells[0]).__name__}; expected cell = "lstm"'
    if not has_int8_products():
        return "this processor has no instruction for 8-bit products (AVX512-VNNI or AVX-VNNI)"
    return ""


def quantize_for_cpu(model: AcousticModel) -> AcousticModel:
    """Return a copy whose recurrent layers compute in 8 bits, to recognise with on this CPU.

    Front end and output layer stay as they are, in float32. The copy can neither be trained nor
    saved.

    Raises
    ------
    UsageError
        If `why_not_int8` has something to say.
    """
    if why_not := why_not_int8(model):
        raise UsageError(f"int8: {why_not}; use float32")
    quantized = copy.deepcopy(model).cpu().eval()
    for encoder in _encoders(quantized):
        encoder.layers = nn.ModuleList(
            Int8LstmLayer(layer) for layer in encoder.layers if isinstance(layer, RecurrentLayer)
        )
    return quantized


def _encoders(model: AcousticModel) -> list[RecurrentEncoder]:
    """Find what has recurrent layers that hear or spell."""
    return [each for each in model.network.children() if isinstance(each, RecurrentEncoder)]
