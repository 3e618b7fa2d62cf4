from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.data.tokens import TokenTable
from asrkit.errors import TokenError

TEXTS = st.lists(st.text(max_size=20), min_size=1, max_size=10).filter(
    lambda texts: any(text.split() for text in texts) and "<blank>" not in " ".join(texts).split()
)


def test_a_char_table() -> None:
    table = TokenTable.from_texts(["b a", "cab's"], "char")
    assert table.symbols == ("<blank>", " ", "'", "a", "b", "c", "s")
    assert len(table) == 7
    assert table.blank_id == TokenTable.blank_id == 0
    assert table.encode("cab") == [5, 3, 4]
    assert table.decode([5, 3, 4]) == "cab"
    assert table.to_text() == "<blank>\n<space>\n'\na\nb\nc\ns\n"


def test_a_phone_table() -> None:
    table = TokenTable.from_texts(["sil ao l sil", "l iy"], "phone")
    assert table.symbols == ("<blank>", "ao", "iy", "l", "sil")
    assert table.encode("sil  ao\tl") == [4, 1, 3]
    assert table.decode([4, 1, 3]) == "sil ao l"


PIECES = TokenTable(("<blank>", "▁a", "bc", "▁abc", "▁", "a", "b", "c"), "bpe")


def test_a_table_of_pieces() -> None:
    assert PIECES.encode("abc") == [3]
    assert PIECES.encode("  cab a\tbcb ") == [4, 7, 5, 6, 1, 4, 2, 6]
    assert PIECES.encode("") == []
    assert PIECES.decode([4, 7, 5, 6, 1, 4, 2, 6]) == "cab a bcb"
    assert PIECES.decode([2, 4, 4, 5, 4]) == "bc a"  # what a search may come up with
    assert TokenTable.from_text(PIECES.to_text(), "bpe") == PIECES


def test_a_character_without_a_piece_is_named() -> None:
    with pytest.raises(TokenError, match="'abX c': the token table has no 'X'; expected char sym"):
        PIECES.encode("abX c")
    with pytest.raises(TokenError, match=r"no 'а' \(U\+0430\); "):
        PIECES.encode("а")
    with pytest.raises(TokenError, match=r"no '▁' \(U\+2581\); "):
        PIECES.encode("a▁b")


def test_what_a_token_adds_to_a_word() -> None:
    chars = TokenTable.from_texts(["a b"], "char")
    phones = TokenTable.from_texts(["aa b"], "phone")
    found = {
        table.unit: [(table.ends_word(i), table.letters(i)) for i in range(4 if i else 3)]
        for i, table in enumerate([phones, chars, PIECES])
    }
    assert found == {
        "phone": [(False, ()), (False, ("aa",)), (False, ("b",))],
        "char": [(False, ()), (True, ()), (False, ("a",)), (False, ("b",))],
        "bpe": [(False, ()), (True, ("a",)), (False, ("b", "c")), (True, ("a", "b", "c"))],
    }
    assert (PIECES.ends_word(4), PIECES.letters(4)) == (True, ())


@given(
    st.lists(st.text("abcdeé'", min_size=1, max_size=9), min_size=1, max_size=9),
    st.text("abcdeé' ", max_size=30),
)
@settings(max_examples=60, deadline=None)
def test_pieces_round_trip(words: list[str], text: str) -> None:
    words = [*words, "abcdeé'"]
    with pytest.raises(TokenError, match="only") as raised:
        TokenTable.from_texts(words, "bpe", 10_000)
    table = TokenTable.from_texts(
        words, "bpe", int(str(raised.value).split("have only ")[1].split()[0])
    )
    assert TokenTable.from_text(table.to_text(), "bpe") == table
    for each in [text, " ".join(words)]:
        ids = table.encode(each)
        assert 0 not in ids
        assert table.decode(ids) == " ".join(each.split())
        assert table.encode(each) == ids  # remembered words are as new ones


def test_white_space_only_separates() -> None:
    table = TokenTable.from_texts(["a b"], "char")
    assert table.encode("  a \t b\n") == table.encode("a b") == [2, 1, 3]
    assert table.encode("") == table.encode("  ") == []
    assert table.decode([]) == ""


@given(TEXTS, st.sampled_from(["char", "phone"]))
@settings(max_examples=200, deadline=None)
def test_round_trips(texts: list[str], unit: str) -> None:
    table = TokenTable.from_texts(texts, unit)
    assert TokenTable.from_text(table.to_text(), unit) == table
    for text in texts:
        ids = table.encode(text)
        assert 0 not in ids
        assert table.decode(ids) == " ".join(text.split())


def test_an_unknown_symbol_is_named() -> None:
    table = TokenTable.from_texts(["ab"], "char")
    with pytest.raises(TokenError, match="'aXb': the token table has no 'X'; "):
        table.encode("aXb")
    with pytest.raises(TokenError, match=r"no 'а' \(U\+0430\); "):
        table.encode("bа")
    phones = TokenTable.from_texts(["aa b"], "phone")
    with pytest.raises(TokenError, match="'aa ax b': the token table has no 'ax'; "):
        phones.encode("aa ax b")


@pytest.mark.parametrize("token_id", [0, 3, -1])
def test_ids_without_a_symbol(token_id: int) -> None:
    table = TokenTable.from_texts(["ab"], "char")
    with pytest.raises(TokenError, match=f"token id {token_id} .*expected 1 to 2"):
        table.decode([1, token_id])


def test_the_blank_cannot_be_spelled() -> None:
    table = TokenTable.from_texts(["a b"], "phone")
    with pytest.raises(TokenError, match="no '<blank>'"):
        table.encode("a <blank> b")
    with pytest.raises(TokenError, match="'<blank>', occurs twice"):
        TokenTable.from_texts(["a <blank> b"], "phone")


def test_nothing_to_make_a_table_of() -> None:
    with pytest.raises(TokenError, match="transcripts are all empty"):
        TokenTable.from_texts(["", " "], "char")


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("", "char", "first symbol must be <blank>"),
        ("a\nb\n", "char", "first symbol must be <blank>"),
        ("<blank>\na\na\n", "char", "symbol 2, 'a', occurs twice"),
        ("<blank>\na\n\nb\n", "char", "symbol 2, '', is not a single character"),
        ("<blank>\naa\n", "char", "symbol 1, 'aa', is not a single character; use unit"),
        ("<blank>\n\t\n", "char", "symbol 1, .* is empty or holds white space"),
        ("<blank>\na b\n", "phone", "symbol 1, 'a b', is empty or holds white space"),
        ("<blank>\n\n", "phone", "symbol 1, '', is empty or holds white space"),
        ("<blank>\n \n", "phone", "white space, which separates phones"),
        ("<blank>\n \n", "bpe", "white space, which separates words"),
        ("<blank>\n▁\na\na▁\n", "bpe", "symbol 3, 'a▁', is not a piece of one word"),
        ("<blank>\na\n", "bpe", "'▁' is not among the pieces"),
        ("<blank>\n▁\nab\na\n", "bpe", "'b' is not among the pieces"),
    ],
)
def test_malformed_tables(text: str, unit: str, message: str) -> None:
    with pytest.raises(TokenError, match=message):
        TokenTable.from_text(text, unit)


def test_a_table_does_not_change() -> None:
    table = TokenTable.from_texts(["ab"], "char")
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.unit = "phone"
    assert hash(table) == hash(TokenTable.from_texts(["ba"], "char"))
