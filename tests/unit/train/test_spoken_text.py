"""Sentences as a training set."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from asrkit.data.manifest import Utterance
from asrkit.data.pronunciation import Pronunciations
from asrkit.data.tokens import TokenTable
from asrkit.errors import DataError
from asrkit.train.spoken_text import SpokenText

LEXICON = {"ab": ("A", "B"), "b": ("B",), "ba": ("B", "A"), "é": ("A",), "long": ("A",) * 30}
SPEECH = [
    Utterance("one", Path("one.wav"), 1.0, "ab ba"),  # 4 phones
    Utterance("two", Path("two.wav"), 0.5, "b"),  # and 1: 0.3 s each
    Utterance("odd", Path("odd.wav"), 2.5, "never heard"),
]
TOKENS = TokenTable.from_texts(["ab long"], "char")


def make(*paths: Path, seed: int = 0, speech: list[Utterance] = SPEECH) -> SpokenText:
    pronunciations = Pronunciations.for_texts(LEXICON, LEXICON)
    return SpokenText(list(paths), pronunciations, TOKENS, speech, seed)


def test_sentences_that_cannot_be_said_or_spelled_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("ab b\n\nab unknown\nba é\nlong\n  ba   ba \nb")
    text = make(path)
    assert (len(text), text.num_read) == (3, 7)
    found = {each.utt_id: (each.text.split(), each.duration_s) for each in text.of_epoch(0)}
    assert found == {
        "text:1": (["ab", "b"], pytest.approx(0.9)),
        "text:6": (["ba", "ba"], pytest.approx(1.2)),
        "text:7": (["b"], pytest.approx(0.3)),
    }


def test_an_epoch_lasts_as_long_as_the_speech_and_goes_on_where_the_last_ended(
    tmp_path: Path,
) -> None:
    path = tmp_path / "text"
    path.write_text("ab b\nba\nb\n" * 50)
    text = make(path)
    epochs = [text.of_epoch(number) for number in range(20)]
    for epoch in epochs:
        assert 4.0 - 0.9 <= sum(each.duration_s for each in epoch) <= 4.0
    assert epochs[3] == make(path).of_epoch(3)
    assert epochs[3] != make(path, seed=1).of_epoch(3)
    # 100 s of text are 25 epochs of 4 s; no sentence of the first comes again before.
    first = {each.utt_id for each in epochs[0]}
    assert all(first.isdisjoint(each.utt_id for each in epoch) for epoch in epochs[1:])
    assert len({each.utt_id for epoch in epochs for each in epoch}) > 100


def test_a_short_text_is_an_epoch(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("ab\nb")
    for number in range(3):
        assert {each.text for each in make(path).of_epoch(number)} == {"ab", "b"}


def test_several_texts_also_compressed(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("ab")
    (tmp_path / "two.gz").write_bytes(gzip.compress(b"ba\nb"))
    names = {each.utt_id for each in make(tmp_path / "one", tmp_path / "two.gz").of_epoch(0)}
    assert names == {"one:1", "two.gz:1", "two.gz:2"}


def test_a_text_of_other_words_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_text("AB\nBA")
    with pytest.raises(DataError, match=r"none of the 2 sentences of .*other .* upper or lower"):
        make(path)


def test_speech_of_which_nothing_is_known_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("ab")
    with pytest.raises(DataError, match=r"^data\.text: of no training utterance .*data\.lexicon"):
        make(path, speech=SPEECH[2:])
