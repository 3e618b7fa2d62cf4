from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from asrkit.rnnlm.network import END, UNK, Sizes, WordLstm

SENTENCES = (
    ["the", "cat", "sat"],
    ["the", "cat"],
    [],
    ["cat", "rare", "cat"],
    ["the", "cat", "sat"],
)


@torch.inference_mode()
def literally(model: WordLstm, sentence: Sequence[str]) -> list[float]:
    """The equations of the module, word by word, with all outputs of the softmax."""
    ids = [model.word_id(word) for word in sentence]
    hidden = cell = torch.zeros(model.sizes.hidden)
    found = []
    for before, word in zip([END, *ids], [*ids, END], strict=True):
        read = before if before < model.sizes.input_words else UNK
        gates = (
            model.cell.input_weight[0] @ model.embedding.weight[read]
            + model.cell.recurrent_weight[0] @ hidden
            + model.cell.bias[0]
        )
        i, f, g, o = gates.split(model.sizes.hidden)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * cell.tanh()
        scores = model.projection.weight @ hidden + model.projection.bias
        found.append(float(all_log_probs(model, scores)[word]))
    return found


def all_log_probs(model: WordLstm, scores: Tensor) -> Tensor:
    """Of every word: its own output, or that of its class and that within the class."""
    head = F.log_softmax(model.softmax.head(scores), dim=0)
    num_own = model.softmax.shortlist_size
    classes = [
        head[num_own + number] + F.log_softmax(tail(scores), dim=0)
        for number, tail in enumerate(model.softmax.tail)
    ]
    return torch.cat([head[:num_own], *classes])


def test_scores_are_those_of_the_equations(small: WordLstm) -> None:
    for sentence, found in zip(SENTENCES, small.score(SENTENCES), strict=True):
        assert found == pytest.approx(literally(small, sentence), abs=1e-5)


def test_probabilities_of_all_words_sum_to_one() -> None:
    model = WordLstm([str(number) for number in range(40_000)], Sizes(4, 6, 16))
    total = all_log_probs(model, torch.randn(16)).exp().sum().detach()
    assert len(model.softmax.tail) == 3
    assert float(total) == pytest.approx(1, abs=1e-5)


def test_a_batch_says_the_same_whatever_pads_it(small: WordLstm) -> None:
    ids = [[small.word_id(word) for word in sentence] for sentence in SENTENCES]
    lengths = torch.tensor([len(each) for each in ids])
    padded = torch.full((int(lengths.max()), len(ids)), UNK)
    for column, each in enumerate(ids):
        padded[: len(each), column] = torch.tensor(each, dtype=torch.int64)
    found = iter(small(padded, lengths).tolist())
    alone = small.score(SENTENCES)
    for place in range(len(padded) + 1):
        for sentence, scores in zip(ids, alone, strict=True):
            if place <= len(sentence):
                assert next(found) == pytest.approx(scores[place], abs=1e-5)
    assert next(found, None) is None


def test_a_sentence_alone_and_among_others_scores_the_same(small: WordLstm) -> None:
    together = small.score(SENTENCES)
    for sentence, scores in zip(SENTENCES, together, strict=True):
        (alone,) = small.score([sentence])
        assert alone == pytest.approx(scores, abs=1e-6)
    assert np.array_equal(together[0], together[4])


def test_no_sentences(small: WordLstm) -> None:
    assert small.score([]) == []


def test_unknown_words_are_one_word(small: WordLstm) -> None:
    (known, unknown, other) = small.score([["the"], ["zebra"], ["yak"]])
    assert np.array_equal(unknown, other)
    assert known[0] != unknown[0]
