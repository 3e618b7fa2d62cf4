"""Hypotheses of parts become one of the whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asrkit.decode.hypothesis import Hypothesis, TimedToken, WordSpan
from asrkit.transcribe.joining import joined, shifted


def hypothesis(text: str, start_s: float = 0.0, log_prob: float = -1.0) -> Hypothesis:
    tokens = [
        TimedToken(letter, start_s + 0.1 * n, start_s + 0.1 * (n + 1), 0.5)
        for n, letter in enumerate(text)
    ]
    return Hypothesis(text, "char", tuple(tokens), log_prob)


def test_shifted() -> None:
    before = replace(hypothesis("ab"), alternatives=(hypothesis("c"),))
    after = shifted(before, 2.0)
    assert [(t.token, t.start_s) for t in after.tokens] == [("a", 2.0), ("b", 2.1)]
    assert after.tokens[1].end_s == pytest.approx(2.2)
    assert after.alternatives[0].tokens[0].start_s == 2.0
    assert (after.text, after.log_prob) == ("ab", -1.0)
    assert shifted(before, 0.0) == before


def test_one_part_stays_what_it_is() -> None:
    only = replace(hypothesis(" a "), alternatives=(hypothesis("b"),))
    assert joined([only]) is only


def test_letters_are_joined_by_a_space() -> None:
    whole = joined([hypothesis("ab c"), hypothesis(""), hypothesis("de", 5.0, -2.5)])
    assert whole.text == "ab c de"
    assert "".join(token.token for token in whole.tokens) == "ab c de"
    assert [word.word for word in whole.words] == ["ab", "c", "de"]
    assert [word.start_s for word in whole.words] == pytest.approx([0.0, 0.3, 5.0])
    assert (whole.tokens[4].start_s, whole.tokens[4].end_s) == (0.4, 5.0)
    assert whole.log_prob == -4.5
    assert (whole.score, whole.lm_log_prob, whole.read) == (None, None, None)


def test_spaces_at_the_seam_are_not_doubled() -> None:
    whole = joined([hypothesis("a "), hypothesis(" b", 1.0), hypothesis(" ", 2.0)])
    assert whole.text == "a b"
    assert [word.word for word in whole.words] == ["a", "b"]


def test_nothing_said() -> None:
    whole = joined([hypothesis(""), hypothesis("")])
    assert (whole.text, whole.tokens, whole.log_prob) == ("", (), -2.0)


def test_pieces_of_two_parts_make_no_word_together() -> None:
    parts = [hypothesis("▁ab"), hypothesis("c▁d", 1.0)]
    whole = joined([replace(part, unit="bpe", text=part.text.replace("▁", " ")) for part in parts])
    assert whole.text == "ab c d"
    assert [word.word for word in whole.words] == ["ab", "c", "d"]
    assert [word.start_s for word in whole.words] == pytest.approx([0.1, 1.0, 1.2])


def test_phones_have_no_spaces() -> None:
    parts = [replace(hypothesis("a"), unit="phone"), replace(hypothesis("b", 1.0), unit="phone")]
    whole = joined(parts)
    assert (whole.text, [word.word for word in whole.words]) == ("a b", ["a", "b"])


def test_pieces_of_words_do_not_run_together() -> None:
    def of(*pieces: str, start_s: float) -> Hypothesis:
        tokens = tuple(TimedToken(piece, start_s, start_s + 0.1, 0.5) for piece in pieces)
        return Hypothesis("".join(pieces).replace("▁", " ").strip(), "bpe", tokens, -1.0)

    whole = joined([of("▁a", "b", start_s=0), of("c", "▁d", start_s=1), of("▁e", start_s=2)])
    assert whole.text == "ab c d e"
    assert [word.word for word in whole.words] == ["ab", "c", "d", "e"]


def test_words_of_a_lexicon_and_scores() -> None:
    first = replace(hypothesis("ab"), read=(WordSpan("AB", 0, 2),), score=-1.5, lm_log_prob=-1.0)
    second = replace(
        hypothesis("cd", 3.0),
        text="C D",
        read=(WordSpan("C", 0, 1), WordSpan("D", 1, 2)),
        score=-2.0,
        lm_log_prob=-0.25,
    )
    whole = joined([replace(first, text="AB"), second])
    assert whole.text == "AB C D"
    assert [(w.word, w.start_s) for w in whole.words] == [("AB", 0.0), ("C", 3.0), ("D", 3.1)]
    assert (whole.score, whole.lm_log_prob) == (-3.5, -1.25)


def test_alternatives_of_parts_are_not_those_of_the_whole() -> None:
    part = replace(hypothesis("a"), alternatives=(hypothesis("b"),))
    assert joined([part, part]).alternatives == ()
