"""An exported model computes in onnxruntime what it computes here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asrkit.data.tokens import TokenTable
from asrkit.errors import UsageError
from asrkit.features.normalize import Statistics
from asrkit.model_file import Recognizer
from asrkit.nn.model import AcousticModel
from asrkit.settings import Settings

LENS = (8000, 399, 400, 5021, 0, 719, 1361)


@pytest.fixture(scope="module")
def export_onnx() -> Callable[[Path, Recognizer], None]:
    pytest.importorskip("onnx", reason="onnx is not installed")
    from asrkit.export.onnx_file import export_onnx

    return export_onnx


def make_recognizer(features: dict[str, Any], model: dict[str, Any]) -> Recognizer:
    torch.manual_seed(5)
    settings = Settings.model_validate(
        {
            "recipe": {"name": "größer"},
            "features": {"num_mel_bins": 23, **features},
            "model": {"num_layers": 2, "hidden_size": 12, **model},
        }
    )
    tokens = TokenTable.from_texts(["ab é"], "char")
    phones = TokenTable.from_texts(["x y"], "phone") if settings.model.phone_layer else None
    num_phones = len(phones) if phones else 0
    network = AcousticModel(settings, len(tokens), num_phones=num_phones).eval()
    statistics = Statistics(network.extractor.num_features)
    statistics.update(*network.extractor(0.1 * torch.randn(1, 16000), torch.tensor([16000])))
    network.normalizer.set_statistics(statistics)
    return Recognizer(network, tokens, settings, "", phones)


def open_session(path: Path) -> Any:
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("features", "model"),
    [
        ({}, {}),
        ({"normalization": "utterance"}, {"frontend": "stack", "subsampling": 3}),
        (
            {"normalization": "utterance", "use_energy": True, "delta_order": 2},
            {"cell": "lstm_peephole", "connection": "residual"},
        ),
        (
            {"kind": "mfcc", "delta_order": 1, "normalization": "speaker"},
            {"bidirectional": False, "connection": "highway"},
        ),
        (
            {"kind": "mfcc", "use_energy": True, "normalization": "none"},
            {"bidirectional": False, "cell": "lstm_peephole"},
        ),
        ({}, {"phone_layer": 1}),
        ({}, {"phone_layer": 1, "spells_from": "phones"}),
        ({}, {"num_layers": 3, "phone_layer": 1, "spells_from": "phones", "connection": "highway"}),
        ({}, {"frontend": "conv", "subsampling": 4, "conv_channels": 3}),
        ({}, {"frontend": "conv", "subsampling": 2, "conv_channels": 3, "num_layers": 1}),
    ],
)
def test_parity(
    export_onnx: Callable, tmp_path: Path, features: dict[str, Any], model: dict[str, Any]
) -> None:
    recognizer = make_recognizer(features, model)
    export_onnx(tmp_path / "x.onnx", recognizer)
    session = open_session(tmp_path / "x.onnx")
    waves = 0.1 * torch.randn(len(LENS), max(LENS))  # noise instead of padding, too
    lens = torch.tensor(LENS)
    with torch.inference_mode():
        expected, expected_lens = recognizer.model(waves, lens)
    given = {"waves": waves.numpy(), "wave_lens": lens.numpy()}
    found, found_lens = session.run(["log_probs", "out_lens"], given)
    assert found_lens.tolist() == expected_lens.tolist()
    assert found.shape == expected.shape
    for n, length in enumerate(found_lens):
        one = {"waves": waves[n : n + 1, : lens[n]].numpy(), "wave_lens": lens[n : n + 1].numpy()}
        alone, alone_lens = session.run(["log_probs", "out_lens"], one)
        assert alone_lens.tolist() == [length]
        for log_probs in (found[n], alone[0]):
            np.testing.assert_allclose(log_probs[:length], expected[n, :length], rtol=0, atol=1e-4)


@pytest.mark.parametrize("spells_from", ["frames", "phones"])
def test_parity_of_phones(export_onnx: Callable, tmp_path: Path, spells_from: str) -> None:
    recognizer = make_recognizer({}, {"phone_layer": 1, "spells_from": spells_from})
    export_onnx(tmp_path / "x.onnx", recognizer)
    session = open_session(tmp_path / "x.onnx")
    assert json.loads(session.get_modelmeta().custom_metadata_map["phones"]) == [
        "<blank>",
        "x",
        "y",
    ]
    waves, lens = 0.1 * torch.randn(len(LENS), max(LENS)), torch.tensor(LENS)
    with torch.inference_mode():
        expected, out_lens = recognizer.model(waves, lens, reads_phones=True)
    given = {"waves": waves.numpy(), "wave_lens": lens.numpy()}
    (found,) = session.run(["phone_log_probs"], given)
    assert found.shape == expected.shape
    for of_one, same, length in zip(found, expected, out_lens.tolist(), strict=True):
        np.testing.assert_allclose(of_one[:length], same[:length], rtol=0, atol=1e-4)


def test_the_file_tells_what_a_decoder_needs(export_onnx: Callable, tmp_path: Path) -> None:
    recognizer = make_recognizer({}, {"frontend": "stack", "subsampling": 2})
    export_onnx(tmp_path / "x.onnx", recognizer)
    metadata = open_session(tmp_path / "x.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(metadata.pop("tokens")) == ["<blank>", " ", "a", "b", "é"]
    assert metadata == {
        "unit": "char",
        "sample_rate_hz": "16000",
        "frame_s": "0.02",
        "name": "größer",
    }


def test_the_same_model_gives_the_same_file(export_onnx: Callable, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export_onnx(tmp_path / name, make_recognizer({}, {}))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"cell": "gru"}, 'cell Gru: has no form in ONNX; expected model.cell = "lstm"'),
        ({"cell": "lstm_peephole_simple"}, "cell SimplePeepholeLstm: has no form in ONNX"),
        ({"frontend": "conv_lstm"}, "front end ConvLstmFrontend: has no form in ONNX"),
        ({"kind": "transducer"}, 'model.kind = "transducer": cannot be exported; expected "ctc"'),
    ],
)
def test_what_cannot_be_exported(
    export_onnx: Callable, tmp_path: Path, model: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UsageError, match=expected):
        export_onnx(tmp_path / "x.onnx", make_recognizer({}, model))
    assert list(tmp_path.iterdir()) == []
