"""Recipes with a few seconds of tones for a corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

import pytest
import soundfile

from asrkit.data.manifest import Utterance, write_manifest
from asrkit.recipe.run_folder import RunFolder

RECIPE = """
[recipe]
name = "tones"
description = "Letters said as tones"
[data]
train = "corpus/train.jsonl"
dev = "corpus/dev.jsonl"
test = "corpus/test.jsonl"
max_batch_s = 2.0
[features]
num_mel_bins = 12
[model]
num_layers = 1
hidden_size = 4
[train]
max_epochs = 1
"""
TEXTS = {"train": ["ab ca", "b", "ac b"], "dev": ["a cb", "bc"], "test": ["cab"]}
LEXICON = "ac x z\nb y\nab x y\nbc y z\nb y y\n"


class Speak(Protocol):
    """Writes the utterances `train0`, `train1`, ... of the speakers `train-a` and `train-b`."""

    def __call__(self, folder: Path, split: str, texts: Iterable[str]) -> list[Utterance]: ...


class MakeRecipe(Protocol):
    """Writes a recipe folder that has a manifest for each split; returns its recipe.toml."""

    def __call__(self, texts: Mapping[str, Iterable[str]] = ..., toml: str = ...) -> Path: ...


@pytest.fixture
def speak(say_in_tones: Callable) -> Speak:
    def write(folder: Path, split: str, texts: Iterable[str]) -> list[Utterance]:
        folder.mkdir(parents=True, exist_ok=True)
        utterances = []
        for number, text in enumerate(texts):
            path, samples = folder / f"{split}{number}.wav", say_in_tones(text)
            soundfile.write(path, samples, 16000)
            speaker = f"{split}-{'ab'[number % 2]}"
            utterances.append(
                Utterance(path.stem, path, len(samples) / 16000, text, speaker=speaker)
            )
        return utterances

    return write


@pytest.fixture
def make_recipe(tmp_path: Path, speak: Speak) -> MakeRecipe:
    def make(texts: Mapping[str, Iterable[str]] = TEXTS, toml: str = RECIPE) -> Path:
        folder = tmp_path / "tones"
        for split, of_split in texts.items():
            corpus = folder / "corpus"
            write_manifest(corpus / f"{split}.jsonl", speak(corpus, split, of_split))
        folder.mkdir(exist_ok=True)
        (folder / "recipe.toml").write_text(toml)
        return folder / "recipe.toml"

    return make


@pytest.fixture
def phone_overrides(make_recipe: MakeRecipe) -> list[str]:
    """Settings of a network with phones; their lexicon lies beside the recipe and lacks a word."""
    (make_recipe().parent / "lexicon.txt").write_text(LEXICON)
    return ["model.phone_layer=1", "data.lexicon=lexicon.txt"]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run folder with the folders below it, as `RunFolder.open` makes them."""
    run = RunFolder(tmp_path / "run")
    for folder in ("data", "decode", "score", "checkpoints"):
        (run.folder / folder).mkdir(parents=True)
    return run
