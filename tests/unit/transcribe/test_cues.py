"""The limits of a cue hold whatever was said, and cuts are where a reader wants them."""

from __future__ import annotations

from itertools import combinations, pairwise
from textwrap import wrap

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asrkit.decode.hypothesis import TimedWord
from asrkit.transcribe.cues import Cue, make_cues


def say(*timed: tuple[int, int, str], start_ms: int = 0) -> list[TimedWord]:
    """Say words, each after a pause and for a time, in ms."""
    words = []
    for pause_ms, length_ms, text in timed:
        start_ms += pause_ms
        words.append(TimedWord(text, start_ms / 1000, (start_ms + length_ms) / 1000, 1.0))
        start_ms += length_ms
    return words


def say_evenly(text: str, length_ms: int = 300, pause_ms: int = 100) -> list[TimedWord]:
    return say(*((pause_ms, length_ms, word) for word in text.split()))


def lines_of(words: list[TimedWord]) -> list[tuple[str, ...]]:
    return [cue.lines for cue in make_cues(words)]


speech = st.lists(
    st.tuples(
        st.integers(0, 300) | st.integers(0, 9000),
        st.integers(1, 700) | st.integers(1, 20000),
        st.text("abc<é", min_size=1, max_size=12) | st.text("abc", min_size=1, max_size=200),
    ),
    max_size=40,
).map(lambda timed: say(*timed))


@given(speech)
@settings(max_examples=150, deadline=None)
def test_limits(words: list[TimedWord]) -> None:
    cues = make_cues(words)
    for cue in cues:
        assert 1 <= len(cue.lines) <= 2
        assert all(1 <= len(line) <= 42 and line == " ".join(line.split()) for line in cue.lines)
        assert len(cue.lines) == 1 or len(" ".join(cue.lines)) > 42
        assert 0 < cue.end_ms - cue.start_ms <= 7000
    for cue, following in pairwise(cues):
        assert cue.end_ms <= following.start_ms
        assert cue.end_ms - cue.start_ms >= 1000 or cue.end_ms == following.start_ms
    if cues:
        assert cues[-1].end_ms - cues[-1].start_ms >= 1000
    text = "".join("".join(cue.lines) for cue in cues).replace(" ", "")
    assert text == "".join(word.word for word in words)


fast_speech = st.lists(
    st.tuples(
        st.integers(0, 800),
        st.integers(1, 400) | st.integers(1, 4000),
        st.text("abc", min_size=1, max_size=42),
    ),
    min_size=1,
    max_size=9,
).map(lambda timed: say(*timed))


@given(fast_speech)
@example(say_evenly(" ".join(["a" * 40] * 9), 200, 0))
@settings(max_examples=100, deadline=None)
def test_no_more_short_cues_than_necessary(words: list[TimedWord]) -> None:
    cues = make_cues(words)
    cuts = []
    for cue in cues:
        cuts.append((cuts[-1] if cuts else 0) + len(" ".join(cue.lines).split()))
    assert [text for cue in cues for text in " ".join(cue.lines).split()] == [w.word for w in words]
    starts_ms = [round(1000 * word.start_s) for word in words]
    assert [cue.start_ms for cue in cues] == [starts_ms[cut] for cut in [0, *cuts[:-1]]]
    every_way = [
        [0, *inner, len(words)]
        for size in range(len(words))
        for inner in combinations(range(1, len(words)), size)
    ]
    fewest = min(
        count_short(words, way)
        for way in every_way
        if all(can_be_a_cue(words[first:stop]) for first, stop in pairwise(way))
    )
    assert sum(cue.end_ms - cue.start_ms < 1000 for cue in cues) == fewest


def can_be_a_cue(words: list[TimedWord]) -> bool:
    lines = wrap(" ".join(word.word for word in words), 42)
    span_s = words[-1].end_s - words[0].start_s
    return len(lines) <= 2 and (len(words) == 1 or round(span_s, 3) <= 7)


def count_short(words: list[TimedWord], way: list[int]) -> int:
    starts_s = [words[cut].start_s for cut in way[:-1]]
    return sum(round(after - before, 3) < 1 for before, after in pairwise(starts_s))


def test_cuts_fall_into_pauses() -> None:
    words = say_evenly("the first words are these")
    words += say((800, 300, "and"), (100, 300, "these"), (100, 300, "follow"), start_ms=2000)
    assert lines_of(words) == [("the first words are these",), ("and these follow",)]
    first, second = make_cues(words)
    assert (first.start_ms, first.end_ms) == (100, 2000)
    assert (second.start_ms, second.end_ms) == (2800, 3900)


