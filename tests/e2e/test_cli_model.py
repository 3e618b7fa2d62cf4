"""`asrkit model compress` and `export`, and recognising in 8 bits."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load

from asrkit.model_file import Recognizer, load_recognizer, save_recognizer
from asrkit.nn.int8_product import has_int8_products
from asrkit.nn.quantized import quantize_for_cpu


@pytest.fixture
def speech(tmp_path: Path, say_in_tones: Callable) -> Path:
    path = tmp_path / "speech.wav"
    soundfile.write(path, say_in_tones("ab ca"), 16000)
    return path


@pytest.mark.parametrize(("weights", "dtype"), [("float16", torch.float16), ("int8", torch.int8)])
def test_compress(
    asrkit: Callable, model: Path, speech: Path, tmp_path: Path, weights: str, dtype: torch.dtype
) -> None:
    smaller = tmp_path / "smaller.asr"
    done = asrkit("model", "compress", model, "-o", smaller, "--weights", weights)
    assert done.returncode == 0
    sizes = smaller.stat().st_size, model.stat().st_size
    assert done.stdout == f"{smaller}: {sizes[0]} bytes, of {sizes[1]}\n"
    with zipfile.ZipFile(smaller) as archive:
        stored = load(archive.read("weights.safetensors"))
    assert stored["network.output.weight"].dtype == dtype
    assert asrkit("transcribe", speech, "--model", smaller).stdout == "ab ca\n"
    if weights == "float16":
        same = asrkit("model", "compress", smaller, "-o", smaller.with_name("same.asr"))
        assert same.returncode == 0
        assert "is no larger: its weights are rounded already" in same.stderr
    again = asrkit("model", "compress", model, "-o", model)
    assert again.returncode == 2
    assert "is FILE itself" in again.stderr


@pytest.mark.parametrize("command", ["compress", "export"])
def test_a_folder_that_is_not_there(asrkit: Callable, model: Path, command: str) -> None:
    if command == "export":
        pytest.importorskip("onnx", reason="onnx is not installed")
    done = asrkit("model", command, model, "-o", "none/x")
    assert done.returncode == 2
    assert done.stderr == "asrkit: none/x: no folder none; expected one; create it\n"


def test_a_compressed_copy_finds_its_language_model(
    asrkit: Callable, tone_recognizer: Recognizer, tmp_path: Path
) -> None:
    decode = tone_recognizer.settings.decode.model_copy(update={"method": "beam", "lm": "lm.arpa"})
    settings = tone_recognizer.settings.model_copy(update={"decode": decode})
    save_recognizer(tmp_path / "tones.asr", replace(tone_recognizer, settings=settings))
    (tmp_path / "deeper").mkdir()
    copy = tmp_path / "deeper" / "copy.asr"
    assert asrkit("model", "compress", "tones.asr", "-o", copy, folder=tmp_path).returncode == 0
    assert load_recognizer(copy).settings.decode.lm == "../lm.arpa"


@pytest.mark.skipif(not has_int8_products(), reason="this processor has no 8-bit products")
def test_precision(
    asrkit: Callable, model: Path, speech: Path, tone_recognizer: Recognizer
) -> None:
    options = ("--model", model, "--format", "json")
    exact, rounded = (
        asrkit("transcribe", speech, *options, "--precision", precision)
        for precision in ("float32", "int8")
    )
    assert exact.returncode == rounded.returncode == 0
    assert '"text": "ab ca"' in exact.stdout
    assert '"text": "ab ca"' in rounded.stdout
    assert exact.stdout != rounded.stdout  # probabilities are not quite the same
    wave = torch.tensor(soundfile.read(speech, dtype="float32")[0])[None]
    lens = torch.tensor([wave.shape[1]])
    with torch.inference_mode():
        change = quantize_for_cpu(tone_recognizer.model)(wave, lens)[0]
        change = change - tone_recognizer.model(wave, lens)[0]
    assert 0 < change.abs().mean() < 0.05


def test_export_without_the_extra(asrkit: Callable, model: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("onnx") is not None:
        pytest.skip("onnx is installed")
    done = asrkit("model", "export", model, "-o", tmp_path / "x.onnx")
    assert done.returncode == 2
    assert "pip install asrkit-speech[onnx]" in done.stderr
    assert not (tmp_path / "x.onnx").exists()


def test_export(
    asrkit: Callable,
    model: Path,
    speech: Path,
    tone_recognizer: Recognizer,
    tmp_path: Path,
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    done = asrkit("model", "export", model, "-o", tmp_path / "x.onnx")
    assert done.returncode == 0
    assert done.stdout == f"{tmp_path / 'x.onnx'}: {(tmp_path / 'x.onnx').stat().st_size} bytes\n"
    session = ort.InferenceSession(tmp_path / "x.onnx", providers=["CPUExecutionProvider"])
    wave = soundfile.read(speech, dtype="float32")[0][None]
    lens = np.array([wave.shape[1]])
    log_probs, _ = session.run(None, {"waves": wave, "wave_lens": lens})
    with torch.inference_mode():
        expected, _ = tone_recognizer.model(torch.tensor(wave), torch.tensor(lens))
    np.testing.assert_allclose(log_probs, expected, rtol=0, atol=1e-3)
