"""A corpus of tones, tiny settings, and trainers made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import soundfile
import torch

from asrkit.data.manifest import Utterance
from asrkit.data.pronunciation import Pronunciations
from asrkit.data.tokens import TokenTable
from asrkit.nn.model import AcousticModel
from asrkit.settings import Settings
from asrkit.train.distributed import World
from asrkit.train.loop import DevResult, Trainer

RATE_HZ = 8000
TONE_HZ = {"a": 300.0, "b": 900.0, "c": 2000.0}
TEXTS = ("ab", "cab", "b", "acb", "ba", "cc", "abc", "bcab", "a", "cba")


class MakeTrainer(Protocol):
    """Makes a trainer in a folder, from tables of settings; the dev set is feigned."""

    def __call__(
        self,
        folder: Path,
        *,
        evaluate: Callable[[AcousticModel], DevResult] = ...,
        utterances: Sequence[Utterance] | None = None,
        world: World = ...,
        pronunciations: Pronunciations | None = ...,
        **tables: dict[str, Any],
    ) -> Trainer: ...


def feigned_dev_set(model: AcousticModel) -> DevResult:
    """A dev error that falls with the norm of the output weights' change: any function would do."""
    return DevResult(1.0, 1.0 / (1.0 + model.network.output.weight.norm().item()), 1.0)


@pytest.fixture(scope="session")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """Ten utterances of a tenth of a second a letter, each letter a tone."""
    folder = tmp_path_factory.mktemp("tones")
    generator = np.random.default_rng(0)
    found = []
    for number, text in enumerate(TEXTS):
        time_s = np.arange(int(0.1 * RATE_HZ)) / RATE_HZ
        tones = np.concatenate([np.sin(2 * np.pi * TONE_HZ[letter] * time_s) for letter in text])
        samples = 0.3 * tones + 0.01 * generator.normal(size=tones.shape)
        path = folder / f"utt{number}.wav"
        soundfile.write(path, samples, RATE_HZ)
        found.append(Utterance(f"utt{number}", path, len(samples) / RATE_HZ, text))
    return found


@pytest.fixture(scope="session")
def tokens() -> TokenTable:
    return TokenTable.from_texts(TEXTS, "char")


def tiny_settings(**tables: dict[str, Any]) -> Settings:
    """Four batches an epoch, a network of a few hundred weights."""
    defaults: dict[str, dict[str, Any]] = {
        "recipe": {"name": "tiny", "seed": 3},
        "data": {"sample_rate_hz": RATE_HZ, "max_batch_s": 0.8, "num_buckets": 2},
        "features": {"num_mel_bins": 6, "normalization": "utterance"},
        "model": {"num_layers": 1, "hidden_size": 5},
        "train": {"max_epochs": 2, "learning_rate": 1e-2},
    }
    names = defaults.keys() | tables.keys()
    return Settings.model_validate(
        {name: {**defaults.get(name, {}), **tables.get(name, {})} for name in names}
    )


@pytest.fixture(scope="session")
def make_settings() -> Callable[..., Settings]:
    return tiny_settings


@pytest.fixture
def make_trainer(utterances: list[Utterance], tokens: TokenTable) -> MakeTrainer:
    def make(
        folder: Path,
        *,
        evaluate: Callable[[AcousticModel], DevResult] = feigned_dev_set,
        utterances: Sequence[Utterance] = tuple(utterances),
        world: World = World(0, 1, torch.device("cpu")),  # noqa: B008
        pronunciations: Pronunciations | None = None,
        **tables: dict[str, Any],
    ) -> Trainer:
        settings = tiny_settings(**tables)
        torch.manual_seed(settings.recipe.seed)
        num_phones = len(pronunciations.table) if pronunciations else 0
        model = AcousticModel(settings, len(tokens), num_phones=num_phones)
        folder.mkdir(exist_ok=True)
        return Trainer(
            model,
            utterances,
            tokens,
            evaluate,
            settings,
            folder,
            world,
            pronunciations=pronunciations,
        )

    return make
