"""The default LSTM with 8-bit weights, inputs and outputs between frames; its cell is float32.

Each row of a weight matrix has its own scale, and so has each frame of an utterance. The output of
a frame is within ±1, which is its scale. So no value depends on other utterances or on padding, and
since the sums of the products are whole numbers, the same frame gives the same bits in any batch.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from asrkit.compiled import compiled
from asrkit.nn.cells.lstm import Lstm
from asrkit.nn.int8_product import multiply, pack_panels
from asrkit.nn.recurrent import RecurrentLayer
from asrkit.nn.reversal import reverse
from asrkit.nn.rounding import LARGEST, quantize_rows

_ROWS_AT_ONCE = 64
"""Rows of input multiplied at once: few enough that their sums stay in a core's cache."""


class Int8LstmLayer(nn.Module):
    """Do as a `RecurrentLayer` of the cell `Lstm`, on a CPU, without gradients.

    Parameters
    ----------
    layer
        Whose weights are rounded; it is not kept.
    """

    def __init__(self, layer: RecurrentLayer) -> None:
        super().__init__()
        cell = layer.cell
        if type(cell) is not Lstm:
            raise TypeError(f"{type(cell).__name__}: only an Lstm has an 8-bit form")
        self.output_size = layer.output_size
        self.directions = []
        for number in range(cell.num_directions):
            input_panels, input_scales = _quantize_weight(cell.input_weight[number])
            recurrent_panels, recurrent_scales = _quantize_weight(cell.recurrent_weight[number])
            bias = cell.bias[number].detach().numpy().copy()
            self.directions.append(
                (input_panels, input_scales, recurrent_panels, recurrent_scales / LARGEST, bias)
            )

    def forward(self, frames: Tensor, index: Tensor) -> Tensor:
        """Map (T, N, F) frames to (T, N, D * H); `index` is their `reversal_index`."""
        rows, scales = quantize_rows(frames)
        inputs = [(rows, scales)]
        if len(self.directions) == 2:
            inputs.append((reverse(rows, index), reverse(scales, index)))
        if torch.get_num_threads() == 1:
            outputs = [_run(*each) for each in zip(inputs, self.directions, strict=True)]
        else:
            with ThreadPoolExecutor(len(inputs)) as threads:
                outputs = list(threads.map(_run, inputs, self.directions))
        if len(outputs) == 1:
            return outputs[0]
        return torch.cat([outputs[0], reverse(outputs[1], index)], dim=-1)


def _quantize_weight(weight: Tensor) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Pack (4H, K); give the scales of its rows, (4H,)."""
    rows, scales = quantize_rows(weight.detach())
    return pack_panels(rows.numpy()), scales[:, 0].contiguous().numpy()


def _run(inputs: tuple[Tensor, Tensor], weights: tuple[NDArray[Any], ...]) -> Tensor:
    rows, scales = inputs
    num_frames, batch, size = rows.shape
    outputs = torch.empty(num_frames, batch, len(weights[-1]) // 4)
    given = (
        F.pad(rows, (0, -size % 4)),
        rows.sum(dim=-1, dtype=torch.int32),
        scales.squeeze(-1),
    )
    _recur(*(each.contiguous().numpy() for each in given), *weights, outputs.numpy())
    return outputs


@compiled()
def _recur(
    rows: Any,
    row_sums: Any,
    row_scales: Any,
    input_panels: Any,
    input_scales: Any,
    recurrent_panels: Any,
    recurrent_scales: Any,
    bias: Any,
    outputs: Any,
) -> None:
    """Run over all frames: rows (T, N, K) int8, scales and bias (4H,), outputs (T, N, H)."""
    num_frames, batch, size = rows.shape
    num_units = outputs.shape[2]
    at_once = max(1, _ROWS_AT_ONCE // batch)
    num_columns = input_panels.shape[0] * input_panels.shape[2] // 4
    read = np.empty((at_once * batch, num_columns), np.int32)
    heard = np.empty((batch, num_columns), np.int32)
    hidden = np.zeros((batch, 4 * recurrent_panels.shape[1]), np.int8)
    hidden_sums = np.zeros(batch, np.int32)
    cells = np.zeros((batch, num_units), np.float32)
    gates = np.empty(4 * num_units, np.float32)
    for start in range(0, num_frames, at_once):
        stop = min(start + at_once, num_frames)
        multiply(rows[start:stop].reshape((stop - start) * batch, size), input_panels, read)
        for t in range(start, stop):
            multiply(hidden, recurrent_panels, heard)
            for n in range(batch):
                row = (t - start) * batch + n
                row_scale = row_scales[t, n]
                read_excess = np.float32(128 * row_sums[t, n])
                heard_excess = np.float32(128 * hidden_sums[n])
                for j in range(4 * num_units):
                    from_input = np.float32(read[row, j]) - read_excess
                    from_hidden = np.float32(heard[n, j]) - heard_excess
                    gates[j] = (
                        row_scale * input_scales[j] * from_input
                        + recurrent_scales[j] * from_hidden
                        + bias[j]
                    )
                hidden_sums[n] = _next_output(gates, cells[n], hidden[n], outputs[t, n])


@compiled()
def _next_output(gates: Any, cell: Any, hidden: Any, output: Any) -> Any:
    """Update a frame's cell (H,), output and rounded output; return the sum of the latter."""
    total = np.int32(0)
    num_units = len(cell)
    for j in range(num_units):
        kept = _sigmoid(gates[num_units + j]) * cell[j]
        cell[j] = kept + _sigmoid(gates[j]) * _tanh(gates[2 * num_units + j])
        output[j] = _sigmoid(gates[3 * num_units + j]) * _tanh(cell[j])
        rounded = np.int8(np.floor(np.float32(LARGEST) * output[j] + np.float32(0.5)))
        hidden[j] = rounded
        total = np.int32(total + rounded)
    return total


@compiled(inline=True)
def _sigmoid(x: Any) -> Any:
    return np.float32(0.5) + np.float32(0.5) * _tanh(np.float32(0.5) * x)


@compiled(inline=True)
def _tanh(x: Any) -> Any:
    """Lambert's continued fraction, cut off where it is within 1e-5 as far as it is below 1."""
    x = min(max(x, np.float32(-6.29)), np.float32(6.29))
    s = x * x
    p = (((s + np.float32(990)) * s + np.float32(135135)) * s + np.float32(4729725)) * s
    q = ((np.float32(45) * s + np.float32(13860)) * s + np.float32(945945)) * s
    q = (q + np.float32(16216200)) * s
    return x * (p + np.float32(34459425)) / (q + np.float32(34459425))
