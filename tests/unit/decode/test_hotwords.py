from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.decode.hotwords import BOUNDARY, Hotword, HotwordAutomaton, parse_hotword
from asrkit.errors import UsageError

words = st.text("abc", min_size=1, max_size=3)
phrases = st.lists(words, min_size=1, max_size=2).map(" ".join)


def build(hotwords: list[Hotword]) -> HotwordAutomaton:
    return HotwordAutomaton.build(
        hotwords, lambda word: [tuple("abc".index(letter) for letter in word)], num_letters=3
    )


@settings(max_examples=100, deadline=None)
@given(weights=st.dictionaries(phrases, st.integers(1, 9), max_size=4), said=st.lists(words))
def test_it_credits_the_phrases_that_are_said(weights: dict[str, int], said: list[str]) -> None:
    automaton = build([Hotword(phrase, weight) for phrase, weight in weights.items()])
    state, credit = automaton.start, 0.0
    assert automaton.potential[state] == 0
    for word in said:
        for symbol in [*("abc".index(letter) for letter in word), BOUNDARY]:
            before = automaton.potential[state]
            gain = automaton.gain[state]
            state = automaton.next_state[state, automaton.column[symbol]]
            credit += automaton.credit[state]
            assert 0 <= automaton.potential[state] <= max(weights.values(), default=0)
            rise = automaton.potential[state] + automaton.credit[state] - before
            assert rise <= gain + 1e-12
    expected = sum(
        weight * (said[at : at + len(phrase.split())] == phrase.split())
        for phrase, weight in weights.items()
        for at in range(len(said))
    )
    assert credit == expected


def test_what_fails_midway_gives_its_shares_back() -> None:
    automaton = build([Hotword("abc", 8.0)])
    state, potentials = automaton.start, []
    for letter in (0, 1, 0):
        state = automaton.next_state[state, automaton.column[letter]]
        potentials.append(automaton.potential[state])
    assert potentials == [2.0, 4.0, 0.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("new  york", Hotword("new york", 5.0)),
        ("new york:2.5", Hotword("new york", 2.5)),
        ("a:b:1", Hotword("a:b", 1.0)),
        ("quiet:0", None),
    ],
)
def test_a_hotword_may_have_a_weight_of_its_own(text: str, expected: Hotword | None) -> None:
    assert parse_hotword(text, 5.0) == expected


@pytest.mark.parametrize("text", ["", "  ", ":3", "word:much", "word:-1", "word:inf", "word:nan"])
def test_malformed_hotwords_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="hotword"):
        parse_hotword(text, 5.0)


def test_a_word_that_cannot_be_spelled_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'hi xy': the model's tokens cannot spell 'xy'"):
        HotwordAutomaton.build(
            [Hotword("hi xy", 1.0)], lambda word: [(0,)] if word == "hi" else [], num_letters=1
        )


def test_too_many_letters_are_refused() -> None:
    phrases = [Hotword("a " * count, 1.0) for count in range(30_000, 30_002)]
    with pytest.raises(UsageError, match=r"hotwords: 120004 letters .* expected at most 100000"):
        HotwordAutomaton.build(phrases, lambda _: [(0,)], num_letters=1)
