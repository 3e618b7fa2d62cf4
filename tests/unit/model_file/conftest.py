"""A tiny recogniser."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from asrkit.data.tokens import TokenTable
from asrkit.features.normalize import Statistics
from asrkit.model_file import Recognizer
from asrkit.nn.model import AcousticModel
from asrkit.settings import Settings

SPEAKERS = ("zoë", "anna")


def tiny_recognizer(**tables: dict[str, Any]) -> Recognizer:
    """Random weights; statistics of two speakers' noise."""
    defaults: dict[str, dict[str, Any]] = {
        "recipe": {"name": "tiny", "description": "größer"},
        "data": {"sample_rate_hz": 8000, "root": "/private/place", "train": "a", "dev": "b"},
        "features": {"num_mel_bins": 6, "normalization": "speaker"},
        "model": {"num_layers": 1, "hidden_size": 4},
        "train": {"initial_weights": ("/private/weights",)},
        "decode": {"method": "beam", "beam_size": 3},
    }
    names = defaults.keys() | tables.keys()
    settings = Settings.model_validate(
        {name: {**defaults.get(name, {}), **tables.get(name, {})} for name in names}
    )
    torch.manual_seed(11)
    tokens = TokenTable.from_texts(["ab é"], "char")
    phones = TokenTable(("<blank>", "é", "b"), "phone") if settings.model.phone_layer else None
    model = AcousticModel(settings, len(tokens), num_phones=len(phones or ()))
    statistics = Statistics(model.extractor.num_features)
    for scale, speaker in enumerate(SPEAKERS, start=1):
        waves = 0.05 * scale * torch.randn(1, 4000)
        statistics.update(*model.extractor(waves, torch.tensor([4000])), (speaker,))
    model.normalizer.set_statistics(statistics)
    return Recognizer(model.eval(), tokens, settings, "# tiny\n\nOnly a test. 🙂\n", phones)


@pytest.fixture
def recognizer() -> Recognizer:
    return tiny_recognizer()


@pytest.fixture
def phone_recognizer() -> Recognizer:
    """A recogniser with phones, which it reads by a lexicon."""
    lexicon = "/private/place/lexicon"
    return tiny_recognizer(
        data={"lexicon": lexicon},
        model={"phone_layer": 1},
        decode={"reads": "phones", "lexicon": "words.txt"},
    )
