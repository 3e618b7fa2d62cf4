from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.data.tokens import TokenTable
from asrkit.decode.lexicon import Lexicon, Spelling, Trie
from asrkit.errors import TokenError

MakeTable = Callable[[int], TokenTable]


@settings(max_examples=60, deadline=None)
@given(
    spellings=st.lists(
        st.tuples(st.integers(0, 9), st.lists(st.integers(0, 3), min_size=1, max_size=5)),
        max_size=20,
    )
)
def test_a_trie_leads_from_letters_to_words(spellings: list[tuple[int, list[int]]]) -> None:
    wanted = sorted({(word, tuple(letters)) for word, letters in spellings})
    trie = Trie.build(wanted)
    values = np.arange(10.0)
    best = trie.best_below(values)

    def collect(node: int, letters: tuple[int, ...]) -> list[tuple[int, tuple[int, ...]]]:
        words = trie.words[trie.first_word[node] : trie.first_word[node + 1]].tolist()
        found = [(word, letters) for word in words]
        children = range(trie.first_child[node], trie.first_child[node + 1])
        along = [int(trie.letter[child]) for child in children]
        assert along == sorted(set(along))
        for child, letter in zip(children, along, strict=True):
            assert trie.parents[child] == node
            found += collect(child, (*letters, letter))
        assert best[node] == max((values[word] for word, _ in found), default=-np.inf)
        return found

    assert sorted(collect(0, ())) == wanted


def test_a_lexicon_of_phones(tmp_path: Path, phone_table: MakeTable) -> None:
    path = tmp_path / "lexicon.txt"
    path.write_text("one p01 p02\ntwo\tp02\n\none p02 p02\ntoo p02\none p01 p02\n")
    lexicon = Lexicon.read(path, phone_table(3))
    assert lexicon.words == ("one", "two", "too")
    assert lexicon.spellings == ((0, (0, 1)), (1, (1,)), (0, (1, 1)), (2, (1,)))


def test_characters_spell_a_word_that_stands_alone(tmp_path: Path, chars: TokenTable) -> None:
    path = tmp_path / "words.txt"
    path.write_text("abba\nnumber c a b\n")
    lexicon = Lexicon.read(path, chars)
    assert lexicon.words == ("abba", "number")
    assert lexicon.spellings == ((0, (0, 1, 1, 0)), (1, (2, 0, 1)))


def test_of_pieces_only_the_letters_count(tmp_path: Path, pieces: TokenTable) -> None:
    spelling = Spelling.of(pieces)
    assert spelling.letter_ids == {"a": 0, "b": 1, "c": 2}
    assert spelling.letters == ((), (0, 1), (0,), (2,), (), (0,), (1,), (2,))
    assert spelling.ends_word.tolist() == [False, False, True, True, True, False, False, False]
    path = tmp_path / "words.txt"
    path.write_text("cab\nnumber ▁c ab\nother c a b\n")
    lexicon = Lexicon.read(path, pieces)
    assert lexicon.words == ("cab", "number", "other")
    assert lexicon.spellings == tuple((number, (2, 0, 1)) for number in range(3))
    path.write_text("cab ▁c ax\n")
    with pytest.raises(TokenError, match=r":1: 'cab' is spelled with 'x', which"):
        Lexicon.read(path, pieces)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a p01\nb p01 p07\n", r":2: 'b' is spelled with 'p07', which the model's 2 tokens lack"),
        ("a\n", r":1: 'a' has no tokens"),
        ("\n \n", "no words"),
    ],
)
def test_a_malformed_lexicon_names_its_line(
    text: str, message: str, tmp_path: Path, phone_table: MakeTable
) -> None:
    path = tmp_path / "lexicon.txt"
    path.write_text(text)
    with pytest.raises(TokenError, match=rf"lexicon\.txt: ?{message}|lexicon\.txt{message}"):
        Lexicon.read(path, phone_table(3))


def test_words_that_cannot_be_spelled_are_left_out(chars: TokenTable) -> None:
    lexicon = Lexicon.from_words(["ab", "no", "c"], Spelling.of(chars), is_split=True)
    assert lexicon.words == ("ab", "c")
    assert lexicon.spellings == ((0, (0, 1)), (1, (2,)))