def test_a_small_pause_decides_where_there_must_be_a_cut() -> None:
    before, after = ["word"] * 8, ["other"] * 11
    words = say(
        *((50, 200, word) for word in before),
        (250, 200, after[0]),
        *((50, 200, word) for word in after[1:]),
    )
    assert lines_of(words) == [
        ("word word word word word word word word",),
        ("other other other other other", "other other other other other other"),
    ]


def test_without_pauses_cues_and_lines_are_equal() -> None:
    lines = lines_of(say_evenly(" ".join(["word"] * 30), 200, 0))
    assert [[len(line.split()) for line in two] for two in lines] == [[7, 8], [7, 8]]


def test_one_line_is_not_broken_and_two_are_balanced() -> None:
    assert lines_of(say_evenly("a" * 20 + " " + "b" * 21)) == [("a" * 20 + " " + "b" * 21,)]
    assert lines_of(say_evenly("he said that nothing of the kind had happened")) == [
        ("he said that nothing of", "the kind had happened")
    ]


def test_a_line_holds_42_characters() -> None:
    full = "a" * 20 + " " + "b" * 21
    assert lines_of(say_evenly(f"{full} {full}")) == [(full, full)]
    assert len(lines_of(say_evenly(f"{full} {full}b"))) == 2
    assert len(lines_of(say_evenly(f"{full}b {full}"))) == 2


def test_a_short_cue_stays_for_a_second_or_until_the_next() -> None:
    assert make_cues(say((500, 200, "yes"))) == [Cue(500, 1500, ("yes",))]
    words = say((500, 200, "yes"), (5000, 300, "no"))
    assert [(cue.start_ms, cue.end_ms) for cue in make_cues(words)] == [(500, 1500), (5700, 6700)]
    # Too fast for anything better: three long words do not fit on two lines.
    words = say(*((0, 300, letter * 40) for letter in "abc"))
    assert [(c.start_ms, c.end_ms) for c in make_cues(words)] == [(0, 300), (300, 1300)]


def test_words_that_would_be_on_screen_too_briefly_are_joined() -> None:
    words = say((0, 200, "yes"), (750, 300, "i"), (50, 300, "think"), (50, 300, "so"))
    assert lines_of(words) == [("yes i think so",)]


def test_seven_seconds() -> None:
    assert make_cues(say((1000, 9000, "aaah"))) == [Cue(1000, 8000, ("aaah",))]
    words = say((0, 3400, "so"), (200, 3400, "long"))
    assert make_cues(words) == [Cue(0, 7000, ("so long",))]
    words = say((0, 3400, "so"), (201, 3400, "long"))
    assert [cue.lines for cue in make_cues(words)] == [("so",), ("long",)]


def test_a_word_too_long_for_a_line() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    (cue,) = make_cues(say((0, 2000, letters * 2)))
    assert cue == Cue(0, 2000, (letters, letters))
    # 100 characters are three parts of 34, 34 and 32, in two cues; each character lasts 30 ms.
    first, second = make_cues(say((0, 3000, "x" * 100)))
    assert sorted(len(line) for cue in (first, second) for line in cue.lines) == [32, 34, 34]
    assert first.end_ms == second.start_ms == 30 * len("".join(first.lines))
    assert second.end_ms == 3000


def test_a_part_of_a_long_word_shares_a_line_with_other_words() -> None:
    (cue,) = make_cues(say((0, 300, "in"), (0, 3000, "y" * 43), (0, 300, "town")))
    assert cue.lines == ("in " + "y" * 22, "y" * 21 + " town")


def test_nothing_said() -> None:
    assert make_cues([]) == []
    assert make_cues([TimedWord(" ", 0.0, 1.0, 0.5)]) == []


def test_white_space_in_a_word_separates_words() -> None:
    assert lines_of(say((0, 1000, "new\n york\t"))) == [("new york",)]


@pytest.mark.parametrize("text", ["a", "z" * 42, "z" * 200])
def test_words_out_of_order_still_give_times_in_order(text: str) -> None:
    words = [TimedWord(text, start_s, start_s + 0.5, 1.0) for start_s in (2.0, 1.0, 1.0, 0.0, 1.9)]
    cues = make_cues(words)
    assert all(cue.start_ms < cue.end_ms for cue in cues)
    assert all(cue.end_ms <= following.start_ms for cue, following in pairwise(cues))
    assert len("".join("".join(cue.lines) for cue in cues).replace(" ", "")) == 5 * len(text)
