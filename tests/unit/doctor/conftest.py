"""A healthy corpus of noise bursts, in which faults can be planted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from asrkit.data.manifest import Utterance, write_manifest

RECIPE = """
[recipe]
name = "bursts"
[data]
train = "train.jsonl"
dev = "dev.jsonl"
test = "test.jsonl"
max_batch_s = 4.0
[features]
num_mel_bins = 8
normalization = "utterance"
[model]
num_layers = 1
hidden_size = 4
[train]
max_epochs = 60
clip_norm = 5.0
"""
RATE_HZ = 16000
SIZES = {"train": 24, "dev": 3, "test": 3}


def burst_of(text: str, seed: int) -> NDArray[np.float64]:
    """A burst of white noise of 60 ms for each letter and 40 ms of near silence after it."""
    generator = np.random.default_rng(seed)
    envelope = np.repeat([0.1, 0.0005], [960, 640])
    levels = [0.05 * envelope if letter == " " else envelope for letter in text]
    gain = np.concatenate(levels)
    return gain * generator.uniform(-1, 1, size=len(gain)) * generator.uniform(0.7, 1.3)


@dataclass
class Bursts:
    """A corpus on disk; change `splits`, or the files, then `write`."""

    folder: Path
    splits: dict[str, list[Utterance]] = field(default_factory=dict)
    toml: str = RECIPE
    seed: int = 0

    def add(self, split: str, text: str, **changes: object) -> Utterance:
        """Speak another utterance."""
        self.seed += 1
        path = self.folder / f"{split}{self.seed}.wav"
        samples = burst_of(text, self.seed)
        soundfile.write(path, samples, RATE_HZ)
        speaker = f"{split}-{self.seed % 3}"
        made = Utterance(path.stem, path, len(samples) / RATE_HZ, text, speaker=speaker)
        self.splits.setdefault(split, []).append(replace(made, **changes))
        return self.splits[split][-1]

    def play(self, utterance: Utterance, samples: NDArray[np.float64], rate_hz: int = RATE_HZ):
        """Replace the sound of an utterance."""
        soundfile.write(utterance.audio_path, samples, rate_hz)

    def change(self, split: str, number: int, **changes: object) -> Utterance:
        """Change an utterance."""
        self.splits[split][number] = replace(self.splits[split][number], **changes)
        return self.splits[split][number]

    def write(self) -> Path:
        """Write manifests and recipe; return the recipe."""
        for split, utterances in self.splits.items():
            write_manifest(self.folder / f"{split}.jsonl", utterances)
        recipe_toml = self.folder / "recipe.toml"
        recipe_toml.write_text(self.toml)
        return recipe_toml


@pytest.fixture
def bursts(tmp_path: Path) -> Bursts:
    folder = tmp_path / "bursts"
    folder.mkdir()
    corpus = Bursts(folder)
    generator = np.random.default_rng(5)
    for split, size in SIZES.items():
        for _ in range(size):
            words = ["".join(generator.choice(list("abc"), size=3)) for _ in range(4)]
            corpus.add(split, " ".join(words))
    return corpus
