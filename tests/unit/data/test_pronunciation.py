"""Lexicons are read line by line, and transcripts become phones by them."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrkit.data.pronunciation import Pronunciations, read_pronunciations
from asrkit.errors import TokenError

LEXICON = {"the": ("dh", "ah"), "cat": ("k", "ae", "t"), "dog": ("d", "ao", "g")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lexicon.txt"


@pytest.fixture
def pronunciations() -> Pronunciations:
    return Pronunciations.for_texts(["the cat", "the bird"], LEXICON)


# --- files


def test_of_several_lines_for_a_word_the_first_counts(path: Path) -> None:
    path.write_text("the dh ah\n\nže\tž  e\n  \nthe dh iy\n", "utf-8-sig")
    assert read_pronunciations(path) == {"the": ("dh", "ah"), "že": ("ž", "e")}


def test_a_word_without_phones_names_file_and_line(path: Path) -> None:
    path.write_text("the dh ah\n\ncat\n")
    with pytest.raises(TokenError) as caught:
        read_pronunciations(path)
    assert str(caught.value).startswith(f"{path}:3: 'cat' has no phones; expected a word and its")


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_no_words(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(TokenError, match=rf"^{path}: no words; expected a word and its phones"):
        read_pronunciations(path)


def test_what_cannot_be_read(path: Path) -> None:
    with pytest.raises(TokenError, match=rf"^{path}: cannot be read as a lexicon: .*No such file"):
        read_pronunciations(path)
    path.write_bytes(b"the dh \xff\n")
    with pytest.raises(TokenError, match=rf"^{path}: cannot be read as a lexicon: .*utf-8"):
        read_pronunciations(path)


def test_round_trip(path: Path, pronunciations: Pronunciations) -> None:
    path.write_text(pronunciations.to_text())
    assert Pronunciations.read(path) == pronunciations


# --- transcripts


def test_what_the_transcripts_need_is_kept(pronunciations: Pronunciations) -> None:
    assert pronunciations.phones_of == {"cat": ("k", "ae", "t"), "the": ("dh", "ah")}
    assert pronunciations.table.symbols == ("<blank>", "ae", "ah", "dh", "k", "t")
    assert pronunciations.table.unit == "phone"


def test_of_further_texts_words_of_the_same_phones_are_kept() -> None:
    lexicon = {**LEXICON, "tack": ("t", "ae", "k"), "cab": ("k", "ae", "b")}
    found = Pronunciations.for_texts(["the cat", "the bird"], lexicon, ["tack the cab", "cat"])
    assert found.phones_of.keys() == {"cat", "the", "tack"}
    assert found.table.symbols == ("<blank>", "ae", "ah", "dh", "k", "t")


def test_a_lexicon_with_none_of_the_words() -> None:
    with pytest.raises(TokenError, match=r"^data\.lexicon: holds none of the words .* lower case"):
        Pronunciations.for_texts(["THE CAT", ""], LEXICON)


@pytest.mark.parametrize(
    ("text", "ids"),
    [(" the  cat", [3, 2, 4, 1, 5]), ("cat the", [4, 1, 5, 3, 2]), ("the bird", []), ("", [])],
)
def test_phones_of_a_transcript(pronunciations: Pronunciations, text: str, ids: list[int]) -> None:
    assert pronunciations.encode(text) == ids
