"""Pieces of words: learned by sentencepiece, split here, and the two agree."""

from __future__ import annotations

import io

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from asrkit.data.bpe import WORD_START, learn_pieces, split_word
from asrkit.data.tokens import TokenTable
from asrkit.errors import TokenError

TEXTS = [
    "the cat sat on the mat and the other cat sat on that hat",
    "she sells sea shells on the sea shore that she sees",
    "don't they're the three o'clock theatre's thatch",
]
WORDS = st.text("abcdefghinorstu'", min_size=1, max_size=12)


def ranks_of(pieces: list[str]) -> dict[str, int]:
    return {piece: rank for rank, piece in enumerate(pieces)}


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.lists(WORDS, min_size=1, max_size=8).map(" ".join), min_size=1, max_size=6),
    words=st.lists(WORDS, min_size=1, max_size=5),
    extra=st.integers(0, 40),
)
def test_words_are_split_as_sentencepiece_does(
    texts: list[str], words: list[str], extra: int
) -> None:
    characters = set("".join(texts)) - {" "}
    size = len(characters) + 2 + extra
    try:
        pieces = learn_pieces(texts, size)
    except TokenError as error:
        assume("have only" not in str(error))
        raise
    assert len(pieces) == size - 1
    assert pieces == learn_pieces(texts, size)

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        model_type="bpe",
        vocab_size=size,
        character_coverage=1.0,
        normalization_rule_name="identity",
        split_by_unicode_script=False,
        split_by_number=False,
        bos_id=-1,
        eos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    theirs = SentencePieceProcessor(model_proto=model.getvalue())
    for text in [*texts, *words]:
        if set(text) <= characters | {" "}:
            ours = [piece for word in text.split() for piece in split_word(word, ranks_of(pieces))]
            assert ours == theirs.encode(text, out_type=str)


def test_frequent_words_become_one_piece_and_rare_ones_several() -> None:
    pieces = learn_pieces(TEXTS, 60)
    ranks = ranks_of(pieces)
    assert split_word("the", ranks) == ["▁the"]
    assert split_word("cat", ranks)[0].startswith(WORD_START)
    assert len(split_word("shells", ranks)) > 1
    assert "".join(split_word("shells", ranks)) == "▁shells"
    assert all(WORD_START not in piece[1:] for piece in pieces)


def test_the_lowest_rank_is_joined_first_and_of_equals_the_first() -> None:
    ranks = ranks_of(["bc", "ab", "▁a", "aa", "▁", "a", "b", "c"])
    assert split_word("abc", ranks) == ["▁a", "bc"]
    assert split_word("aaa", ranks) == ["▁a", "aa"]
    assert split_word("baaa", ranks) == ["▁", "b", "aa", "a"]


@pytest.mark.parametrize(
    ("texts", "size", "message"),
    [
        (["", " "], 20, "transcripts are all empty"),
        (["abc abd"], 5, "vocabulary_size = 5: the blank, ▁ and 4 characters alone are 6"),
        (["ab ab abc"], 500, r"vocabulary_size = 500: the transcripts have only \d+ pieces"),
        (["a▁b"], 20, r"a transcript holds '▁' \(U\+2581\)"),
    ],
)
def test_sizes_and_texts_that_do_not_go(texts: list[str], size: int, message: str) -> None:
    with pytest.raises(TokenError, match=message):
        learn_pieces(texts, size)


def test_the_size_that_an_error_names_will_do() -> None:
    with pytest.raises(TokenError, match="only") as raised:
        learn_pieces(TEXTS, 5000)
    most = int(str(raised.value).split("have only ")[1].split()[0])
    assert len(TokenTable.from_texts(TEXTS, "bpe", most)) == most


def test_characters_beyond_the_plain() -> None:
    table = TokenTable.from_texts(["Straße café 東京 東京 𝄞 ١٢", "naïve naïve"], "bpe", 32)
    for text in ("Straße 東京", "𝄞 café", "١٢ naïve"):
        assert table.decode(table.encode(text)) == text
