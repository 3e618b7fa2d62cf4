"""Training what spells on text: nothing else changes, and it learns to spell what is heard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from asrkit.data.manifest import Utterance
from asrkit.data.pronunciation import Pronunciations
from asrkit.data.tokens import TokenTable
from asrkit.train.checkpoint import load_weights
from asrkit.train.loop import FINAL_WEIGHTS, Trainer
from asrkit.train.metrics import read_metrics
from asrkit.train.spoken_text import SpokenText

from .conftest import TEXTS, MakeTrainer

LEXICON = {text: tuple(letter.upper() for letter in text) for text in TEXTS}


MakeSpeller = Callable[..., Trainer]


@pytest.fixture
def make_speller(
    make_trainer: MakeTrainer, utterances: list[Utterance], tokens: TokenTable
) -> MakeSpeller:
    """Give what makes a trainer on text in a folder, from settings of `[train]`."""
    pronunciations = Pronunciations.for_texts(TEXTS, LEXICON)

    def make(folder: Path, **train: Any) -> Trainer:
        text = folder.parent / "text"
        text.write_text("\n".join(TEXTS))
        trainer = make_trainer(
            folder,
            pronunciations=pronunciations,
            model={"num_layers": 2, "phone_layer": 1, "spells_from": "phones", "hidden_size": 8},
            train={"max_epochs": 12, "learning_rate": 0.03, **train},
        )
        trainer.text = SpokenText([text], pronunciations, tokens, utterances, seed=3)
        return trainer

    return make


def test_only_what_spells_is_trained_and_it_learns(
    tmp_path: Path, make_speller: MakeSpeller
) -> None:
    trainer = make_speller(tmp_path / "run")
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    after = load_weights(trainer.checkpoints / FINAL_WEIGHTS)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    spelling = {name for name in before if name.startswith(("network.speller", "network.output"))}
    assert changed == spelling
    losses = [event["train_loss"] for event in read_metrics(trainer.folder, "epoch")]
    assert losses[-1] < 0.7 * losses[0]


def test_a_resumed_run_is_the_same(tmp_path: Path, make_speller: MakeSpeller) -> None:
    whole = make_speller(tmp_path / "whole", max_epochs=3, checkpoint_steps=1)
    whole.run()
    cut = make_speller(tmp_path / "cut", max_epochs=3, checkpoint_steps=1)
    update = cut._update

    def interrupt(utt_ids: list[str]) -> float:
        if cut.position.step == 5:
            raise KeyboardInterrupt
        return update(utt_ids)

    cut._update = interrupt
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    resumed = make_speller(tmp_path / "cut", max_epochs=3, checkpoint_steps=1)
    assert 0 < resumed.position.step < whole.position.step
    resumed.run()
    expected = load_weights(whole.checkpoints / FINAL_WEIGHTS)
    found = load_weights(resumed.checkpoints / FINAL_WEIGHTS)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert read_metrics(cut.folder, "step") == read_metrics(whole.folder, "step")
