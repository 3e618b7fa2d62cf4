from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from asrkit.errors import LanguageModelError, UsageError
from asrkit.lm.arpa_reader import read_arpa
from asrkit.lm.build import build_model
from asrkit.lm.corpus import read_corpus, read_vocabulary
from asrkit.lm.counting import count_ngrams
from asrkit.lm.ngram import NGramModel
from asrkit.lm.trie import build_arrays, split_levels

Write = Callable[..., Path]
LN_10 = math.log(10)


def check_sums_to_one(model: NGramModel) -> None:
    words = np.array([k for k in range(len(model)) if k != model.start_id])
    for state in range(0, len(model.arrays.backoff), 7):
        if model.arrays.next_state[state] == state:  # what can be a state
            log_probs, _ = model.score_many(np.full(len(words), state), words)
            assert np.exp(log_probs, dtype=float).sum() == pytest.approx(1, abs=1e-4)


# --- against lmplz


@pytest.mark.parametrize(
    ("text", "arpa", "order", "prune"),
    [
        ("text", "order1", 1, ()),
        ("text", "order2", 2, (0,)),
        ("text", "order3", 3, ()),
        ("text", "order4", 4, (0, 0, 0, 0)),
        ("text", "order3_prune_0_0_1", 3, (0, 0, 1)),
        ("text", "order3_prune_1_1_2", 3, (1, 1, 2)),
        ("short", "short_fallback", 3, ()),
    ],
)
def test_every_ngram_agrees_with_lmplz(
    golden: Path, text: str, arpa: str, order: int, prune: Sequence[int]
) -> None:
    expected = read_arpa(golden / f"{arpa}.arpa")
    model = build_model(
        [golden / f"{text}.txt"], order, prune=prune, discount_fallback=text == "short"
    )
    assert model.words == expected.words
    assert model.counts == expected.counts
    for ours, theirs in zip(model.arrays, expected.arrays, strict=True):
        tolerance = 1e-6 * LN_10 if ours.dtype == np.float32 else 0
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("text", ["a b\n", "a b c a b c a b c\n" * 9])
def test_texts_that_lmplz_refuses(write: Write, text: str) -> None:
    with pytest.raises(LanguageModelError, match=r"1-grams: .*; expected .* --discount-fallback"):
        build_model([write(text)], 2)
    check_sums_to_one(build_model([write(text)], 2, discount_fallback=True))


# --- counts


def test_counts_are_those_of_counting(golden: Path) -> None:
    path = golden / "text.txt"
    corpus = read_corpus([path])
    sentences = [["<s>", *line.split(), "</s>"] for line in path.read_text("utf-8").splitlines()]
    names: list[list[tuple[str, ...]]] = [[()]]
    for order, level in enumerate(count_ngrams(corpus, 4), 1):
        expected = Counter(
            tuple(sentence[k : k + order])
            for sentence in sentences
            for k in range(len(sentence) - order + 1)
        )
        names.append(
            [
                (*names[-1][context], corpus.words[word])
                for context, word in zip(level.context, level.word, strict=True)
            ]
        )
        counted = dict(zip(names[-1], level.count.tolist(), strict=True))
        if order == 1:
            assert counted.pop(("<unk>",)) == 0
        assert counted == expected
        first_words = [corpus.words[k] for k in level.first_word]
        assert first_words == [name[0] for name in names[-1]]
        if order > 1:
            suffixes = [names[-2][k] for k in level.suffix]
            assert suffixes == [name[1:] for name in names[-1]]


# --- vocabulary


def test_vocabulary(golden: Path, write: Write) -> None:
    words = read_vocabulary(write("the river\nlamp\tthe\nabsent", "words.txt"))
    model = build_model([golden / "text.txt"], 3, vocabulary=words, discount_fallback=True)
    assert model.words == ("<unk>", "<s>", "</s>", "the", "river", "lamp", "absent")
    unknown = model.score_words([0], state=0)
    absent = model.score_words([6], state=0)
    assert unknown > absent  # most words of the text are unknown now
    check_sums_to_one(model)


def test_max_words(golden: Path) -> None:
    path = golden / "text.txt"
    counts = Counter(path.read_text("utf-8").split())
    model = build_model([path], 2, max_words=5, discount_fallback=True)
    assert len(model) == 8
    kept = set(model.words[3:])
    assert min(counts[word] for word in kept) >= max(counts[w] for w in counts.keys() - kept)
    check_sums_to_one(model)


def test_unk_in_a_text_is_an_unknown_word(write: Write) -> None:
    corpus = read_corpus([write("a <unk> b\n")])
    assert corpus.tokens.tolist() == [1, 3, 0, 4, 2]


# --- entropy pruning


