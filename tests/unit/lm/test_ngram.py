from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.errors import LanguageModelError
from asrkit.lm.arpa_reader import read_arpa
from asrkit.lm.ngram import EMPTY_STATE, NGramModel, step

LN_10 = math.log(10)


def ngrams_of(path: Path) -> dict[tuple[str, ...], tuple[float, float]]:
    """Read an ARPA file without a thought."""
    ngrams = {}
    for line in path.read_text("utf-8").splitlines():
        fields = line.split("\t")
        if len(fields) > 1:
            backoff = float(fields[2]) if len(fields) == 3 else 0.0
            ngrams[tuple(fields[1].split())] = (float(fields[0]), backoff)
    return ngrams


def log10_prob(
    ngrams: Mapping[tuple[str, ...], tuple[float, float]], context: tuple[str, ...], word: str
) -> float:
    """The definition of a back-off model, by recursion."""
    if (*context, word) in ngrams:
        return ngrams[(*context, word)][0]
    return ngrams.get(context, (0.0, 0.0))[1] + log10_prob(ngrams, context[1:], word)


def test_by_hand(tiny: NGramModel) -> None:
    scores = tiny.score_sentence(["a", "b", "a", "b"]) / LN_10
    # a: "<s> a"; b: "<s> a b"; a: "a b a"; b: "a b" after the context "b a", which is none; </s>:
    # the back-off weight of "a b", then "b </s>".
    assert scores == pytest.approx([-0.2, -0.15, -0.35, -0.3, -0.25 - 0.45], abs=1e-6)


def test_unknown_words(tiny: NGramModel) -> None:
    scores = tiny.score_sentence(["zebra", "c"]) / LN_10
    assert scores == pytest.approx([-0.5 - 1.2, -1.5, -0.7], abs=1e-6)
    assert "zebra" not in tiny
    assert "<unk>" not in tiny
    assert "c" in tiny
    assert tiny.word_id("zebra") == NGramModel.UNK


def test_states_are_as_short_as_can_be(tiny: NGramModel) -> None:
    a, b, c = map(tiny.word_id, "abc")
    _, after_c = step(tiny.arrays, tiny.start_state, c)
    assert after_c == EMPTY_STATE  # nothing begins with c
    _, after_a = step(tiny.arrays, EMPTY_STATE, a)
    _, after_ab = step(tiny.arrays, after_a, b)
    _, after_aba = step(tiny.arrays, after_ab, a)
    assert after_aba == after_a  # "b a" is no context
    assert len({after_a, after_ab, tiny.start_state, EMPTY_STATE}) == 4


@pytest.mark.parametrize("name", ["order1", "order2", "order4", "order3_prune_0_0_1"])
def test_against_the_definition(golden: Path, name: str) -> None:
    path = golden / f"{name}.arpa"
    model, ngrams = read_arpa(path), ngrams_of(path)
    words = [word for word in model.words if word != "<s>"]

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.sampled_from([*words, "zebra"]), max_size=8))
    def check(sentence: list[str]) -> None:
        known = [word if word in model else "<unk>" for word in sentence]
        history, expected = ["<s>"], []
        for word in [*known, "</s>"]:
            context = tuple(history[1 - model.order :]) if model.order > 1 else ()
            expected.append(log10_prob(ngrams, context, word))
            history.append(word)
        assert model.score_sentence(sentence) / LN_10 == pytest.approx(expected, abs=2e-5)

    check()


def test_score_many_takes_the_steps_of_step(golden: Path) -> None:
    model = read_arpa(golden / "order3.arpa")
    rng = np.random.default_rng(0)
    states, words = np.zeros(50, np.int32), rng.integers(3, len(model), 50)
    states[:25] = model.start_state
    for _ in range(4):
        log_probs, next_states = model.score_many(states, words)
        for k in range(50):
            log_prob, state = step(model.arrays, states[k], words[k])
            assert next_states[k] == state
            assert log_probs[k] == pytest.approx(log_prob)
        states, words = next_states, rng.integers(3, len(model), 50)


@pytest.mark.parametrize(
    ("states", "words"), [([-1], [0]), ([0], [-1]), ([0], [99]), ([99], [0]), ([[0]], [[0]])]
)
def test_what_is_no_state_or_word(tiny: NGramModel, states: list[int], words: list[int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        tiny.score_many(states, words)


def test_vocabularies_that_are_none(tiny: NGramModel) -> None:
    for words in (["<unk>", "<s>", "</s>", "a", "a"], ["a", "<s>", "</s>"], ["<unk>", "<s>", "b"]):
        with pytest.raises(LanguageModelError, match="vocabulary; expected"):
            NGramModel(words, tiny.arrays, tiny.counts)
