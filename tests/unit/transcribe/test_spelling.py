"""Written texts in a model's tokens."""

from __future__ import annotations

import pytest

from asrkit.data.tokens import TokenTable
from asrkit.errors import TokenError
from asrkit.transcribe.spelling import spell

LOWER = TokenTable.from_texts(["abcdefghijklmnopqrstuvwxyz 'é"], "char")
UPPER = TokenTable.from_texts(["ABCDEFGHIJKLMNOPQRSTUVWXYZ '"], "char")
PHONES = TokenTable.from_texts(["sil ah b"], "phone")


def spelling_of(text: str, tokens: TokenTable = LOWER) -> list[str]:
    """The spelling of each word; the labels between them are spaces."""
    spelled = spell(text, tokens)
    between = set(range(len(spelled.labels)))
    for start, end in spelled.bounds:
        between -= set(range(start, end))
    assert all(tokens.symbols[spelled.labels[i]] == " " for i in between)
    assert len(between) == (len(spelled.words) - 1) * (" " in tokens.symbols)
    return [tokens.decode(spelled.labels[start:end]) for start, end in spelled.bounds]


def test_a_text_in_the_tokens_is_taken_as_it_is() -> None:
    spelled = spell("  it's\tfour\n\no'clock ", LOWER)
    assert spelled.text == "it's four o'clock"
    assert spelled.words == ("it's", "four", "o'clock")
    assert list(spelled.labels) == LOWER.encode("it's four o'clock")
    assert spelled.bounds == ((0, 4), (5, 9), (10, 17))
    assert spelled.note == ""


def test_words_stay_as_they_are_written() -> None:
    text = "“Hello,” she said — it’s a well-known Café!"
    spelled = spell(text, LOWER)
    assert spelled.text == text
    assert spelled.words == ("“Hello,”", "she", "said", "it’s", "a", "well-known", "Café!")
    assert spelling_of(text) == ["hello", "she", "said", "it's", "a", "well known", "café"]
    assert spelled.note.startswith("spelled: 2 letters in the other case, ")
    for part in ('’ as "\'" (1)', "- as ' ' (1)", ", (1)", "words not aligned: — (1)"):
        assert part in spelled.note


def test_pieces_of_words() -> None:
    symbols = ("<blank>", "he", "▁he", "ll", "o", "▁", *"hewlkn'")
    table = TokenTable(symbols, "bpe")
    spelled = spell("“Hello” well-known", table)
    assert spelled.words == ("“Hello”", "well-known")
    assert [table.symbols[label] for label in spelled.labels] == [
        *("▁he", "ll", "o"),
        *("▁", "w", "e", "ll", "▁", "k", "n", "o", "w", "n"),
    ]
    assert spelled.bounds == ((0, 3), (4, 13))  # a mark alone belongs to no word
    assert "- as ' ' (1)" in spelled.note
    with pytest.raises(
        TokenError, match=r"no token for 'x' .* in 'hex'; expected ' e h k l n o w;"
    ):
        spell("hex", table)


def test_upper_case_and_letters_that_become_two() -> None:
    assert spelling_of("Straße", UPPER) == ["STRASSE"]
    assert spell("Straße", UPPER).words == ("Straße",)


def test_accents_in_either_form() -> None:
    assert spelling_of("cafe\u0301") == ["café"]
    assert spell("cafe\u0301", LOWER).words == ("cafe\u0301",)
    decomposed = TokenTable.from_texts(["cafe\u0301"], "char")
    assert spelling_of("café", decomposed) == ["cafe\u0301"]


def test_accents_and_ligatures_that_the_model_lacks() -> None:
    plain = TokenTable.from_texts(["abcdefghijklmnopqrstuvwxyz '"], "char")
    spelled = spell("Élan naïve ﬁlter", plain)
    assert spelled.words == ("Élan", "naïve", "ﬁlter")
    assert [plain.decode(spelled.labels[a:b]) for a, b in spelled.bounds] == [
        "elan",
        "naive",
        "filter",
    ]
    for part in ("É as 'e' (1)", "ï as 'i' (1)", "ﬁ as 'fi' (1)"):
        assert part in spelled.note


def test_a_table_without_space() -> None:
    table = TokenTable.from_texts(["ab"], "char")
    spelled = spell("ab b-a", table)
    assert spelled.bounds == ((0, 2), (2, 4))
    assert spelling_of("ab b-a", table) == ["ab", "ba"]


def test_what_is_said_but_cannot_be_spelled_is_named() -> None:
    with pytest.raises(TokenError) as caught:
        spell("at 5:30 pay 20 % of €5 или so", LOWER)
    message = str(caught.value)
    assert message.startswith("the model has no token for '5' (U+0035) in '5:30' and 1 more word,")
    for named in ("'3' (U+0033) in '5:30',", "'%' (U+0025) in '%'", "'€' (U+20AC) in '€5'", "'и'"):
        assert named in message
    assert message.endswith("write the text as it is said, e.g. five for 5")


def test_many_unknown_characters_are_counted() -> None:
    with pytest.raises(TokenError, match=r"'9' \(U\+0039\) in '0123456789абв' and 3 more; expect"):
        spell("0123456789абв", LOWER)


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_text(text: str) -> None:
    with pytest.raises(TokenError, match="the text '' has no words; expected what is said"):
        spell(text, LOWER)


def test_a_text_of_marks_alone() -> None:
    with pytest.raises(TokenError, match=r"the text '\.\.\. !' has no words"):
        spell("... !", LOWER)


def test_phones() -> None:
    spelled = spell("sil b ah  sil", PHONES)
    assert spelled.words == ("sil", "b", "ah", "sil")
    assert spelled.bounds == ((0, 1), (1, 2), (2, 3), (3, 4))
    assert list(spelled.labels) == PHONES.encode("sil b ah sil")
    with pytest.raises(TokenError, match=r"no token for 'B' .*, 'zh'; .* in these phones"):
        spell("sil B zh", PHONES)