def entropy_rises(model: NGramModel, order: int) -> dict[tuple[int, int], float]:
    """Stolcke's relative entropy for each n-gram of the highest order, over all words."""
    words = [k for k in range(len(model)) if k != model.start_id]
    levels = split_levels(model.arrays, model.counts)
    first = 1 + sum(model.counts[: order - 1])
    history = [np.zeros(1)]
    for level in levels:
        history.append(history[-1][level.context] + level.log_prob)
    rises = {}
    first_context = first - model.counts[order - 2]
    for context, word in zip(levels[-1].context, levels[-1].word, strict=True):
        state = first_context + int(context)
        old, _ = model.score_many(np.full(len(words), state), words)
        short, _ = model.score_many(np.full(len(words), model.arrays.suffix[state]), words)
        children = slice(*model.arrays.first_child[state : state + 2])
        explicit = set(model.arrays.word[children].tolist()) - {int(word)}
        is_explicit = np.array([k in explicit for k in words])
        old, short = np.exp(old, dtype=float), np.exp(short, dtype=float)
        weight = (1 - old[is_explicit].sum()) / (1 - short[is_explicit].sum())
        new = np.where(is_explicit, old, weight * short)
        divergence = float((old * np.log(old / new)).sum())
        rises[int(context), int(word)] = math.expm1(
            math.exp(history[order - 1][context]) * divergence
        )
    return rises


def test_entropy_pruning_takes_what_costs_least(golden: Path) -> None:
    path, threshold = golden / "text.txt", 3e-5
    model = build_model([path], 2)
    pruned = build_model([path], 2, entropy_threshold=threshold)
    level = split_levels(pruned.arrays, pruned.counts)[-1]
    kept = set(zip(level.context.tolist(), level.word.tolist(), strict=True))
    rises = entropy_rises(model, 2)
    assert 0 < len(kept) < len(rises)
    for ngram, rise in rises.items():
        if abs(rise - threshold) > 1e-7:
            assert (ngram in kept) == (rise > threshold)
    check_sums_to_one(pruned)


def test_entropy_pruning_keeps_what_longer_ngrams_need(golden: Path) -> None:
    path = golden / "text.txt"
    sizes = []
    for threshold in (0.0, 1e-6, 1e-4, 1e-2, 10.0):
        model = build_model([path], 4, entropy_threshold=threshold)
        check_sums_to_one(model)
        levels = split_levels(model.arrays, model.counts)
        again = build_arrays(levels)
        for one, other in zip(again, model.arrays, strict=True):
            np.testing.assert_array_equal(one, other)
        sizes.append(sum(model.counts))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == model.counts[0]  # only words are left
    assert len(set(sizes)) == len(sizes)


# --- what is asked wrongly


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 0}, "order is 0; expected 1 to"),
        ({"order": 99}, "order is 99; expected 1 to"),
        ({"prune": (1, 0)}, "prune is 1 0; expected numbers"),
        ({"prune": (-1,)}, "prune is -1; expected numbers"),
        ({"prune": (0, 0, 0)}, "expected at most 2 numbers"),
        ({"entropy_threshold": -1.0}, "threshold is -1.0; expected"),
        ({"max_words": 0}, "max_words is 0; expected"),
    ],
)
def test_bad_parameters(golden: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_model([golden / "text.txt"], **{"order": 2, **options})


def test_progress_goes_from_nothing_to_all(golden: Path) -> None:
    shares = []
    build_model(
        [golden / "text.txt"], 3, entropy_threshold=1e-6, on_progress=lambda *s: shares.append(s)
    )
    assert [share for _, share in shares] == sorted(share for _, share in shares)
    assert {stage for stage, _ in shares} == {
        *("reading", "counting", "estimating", "pruning", "linking")
    }


def test_order_of_files_and_pieces_does_not_change_counts(golden: Path, write: Write) -> None:
    text = (golden / "text.txt").read_bytes().splitlines(keepends=True)
    whole = build_model([golden / "text.txt"], 3)
    parts = [write(b"".join(text[:70]), "1.txt"), write(b"".join(text[70:]), "2.txt")]
    halves = build_model(parts, 3)
    assert halves.words == whole.words
    for one, other in zip(halves.arrays, whole.arrays, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_small_model_by_hand(write: Write) -> None:
    # Counts of 1-grams: a 2, b 1, </s> 2; fallback discounts 0.5, 1, 1.5; 4 words but <s>.
    model = build_model([write("a a\nb\n")], 1, discount_fallback=True)
    left = (1 + 1 + 0.5) / 5
    probs = np.exp([float(model.score_words([k], state=0)[0]) for k in range(5)])
    assert model.words == ("<unk>", "<s>", "</s>", "a", "b")
    assert probs == pytest.approx(
        [left / 4, 1, 1 / 5 + left / 4, 1 / 5 + left / 4, 0.5 / 5 + left / 4]
    )


def test_all_bigrams_of_two_words(write: Write) -> None:
    text = "".join(f"{' '.join(words)}\n" for words in product("ab", repeat=3))
    model = build_model([write(text)], 2, discount_fallback=True)
    assert model.counts == (5, 8)
    check_sums_to_one(model)
