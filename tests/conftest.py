"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    from asrkit.model_file import Recognizer

# Before torch is imported, here and in subprocesses: threads cost small tests more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parents[1]
TONE_HZ = {"a": 400.0, "b": 900.0, "c": 1800.0, " ": 3500.0}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real speech beside the checkout; tests that want it skip, saying so, where it is absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real speech (../shared/data) is not on this machine")
    return folder


@pytest.fixture(scope="session")
def say_in_tones() -> Callable[..., NDArray[np.float64]]:
    """Say a text of the letters of TONE_HZ, each a tone of 80 ms, with 40 ms of silence between."""

    def say(text: str, rate_hz: int = 16000) -> NDArray[np.float64]:
        time_s = np.arange(round(0.08 * rate_hz)) / rate_hz
        fade = np.minimum(1.0, np.minimum(time_s, time_s[::-1]) / 0.01)
        silence = np.zeros(round(0.04 * rate_hz))
        letters = [0.5 * fade * np.sin(2 * np.pi * TONE_HZ[letter] * time_s) for letter in text]
        return np.concatenate([silence] + [part for one in letters for part in (one, silence)])

    return say


@pytest.fixture(scope="session")
def tone_recognizer(say_in_tones: Callable[..., NDArray[np.float64]]) -> Recognizer:
    """Recognises `say_in_tones`, with weights set by hand: nothing is trained.

    Each letter has a unit that is on while the filter its tone falls into is loud. The gates are
    fixed, so that a unit knows its own frame only.
    """
    import torch

    from asrkit.data.tokens import TokenTable
    from asrkit.model_file import Recognizer
    from asrkit.nn.model import AcousticModel
    from asrkit.settings import Settings

    settings = Settings.model_validate(
        {
            "recipe": {"name": "tones", "description": "Letters said as tones"},
            "features": {"num_mel_bins": 20, "normalization": "none"},
            "model": {"num_layers": 1, "hidden_size": len(TONE_HZ), "bidirectional": False},
        }
    )
    tokens = TokenTable.from_texts(["a b c"], "char")
    model = AcousticModel(settings, len(tokens)).eval()
    lstm, output = model.network.encoder.layers[0].cell, model.network.output
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.zero_()
        always, never, threshold = 20.0, -20.0, 20.0
        lstm.bias.copy_(torch.tensor([[always, never, -threshold, always]]).repeat_interleave(4, 1))
        candidate_weight = lstm.input_weight.view(4, len(TONE_HZ), -1)[2]
        for unit, letter in enumerate(TONE_HZ):
            wave = torch.tensor(say_in_tones(letter), dtype=torch.float32)
            feats, _ = model.extractor(wave[None], torch.tensor([len(wave)]))
            candidate_weight[unit, feats.mean(dim=(0, 1)).argmax()] = 1.0
            output.weight[tokens.symbols.index(letter), unit] = 4.0
    return Recognizer(model, tokens, settings, "# tones\n\nLetters said as tones.\n")


@pytest.fixture(scope="session")
def tone_phone_recognizer(tone_recognizer: Recognizer) -> Recognizer:
    """Recognises the same tones but that of the space, and takes them for phones."""
    import torch

    from asrkit.data.tokens import TokenTable
    from asrkit.model_file import Recognizer
    from asrkit.nn.model import AcousticModel

    phones = TokenTable.from_texts(["a b c"], "phone")
    rows = [tone_recognizer.tokens.symbols.index(symbol) for symbol in phones.symbols]
    weights = dict(tone_recognizer.model.state_dict())
    for name in ("network.output.weight", "network.output.bias"):
        weights[name] = weights[name][torch.tensor(rows)]
    settings = tone_recognizer.settings
    data = settings.data.model_copy(update={"unit": "phone"})
    settings = settings.model_copy(update={"data": data})
    model = AcousticModel(settings, len(phones)).eval()
    model.load_state_dict(weights)
    return Recognizer(model, phones, settings, tone_recognizer.card)
