"""Guesses against all sequences of graphones, and files of what was learned."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.errors import LanguageModelError, TokenError
from asrkit.lm.model_file import save_ngram
from asrkit.lm.ngram import NGramModel
from asrkit.pronounce.graphones import Graphone
from asrkit.pronounce.guess import Pronouncer
from asrkit.pronounce.learn import learn, read_lexicon

LEXICON = {
    "cab": ("k", "a", "b"),
    "back": ("b", "a", "k"),
    "ace": ("ei", "s"),
    "cake": ("k", "ei", "k"),
    "bake": ("b", "ei", "k"),
    "axe": ("a", "k", "s"),
    "mr": ("m", "i", "s", "t", "er"),
}


def save(folder: Path, model: NGramModel) -> Path:
    path = folder / "letters.bin"
    save_ngram(path, model, quantized=True)
    return path


def all_scores(model: NGramModel, word: str) -> dict[tuple[str, ...], float]:
    """The likeliest way to each sequence of phones."""
    graphones = [Graphone.parse(text) for text in model.words if "<" not in text]
    found: dict[tuple[str, ...], float] = {}
    for path in product(*([g for g in graphones if g.letter == letter] for letter in word)):
        phones = tuple(phone for each in path for phone in each.phones)
        score = float(model.score_sentence([each.text for each in path]).sum(dtype=float))
        found[phones] = max(score, found.get(phones, -math.inf))
    return found


def guess_or_silence(pronouncer: Pronouncer, word: str) -> tuple[str, ...]:
    try:
        return pronouncer.guess(word)
    except TokenError:
        return ()


lexicons = st.dictionaries(
    st.text("abc", min_size=1, max_size=4),
    st.lists(st.sampled_from("xy"), min_size=1, max_size=2).map(tuple),
    min_size=2,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(lexicon=lexicons, data=st.data())
def test_a_wide_search_equals_an_exhaustive_one(
    lexicon: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    model = learn(lexicon)
    letters = sorted({letter for word in lexicon for letter in word})
    word = data.draw(st.text(letters, min_size=1, max_size=4))
    scores = all_scores(model, word)
    best = max(scores.values())
    pronouncer = Pronouncer(model, beam_size=5000, beam_nats=math.inf)
    assert scores[guess_or_silence(pronouncer, word)] == pytest.approx(best, abs=1e-4)


def test_a_narrow_beam_may_miss_the_best_and_is_heeded() -> None:
    model = learn(LEXICON)
    narrow, wide = Pronouncer(model, beam_size=1), Pronouncer(model)
    words = ["".join(letters) for letters in product("acek", repeat=3)]
    scores = {word: all_scores(model, word) for word in words}

    def worth(pronouncer: Pronouncer) -> float:
        return sum(scores[word][guess_or_silence(pronouncer, word)] for word in words)

    assert worth(narrow) < worth(wide) - 0.1


def test_known_words_and_new_ones() -> None:
    pronouncer = Pronouncer(learn(LEXICON))
    assert pronouncer.guess("back") == ("b", "a", "k")
    assert pronouncer.guess("cake") == ("k", "ei", "k")
    assert pronouncer.guess("backcab") == ("b", "a", "k", "k", "a", "b")


def test_what_a_file_holds_is_what_was_learned(tmp_path: Path) -> None:
    model = learn(LEXICON)
    stored = Pronouncer.load(save(tmp_path, model))
    for word in ("cab", "ex", "bakeback"):
        assert stored.guess(word) == Pronouncer(model).guess(word)


def test_the_same_lexicon_gives_the_same_bytes(tmp_path: Path) -> None:
    first = save(tmp_path, learn(LEXICON)).read_bytes()
    assert save(tmp_path, learn(LEXICON)).read_bytes() == first
    assert save(tmp_path, learn({**LEXICON, "eb": ("e", "b")})).read_bytes() != first


def test_symbols_that_look_like_something_else(tmp_path: Path) -> None:
    lexicon = {"|+": ("a|b", "c+d"), "<s>": ("<s>",), "+": ("c+d",)}
    stored = Pronouncer.load(save(tmp_path, learn(lexicon)))
    assert stored.guess("|+") == ("a|b", "c+d")


def test_words_that_cannot_be_guessed() -> None:
    pronouncer = Pronouncer(learn({"ha": ("a",), "a": ("a",), "aha": ("a", "a")}))
    with pytest.raises(
        TokenError, match=r"^'aß': no word that was learned from has the letter 'ß'"
    ):
        pronouncer.guess("aß")
    with pytest.raises(TokenError, match=r"^'h': is silent by its letters"):
        pronouncer.guess("h")
    with pytest.raises(TokenError, match=r"^'': is silent"):
        pronouncer.guess("")


def test_what_cannot_be_aligned_teaches_nothing(tmp_path: Path) -> None:
    without = {word: phones for word, phones in LEXICON.items() if word != "mr"}
    assert (
        save(tmp_path, learn(LEXICON)).read_bytes() == save(tmp_path, learn(without)).read_bytes()
    )
    with pytest.raises(LanguageModelError, match="no word whose letters stand for at most two"):
        learn({"mr": LEXICON["mr"]})


def test_progress_is_told_in_rising_shares() -> None:
    shares: list[float] = []
    learn(LEXICON, lambda _, share: shares.append(share))
    assert shares == sorted(shares)
    assert 0 < shares[0] <= shares[-1] <= 1


def test_a_compressed_lexicon(tmp_path: Path) -> None:
    import lzma

    path = tmp_path / "lexicon.txt.xz"
    path.write_bytes(lzma.compress(b"ab x y\n\nab x\nb y\n"))
    assert read_lexicon(path) == {"ab": ("x", "y"), "b": ("y",)}
    path.write_bytes(lzma.compress(b"ab x y\nb\n"))
    with pytest.raises(TokenError, match=rf"^{path}:2: 'b' has no phones"):
        read_lexicon(path)


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "letters.bin"
    refused = rf"^{path}: tells no pronunciations: .*; make it by `asrkit lexicon learn`$"
    with pytest.raises(LanguageModelError, match=refused):
        Pronouncer.load(path)
    whole = save(tmp_path, learn(LEXICON)).read_bytes()
    contents = [b"", b"no model", whole[:-9], whole + b"x", whole.replace(b'"suffix"', b'"sufix_"')]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(LanguageModelError, match=refused):
            Pronouncer.load(path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "words"], "the word 'words' is no letter with at most 2 phones"),
        (["a", "b"], "no letter has phones"),
    ],
)
def test_other_language_models_are_refused(tmp_path: Path, words: list[str], message: str) -> None:
    model = learn({"ab": ("x", "y")})
    assert len(model.words) == 5
    other = NGramModel((*model.words[:3], *words), model.arrays, model.counts)
    path = save(tmp_path, other)
    with pytest.raises(LanguageModelError, match=f"^{path}: tells no pronunciations: {message}"):
        Pronouncer.load(path)


def test_arrays_are_left_as_they_are() -> None:
    model = learn(LEXICON)
    before = [np.copy(array) for array in model.arrays]
    Pronouncer(model).guess("cab")
    assert all(np.array_equal(old, new) for old, new in zip(before, model.arrays, strict=True))
