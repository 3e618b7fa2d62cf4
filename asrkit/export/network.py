"""The network that CTC trains, as operations of ONNX."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from asrkit.errors import UsageError
from asrkit.export.graph import Graph
from asrkit.nn.cells.cell import Cell
from asrkit.nn.cells.lstm import Lstm
from asrkit.nn.cells.peephole import PeepholeLstm, SimplePeepholeLstm
from asrkit.nn.connection import Highway, Plain
from asrkit.nn.encoder import RecurrentEncoder
from asrkit.nn.frontend import ConvFrontend, FrameStack
from asrkit.nn.network import CtcNetwork
from asrkit.nn.recurrent import RecurrentLayer

_TO_INT32 = 6
"""The number by which ONNX knows the type."""


def add_network(
    graph: Graph, network: CtcNetwork, feats: str, feat_lens: str
) -> tuple[str, str | None, str]:
    """Compute what the output layers read of (N, T, F) features and their lengths (N,).

    Returns
    -------
    log_probs
        Of tokens, (N, T', V).
    phone_log_probs
        (N, T', P); None of a network without phones.
    out_lens
        (N,).
    """
    frames, out_lens = _add_frontend(graph, network.encoder, feats, feat_lens)
    frames = graph.add("Transpose", frames, perm=[1, 0, 2])
    outputs = _add_layers(graph, network.encoder, frames, out_lens)
    phones = None
    if network.phone_output is not None:
        phones = _read_off(graph, network.phone_output, outputs[network.phone_layer - 1])
        if network.speller is not None:
            posteriors = graph.add("Exp", phones)
            outputs = _add_layers(graph, network.speller, posteriors, out_lens)
        phones = graph.add("Transpose", phones, perm=[1, 0, 2])
    log_probs = _read_off(graph, network.output, outputs[-1])
    return graph.add("Transpose", log_probs, perm=[1, 0, 2]), phones, out_lens


def _read_off(graph: Graph, layer: nn.Linear, frames: str) -> str:
    return graph.add("LogSoftmax", _add_linear(graph, layer, frames), axis=-1)


def _add_linear(graph: Graph, layer: nn.Linear, frames: str) -> str:
    product = graph.add("MatMul", frames, graph.constant(layer.weight.T))
    return graph.add("Add", product, graph.constant(layer.bias))


def _add_layers(graph: Graph, encoder: RecurrentEncoder, frames: str, out_lens: str) -> list[str]:
    """Map (T', N, F) to (T', N, W), of each layer."""
    # The operator wants one frame at least; nobody reads what comes of an utterance that has none.
    lens = graph.add("Cast", graph.add("Max", out_lens, graph.ints(1)), to=_TO_INT32)
    all_outputs = []
    for layer, connection in zip(encoder.layers, encoder.connections, strict=True):
        assert isinstance(layer, RecurrentLayer)
        outputs = _add_recurrence(graph, layer.cell, frames, lens)
        if isinstance(connection, Highway):
            opened = graph.add("Sigmoid", _add_linear(graph, connection.gate, frames))
            outputs = graph.add("Mul", opened, graph.add("Sub", outputs, frames))
        is_plain = isinstance(connection, Plain)
        frames = outputs if is_plain else graph.add("Add", frames, outputs)
        all_outputs.append(frames)
    return all_outputs


def _add_frontend(
    graph: Graph, encoder: RecurrentEncoder, feats: str, feat_lens: str
) -> tuple[str, str]:
    match encoder.frontend:
        case FrameStack(subsampling=factor):
            missing = graph.add("Sub", graph.ints(0), graph.size(feats, 1))
            missing = graph.add("Mod", missing, graph.ints(factor))
            pads = graph.add("Concat", graph.ints(0, 0, 0, 0), missing, graph.ints(0), axis=0)
            padded = graph.add("Pad", feats, pads)
            shape = graph.ints(0, -1, encoder.frontend.output_size)
            return graph.add("Reshape", padded, shape), _subsample(graph, feat_lens, factor)
        case ConvFrontend(convolutions=convolutions, strides=strides):
            maps, lens = graph.unsqueeze(feats, 1), feat_lens
            for convolution, stride in zip(convolutions, strides, strict=True):
                weights = (
                    graph.constant(convolution.get_parameter(name)) for name in ("weight", "bias")
                )
                maps = graph.add("Conv", maps, *weights, strides=[stride, 2], pads=[1, 1, 1, 1])
                lens = _subsample(graph, lens, stride)
                valid = graph.unsqueeze(graph.valid(lens, graph.size(maps, 2)), 1, 3)
                zero = graph.constant(0.0, np.float32)
                maps = graph.add("Where", valid, graph.add("Relu", maps), zero)
            maps = graph.add("Transpose", maps, perm=[0, 2, 1, 3])
            return graph.add("Reshape", maps, graph.ints(0, 0, -1)), lens
        case other:
            raise UsageError(
                f"export: front end {type(other).__name__}: has no form in ONNX; expected "
                'model.frontend = "none", "stack" or "conv"'
            )


def _subsample(graph: Graph, lens: str, factor: int) -> str:
    return graph.add("Div", graph.add("Add", lens, graph.ints(factor - 1)), graph.ints(factor))


def _add_recurrence(graph: Graph, cell: Cell, frames: str, lens: str) -> str:
    """Map (T, N, F) to (T, N, D * H); lens is (N,) int32."""
    peepholes = ""
    if isinstance(cell, PeepholeLstm) and not isinstance(cell, SimplePeepholeLstm):
        p_i, p_f, p_o = cell.elementwise_parameters()
        peepholes = graph.constant(torch.cat([p_i, p_o, p_f], dim=1))
    elif not isinstance(cell, Lstm):
        raise UsageError(
            f"export: cell {type(cell).__name__}: has no form in ONNX; expected model.cell = "
            '"lstm" or "lstm_peephole"'
        )
    bias = _in_onnx_order(cell.bias)
    outputs = graph.add(
        "LSTM",
        frames,
        graph.constant(_in_onnx_order(cell.input_weight)),
        graph.constant(_in_onnx_order(cell.recurrent_weight)),
        graph.constant(torch.cat([bias, torch.zeros_like(bias)], dim=1)),
        lens,
        "",
        "",
        peepholes,
        hidden_size=cell.hidden_size,
        direction="bidirectional" if cell.num_directions == 2 else "forward",
    )
    outputs = graph.add("Transpose", outputs, perm=[0, 2, 1, 3])  # of (T, D, N, H)
    return graph.add("Reshape", outputs, graph.ints(0, 0, -1))


def _in_onnx_order(weights: torch.Tensor) -> torch.Tensor:
    """Reorder the gates of (D, 4H, ...) from i, f, g, o to i, o, f, g."""
    i, f, g, o = weights.detach().chunk(4, dim=1)
    return torch.cat([i, o, f, g], dim=1)
