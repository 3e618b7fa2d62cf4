"""Write a recogniser as one ONNX file: from samples to log-probabilities."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from asrkit import __version__
from asrkit.errors import UsageError
from asrkit.export.features import add_features, add_normalization
from asrkit.export.graph import Graph
from asrkit.export.network import add_network
from asrkit.files import write_atomically
from asrkit.model_file import Recognizer
from asrkit.nn.network import CtcNetwork


def export_onnx(path: Path, recognizer: Recognizer) -> None:
    """Write what a program needs to turn speech into text with an ONNX run-time.

    The graph takes `waves` (N, S) float32 in [-1, 1], zero or anything beyond `wave_lens` (N,)
    int64, and gives `log_probs` (N, T, V) float32, natural logarithms, and `out_lens` (N,) int64;
    of a network with phones `phone_log_probs` (N, T, P) too. Batch and lengths are free, and
    utterances of a batch do not depend on one another. The metadata of the file tell `tokens` (a
    JSON list; the first is the blank), likewise `phones`, `unit` (of the tokens), `sample_rate_hz`,
    `frame_s` (seconds from one frame to the next) and `name`.

    Raises
    ------
    UsageError
        If the model is no CTC model, or has a cell or a front end that ONNX has no form of.
    """
    model = recognizer.model
    if not isinstance(model.network, CtcNetwork):
        raise UsageError(
            f'export: model.kind = "{recognizer.settings.model.kind}": cannot be exported; '
            'expected "ctc"'
        )
    graph = Graph()
    waves = graph.input("waves", np.float32, ["batch", "samples"])
    wave_lens = graph.input("wave_lens", np.int64, ["batch"])
    feats, feat_lens = add_features(graph, model.extractor, waves, wave_lens)
    feats = add_normalization(graph, model.normalizer, feats, feat_lens)
    log_probs, phones, out_lens = add_network(graph, model.network, feats, feat_lens)
    graph.output(log_probs, "log_probs", np.float32, ["batch", "frames", len(recognizer.tokens)])
    graph.output(out_lens, "out_lens", np.int64, ["batch"])
    if phones is not None:
        assert recognizer.phones is not None
        num_phones = len(recognizer.phones)
        graph.output(phones, "phone_log_probs", np.float32, ["batch", "frames", num_phones])
    metadata = {
        "tokens": json.dumps(recognizer.tokens.symbols, ensure_ascii=False),
        "unit": recognizer.tokens.unit,
        "sample_rate_hz": str(model.sample_rate_hz),
        "frame_s": repr(model.frame_s),
        "name": recognizer.settings.recipe.name,
    }
    if recognizer.phones is not None:
        metadata["phones"] = json.dumps(recognizer.phones.symbols, ensure_ascii=False)
    write_atomically(path, graph.to_bytes(metadata, __version__))
