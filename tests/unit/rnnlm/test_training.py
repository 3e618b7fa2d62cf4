from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asrkit.errors import CheckpointError, LanguageModelError
from asrkit.lm.corpus import read_corpus
from asrkit.rnnlm import training
from asrkit.rnnlm.network import SPECIAL_WORDS, UNK, Sizes, WordLstm
from asrkit.rnnlm.training import TrainingText, train_word_lstm

SMALL = Sizes(embedding=8, hidden=16, output=8)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    lines = ["b a c", "a", "", "a <unk> b a", *["a b"] * 40]
    path.write_text("\n".join(lines) + "\n")
    return path


def train(text: Path, checkpoint: Path, **options) -> WordLstm:
    return train_word_lstm([text], checkpoint, SMALL, words_per_batch=20, **options)


def weights(model: WordLstm) -> dict[str, torch.Tensor]:
    return dict(model.state_dict())


def test_words_are_numbered_by_how_frequent_they_are(text: Path) -> None:
    found = TrainingText.of(read_corpus([text]))
    assert found.words == (*SPECIAL_WORDS, "a", "b", "c")
    sentences = [
        found.ids[s : s + n].tolist() for s, n in zip(found.starts, found.lengths, strict=True)
    ]
    assert sentences[:3] == [[3, 2, 4], [2], [2, UNK, 3, 2]]
    assert len(sentences) == 43  # without the blank line


def test_every_sentence_is_in_one_batch_of_an_epoch(text: Path) -> None:
    found = TrainingText.of(read_corpus([text]))
    batches = found.batches(epoch=0, seed=1, words_per_batch=20)
    assert sorted(np.concatenate(batches).tolist()) == list(range(43))
    for batch in batches:
        assert len(batch) * (found.lengths[batch].max() + 1) <= 20
    again, later, other = (
        [batch.tolist() for batch in found.batches(*which, words_per_batch=20)]
        for which in ((0, 1), (1, 1), (0, 2))
    )
    assert again == [batch.tolist() for batch in batches]
    assert later != again != other


def test_a_sentence_longer_than_a_batch_is_one_by_itself(text: Path) -> None:
    found = TrainingText.of(read_corpus([text]))
    assert {len(batch) for batch in found.batches(0, 1, words_per_batch=1)} == {1}


def test_learns_what_follows_what(text: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    told: list[str] = []
    model = train(
        text,
        tmp_path / "checkpoint",
        epochs=30,
        learning_rate=1e-2,
        on_progress=lambda stage, share: seen.append((stage, share)),
        on_epoch=told.append,
    )
    likely, unlikely = model.score([["a", "b"], ["b", "b"]])
    assert likely.sum() > math.log(0.5)
    assert unlikely.sum() < math.log(0.05)
    assert seen[-1][1] == 1
    assert seen[-1][0].startswith("epoch 30/30, perplexity ")
    assert len(told) == 30
    assert not model.training


def test_goes_on_from_another_model_in_its_words(text: Path, tmp_path: Path) -> None:
    start = train(text, tmp_path / "start", epochs=3)
    other = tmp_path / "other.txt"
    other.write_text("c c zebra\n")
    unchanged = train(other, tmp_path / "0", start=start, epochs=1, learning_rate=0.0)
    assert unchanged.words == start.words
    assert unchanged.sizes == start.sizes
    assert all(torch.equal(each, weights(start)[n]) for n, each in weights(unchanged).items())
    adapted = train(other, tmp_path / "1", start=start, epochs=20, learning_rate=1e-2)
    sentence = [["c", "c", "zebra"]]
    assert adapted.score(sentence)[0].sum() > start.score(sentence)[0].sum() + 0.1


def test_same_seed_same_weights(text: Path, tmp_path: Path) -> None:
    one, same, other = (
        weights(train(text, tmp_path / f"{n}", epochs=2, seed=seed))
        for n, seed in enumerate((1, 1, 2))
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_resumed_it_ends_as_if_it_had_not_been_interrupted(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = weights(train(text, tmp_path / "whole", epochs=3))
    checkpoint = tmp_path / "checkpoint"
    monkeypatch.setattr(training, "_CHECKPOINT_STEPS", 2)

    def stop(_stage: str, share: float) -> None:
        if share > 0.5:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train(text, checkpoint, epochs=3, on_progress=stop)
    shares: list[float] = []
    resumed = weights(
        train(text, checkpoint, epochs=3, on_progress=lambda _, share: shares.append(share))
    )
    assert 0.3 < shares[0] < 0.7
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_resumed_behind_the_last_batch_of_an_epoch(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text.write_text("a b\n")
    whole = weights(train(text, tmp_path / "whole", epochs=2))
    monkeypatch.setattr(training, "_CHECKPOINT_STEPS", 1)

    def stop(_stage: str, _share: float) -> None:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train(text, tmp_path / "checkpoint", epochs=2, on_progress=stop)
    told: list[str] = []
    resumed = weights(train(text, tmp_path / "checkpoint", epochs=2, on_epoch=told.append))
    assert [line.split(",")[0] for line in told] == ["epoch 1/2", "epoch 2/2"]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize(
    "other",
    [
        {"sizes": Sizes(8, 8, 8)},
        {"words": "z"},
        {"seed": 2},
        {"epochs": 2},
        {"learning_rate": 1e-4},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_checkpoint_of_another_training_is_refused(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any]
) -> None:
    checkpoint = tmp_path / "checkpoint"
    monkeypatch.setattr(training, "_CHECKPOINT_STEPS", 1)
    train(text, checkpoint, epochs=1)
    same = {"sizes": SMALL, "epochs": 1, "words_per_batch": 20}
    if "words" in other:  # as many, one of another name
        text.write_text(text.read_text().replace("c", other["words"]))
        other = {}
    with pytest.raises(CheckpointError, match=r"checkpoint: of another training; repeat the texts"):
        train_word_lstm([text], checkpoint, **{**same, **other})


def test_a_text_without_words_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text("\n\n")
    with pytest.raises(LanguageModelError, match="blank lines only"):
        train(tmp_path / "blank.txt", tmp_path / "checkpoint")


@pytest.mark.parametrize("learning_rate", [1e3, math.inf])
def test_a_loss_without_bounds_is_told(text: Path, tmp_path: Path, learning_rate: float) -> None:
    with pytest.raises(
        LanguageModelError, match=r"^step \d+: the loss is .* a word; take a lower --learning-rate"
    ):
        train(text, tmp_path / "checkpoint", epochs=20, learning_rate=learning_rate)
