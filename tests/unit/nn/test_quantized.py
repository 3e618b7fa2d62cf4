"""Recurrent layers in 8 bits: close to float32, and the same alone and in any batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from asrkit.errors import UsageError
from asrkit.nn import quantized
from asrkit.nn.int8_lstm import Int8LstmLayer
from asrkit.nn.int8_product import has_int8_products, multiply, pack_panels
from asrkit.nn.model import AcousticModel
from asrkit.nn.quantized import quantize_for_cpu, why_not_int8
from asrkit.nn.recurrent import RecurrentLayer
from asrkit.nn.reversal import reversal_index
from asrkit.nn.rounding import quantize_rows
from asrkit.settings import ModelSettings, Settings

needs_int8 = pytest.mark.skipif(
    not has_int8_products(), reason="this processor has no instruction for 8-bit products"
)


def make_model(**model: Any) -> AcousticModel:
    torch.manual_seed(3)
    tables = {
        "recipe": {"name": "x"},
        "features": {"num_mel_bins": 10, "normalization": "utterance"},
        "model": {"num_layers": 2, "hidden_size": 21, **model},
    }
    settings = Settings.model_validate(tables)
    num_phones = 5 if settings.model.phone_layer else 0
    return AcousticModel(settings, vocab_size=7, num_phones=num_phones).eval()


@needs_int8
@hypothesis_settings(max_examples=30, deadline=None)
@given(st.integers(1, 11), st.integers(1, 70), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_products_are_exact(num_rows: int, num_columns: int, size: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.integers(-127, 128, (num_columns, size), np.int8)
    rows = generator.integers(-127, 128, (num_rows, size), np.int8)
    panels = pack_panels(weights)
    sums = np.empty((num_rows, panels.shape[0] * panels.shape[2] // 4), np.int32)
    multiply(np.pad(rows, ((0, 0), (0, -size % 4))), panels, sums)
    excess = 128 * rows.sum(axis=1, dtype=np.int32)[:, None]
    expected = rows.astype(np.int32) @ weights.astype(np.int32).T
    np.testing.assert_array_equal(sums[:, :num_columns] - excess, expected)


def test_rows_are_rounded_to_within_half_a_step() -> None:
    values = torch.randn(5, 9) * torch.tensor([1e-30, 1e-3, 1.0, 1e3, 0.0])[:, None]
    rows, scales = quantize_rows(values)
    assert rows.dtype == torch.int8
    assert rows[:4].abs().amax(dim=1).tolist() == [127] * 4
    assert rows[4].tolist() == [0] * 9
    assert ((rows * scales - values).abs() <= 0.5001 * scales).all()


@needs_int8
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_layer_is_close_to_float32(bidirectional: bool, num_threads: int) -> None:
    torch.manual_seed(1)
    settings = ModelSettings(hidden_size=50, bidirectional=bidirectional)
    layer = RecurrentLayer(settings, 30)
    frames, lens = torch.randn(90, 3, 30), torch.tensor([90, 41, 1])
    index = reversal_index(lens, 90)
    threads = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        with torch.inference_mode():
            expected, found = layer(frames, index), Int8LstmLayer(layer)(frames, index)
    finally:
        torch.set_num_threads(threads)
    assert found.shape == expected.shape == (90, 3, 50 * (1 + bidirectional))
    valid = (torch.arange(90)[:, None] < lens)[..., None]
    change = ((found - expected) * valid).abs()
    assert change.max() < 0.02
    assert 0 < change.mean() < 0.002


@needs_int8
@pytest.mark.parametrize(
    "model",
    [
        {},
        {"connection": "residual", "bidirectional": False},
        {"frontend": "stack", "subsampling": 3},
        {"frontend": "conv", "subsampling": 4, "conv_channels": 3},
        {"kind": "transducer", "prediction_size": 5, "joint_size": 6},
    ],
)
def test_an_utterance_gives_the_same_alone_and_in_a_batch(model: dict[str, Any]) -> None:
    given = make_model(**model)
    before = {name: value.clone() for name, value in given.state_dict().items()}
    rounded = quantize_for_cpu(given)
    lens = torch.tensor([16000, 9000, 700, 399, 30000, 12345])
    waves = 0.1 * torch.randn(6, 30000)
    with torch.inference_mode():
        exact, _ = given(waves, lens)
        together, out_lens = rounded(waves, lens)
        for n, length in enumerate(out_lens.tolist()):
            alone, alone_lens = rounded(waves[n : n + 1, : lens[n]], lens[n : n + 1])
            assert alone_lens.tolist() == [length]
            torch.testing.assert_close(alone[0], together[n, :length], rtol=0, atol=1e-5)
            assert ((together - exact)[n, :length].abs() < 0.05).all()
    torch.testing.assert_close(given.state_dict(), before, rtol=0, atol=0)


@needs_int8
@pytest.mark.parametrize("spells_from", ["frames", "phones"])
@pytest.mark.parametrize(("reads_phones", "size"), [(False, 7), (True, 5)])
def test_tokens_and_phones_are_close_to_float32(
    reads_phones: bool, size: int, spells_from: str
) -> None:
    given = make_model(phone_layer=1, spells_from=spells_from)
    waves, lens = 0.1 * torch.randn(1, 16000), torch.tensor([16000])
    with torch.inference_mode():
        exact, _ = given(waves, lens, reads_phones=reads_phones)
        rounded, _ = quantize_for_cpu(given)(waves, lens, reads_phones=reads_phones)
    assert rounded.shape[2] == size
    assert 0 < (rounded - exact).abs().max() < 0.05


@needs_int8
def test_other_cells_have_no_8_bit_form() -> None:
    model = make_model(cell="gru")
    assert why_not_int8(model) == 'its cell is Gru; expected cell = "lstm"'
    with pytest.raises(UsageError, match=r"int8: its cell is Gru; .*; use float32"):
        quantize_for_cpu(model)
    assert "no encoder" in why_not_int8(make_model(kind="next_label"))


def test_a_processor_without_the_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantized, "has_int8_products", lambda: False)
    with pytest.raises(UsageError, match="this processor has no instruction for 8-bit products"):
        quantize_for_cpu(make_model())
