"""The features of a model and their normalisation, as operations of ONNX."""

from __future__ import annotations

import numpy as np

from asrkit.export.graph import Graph
from asrkit.features.deltas import WINDOW, delta_filters
from asrkit.features.extractor import FeatureExtractor
from asrkit.features.fbank import ENERGY_FLOOR, FULL_SCALE, LOG_FLOOR, Fbank
from asrkit.features.mfcc import Mfcc
from asrkit.features.normalize import STD_FLOOR, Normalizer

_TO_FLOAT32, _TO_FLOAT64 = 1, 11
"""The numbers by which ONNX knows types."""


def add_features(
    graph: Graph, extractor: FeatureExtractor, waves: str, wave_lens: str
) -> tuple[str, str]:
    """Compute what `FeatureExtractor` does: (N, T, F) and (N,) of (N, S) and (N,).

    Frames beyond the returned lengths mean nothing. T is 1 at least, whatever S.
    """
    static = extractor.static
    fbank = static.fbank if isinstance(static, Mfcc) else static
    length, shift = graph.ints(fbank.frame_length), graph.ints(fbank.frame_shift)
    lens = graph.add("Div", graph.add("Sub", wave_lens, length), shift)
    # Division of whole numbers cuts towards zero, where torch's goes down.
    is_long = graph.add("GreaterOrEqual", wave_lens, length)
    lens = graph.add("Add", lens, graph.ints(1))
    feat_lens = graph.add("Where", is_long, lens, graph.ints(0))

    feats = _add_fbank(graph, fbank, waves)
    if isinstance(static, Mfcc):
        feats = graph.add("MatMul", feats, graph.constant(static.cosines * static.lifter))
    return _add_deltas(graph, feats, feat_lens, extractor.delta_order), feat_lens


def add_normalization(graph: Graph, normalizer: Normalizer, feats: str, feat_lens: str) -> str:
    """Compute what `Normalizer` does where no speaker is known; padding becomes 0."""
    valid = graph.unsqueeze(graph.valid(feat_lens, graph.size(feats, 1)), 2)
    zero = graph.constant(0.0, np.float32)
    if normalizer.mode == "global":
        feats = graph.add("Sub", feats, graph.constant(normalizer.mean))
        feats = graph.add("Div", feats, graph.constant(normalizer.std))
    elif normalizer.mode != "none":
        feats = _add_utterance_normalization(graph, feats, feat_lens, valid)
    return graph.add("Where", valid, feats, zero)


def _add_fbank(graph: Graph, fbank: Fbank, waves: str) -> str:
    length, shift = fbank.frame_length, fbank.frame_shift
    one, step = graph.ints(1), graph.ints(shift)
    # A wave that is shorter than a frame is completed to one, so that no axis is empty.
    missing = graph.add("Sub", graph.ints(length), graph.size(waves, 1))
    missing = graph.add("Max", missing, graph.ints(0))
    waves = graph.add("Pad", waves, graph.add("Concat", graph.ints(0, 0, 0), missing, axis=0))
    waves = graph.add("Mul", waves, graph.constant(FULL_SCALE, np.float32))
    room = graph.add("Sub", graph.size(waves, 1), graph.ints(length))
    num_frames = graph.add("Add", graph.add("Div", room, step), one)
    starts = graph.unsqueeze(graph.add("Mul", graph.count(num_frames), step), 1)
    samples = graph.add("Add", starts, graph.ints(*range(length)))
    frames = graph.add("Gather", waves, samples, axis=1)  # (N, T, length)

    frames = graph.add("Sub", frames, graph.add("ReduceMean", frames, axes=[-1], keepdims=1))
    later = graph.slice(frames, graph.ints(1), graph.ints(length), 2)
    earlier = graph.slice(frames, graph.ints(0), graph.ints(length - 1), 2)
    emphasis = graph.constant(fbank.preemphasis, np.float32)
    emphasised = graph.add("Sub", later, graph.add("Mul", earlier, emphasis))
    padding = graph.ints(0, 0, 1, 0, 0, fbank.n_fft - length)
    windowed = graph.add("Mul", graph.add("Pad", emphasised, padding), graph.constant(fbank.window))
    # As products with cosines and sines: run-times are faster at them than at their transform.
    turns = np.outer(np.arange(fbank.n_fft), np.arange(fbank.n_fft // 2 + 1)) / fbank.n_fft
    squares = []
    for waves_of in (np.cos, np.sin):
        part = graph.add(
            "MatMul", windowed, graph.constant(waves_of(2 * np.pi * turns), np.float32)
        )
        squares.append(graph.add("Mul", part, part))
    power = graph.add("Add", *squares)
    energies = graph.add("MatMul", power, graph.constant(fbank.filters))
    floor = graph.constant(LOG_FLOOR, np.float32)
    log_energies = graph.add("Log", graph.add("Max", energies, floor))
    if not fbank.use_energy:
        return log_energies
    energy = graph.add("ReduceSumSquare", frames, axes=[-1], keepdims=1)
    energy = graph.add("Max", energy, graph.constant(ENERGY_FLOOR, np.float32))
    return graph.add("Concat", log_energies, graph.add("Log", energy), axis=-1)


def _add_deltas(graph: Graph, feats: str, feat_lens: str, order: int) -> str:
    if order == 0:
        return feats
    reach = WINDOW * order
    num_frames = graph.size(feats, 1)
    frame = graph.count(graph.add("Add", num_frames, graph.ints(2 * reach)))
    frame = graph.add("Sub", frame, graph.ints(reach))
    last = graph.unsqueeze(graph.add("Sub", feat_lens, graph.ints(1)), 1)
    frame = graph.add("Max", graph.add("Min", frame, last), graph.ints(0))
    edged = graph.add("GatherND", feats, graph.unsqueeze(frame, 2), batch_dims=1)
    blocks = [feats]
    for taps in delta_filters(order):
        block = ""
        for shift, tap in enumerate(taps, start=reach - len(taps) // 2):
            if tap == 0:
                continue
            stop = graph.add("Add", num_frames, graph.ints(shift))
            moved = graph.slice(edged, graph.ints(shift), stop, 1)
            part = graph.add("Mul", moved, graph.constant(tap, np.float32))
            block = graph.add("Add", block, part) if block else part
        blocks.append(block)
    return graph.add("Concat", *blocks, axis=-1)


def _add_utterance_normalization(graph: Graph, feats: str, feat_lens: str, valid: str) -> str:
    """Subtract the mean of each utterance and divide by its deviation, summed in float64."""
    zero, floor = graph.constant(0.0, np.float64), graph.constant(STD_FLOOR**2, np.float64)
    count = graph.add("Max", feat_lens, graph.ints(1))
    count = graph.unsqueeze(graph.add("Cast", count, to=_TO_FLOAT64), 1, 2)

    def mean(values: str) -> str:
        cleared = graph.add("Where", valid, values, zero)
        total = graph.add("ReduceSum", cleared, graph.ints(1), keepdims=1)
        return graph.add("Div", total, count)

    double = graph.add("Cast", feats, to=_TO_FLOAT64)
    centre = mean(double)
    centred = graph.add("Sub", double, centre)
    variance = mean(graph.add("Mul", centred, centred))
    deviation = graph.add("Sqrt", graph.add("Max", variance, floor))
    centre, deviation = (graph.add("Cast", each, to=_TO_FLOAT32) for each in (centre, deviation))
    return graph.add("Div", graph.add("Sub", feats, centre), deviation)
