"""Alignments of letters and phones against all alignments, one by one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.errors import DataError
from asrkit.pronounce import graphones
from asrkit.pronounce.graphones import Graphone, align, can_align

Phones = tuple[str, ...]
entries = st.lists(
    st.tuples(st.text("ab", min_size=1, max_size=3), st.lists(st.sampled_from("xyz"), max_size=5))
    .map(lambda entry: (entry[0], tuple(entry[1])))
    .filter(lambda entry: can_align(*entry)),
    min_size=1,
    max_size=4,
)


def alignments(word: str, phones: Phones) -> Iterator[tuple[Graphone, ...]]:
    if not word:
        if not phones:
            yield ()
        return
    for count in range(min(2, len(phones)) + 1):
        for rest in alignments(word[1:], phones[count:]):
            yield (Graphone(word[0], phones[:count]), *rest)


def learn_by_hand(lexicon: list[tuple[str, Phones]]) -> dict[Graphone, float]:
    """Expectation maximisation over all alignments, from equal probabilities."""
    num_phones = len({phone for _, phones in lexicon for phone in phones})
    num_letters = len({letter for word, _ in lexicon for letter in word})
    probs = dict.fromkeys(
        [each for entry in lexicon for path in alignments(*entry) for each in path],
        1 / (num_letters * (num_phones + 1) ** 2),
    )
    log_likelihood = -math.inf
    for number in range(graphones._MAX_ROUNDS):
        counts: Counter[Graphone] = Counter()
        before, log_likelihood = log_likelihood, 0.0
        for entry in lexicon:
            weights = {path: math.prod(probs[each] for each in path) for path in alignments(*entry)}
            total = sum(weights.values())
            log_likelihood += math.log(total)
            for path, weight in weights.items():
                for each in path:
                    counts[each] += weight / total  # type: ignore[assignment]
        all_counts = sum(counts.values())
        probs = {each: counts[each] / all_counts for each in probs}
        if number and log_likelihood - before < graphones._LEAST_GAIN_NATS * len(lexicon):
            break
    return probs


@settings(max_examples=150, deadline=None)
@given(entries)
def test_alignments_are_the_likeliest_of_all(lexicon: list[tuple[str, Phones]]) -> None:
    probs = learn_by_hand(lexicon)
    for (word, phones), aligned in zip(lexicon, align(lexicon), strict=True):
        assert "".join(each.letter for each in aligned) == word
        assert tuple(phone for each in aligned for phone in each.phones) == phones
        best = max(math.prod(probs[each] for each in path) for path in alignments(word, phones))
        assert math.prod(probs[each] for each in aligned) == pytest.approx(best, rel=1e-6)


def test_what_a_letter_says_is_found() -> None:
    lexicon = [("tax", "taks"), ("at", "at"), ("tat", "tat"), ("thy", "Ti"), ("thaty", "Tati")]
    aligned = align([(word, tuple(phones)) for word, phones in lexicon])
    assert aligned[0] == (
        Graphone("t", ("t",)),
        Graphone("a", ("a",)),
        Graphone("x", ("k", "s")),
    )
    assert sum(each.phones == () for each in aligned[4]) == 1


def test_long_words_do_not_vanish() -> None:
    word, phones = "ab" * 400, tuple("xy" * 400)
    (aligned,) = align([(word, phones)])
    assert tuple(phone for each in aligned for phone in each.phones) == phones


def test_progress_is_told_in_rising_shares() -> None:
    shares: list[float] = []
    align([("ab", ("x", "y"))], shares.append)
    assert shares == sorted(shares)
    assert 0 < shares[0] <= shares[-1] <= 1


@pytest.mark.parametrize(
    ("word", "phones", "can"),
    [("ab", "wxyz", True), ("ab", "vwxyz", False), ("ab", "", False), ("ab", "x", True)],
)
def test_what_can_be_aligned(word: str, phones: str, can: bool) -> None:
    assert can_align(word, tuple(phones)) == can


def test_a_script_that_is_no_alphabet_is_refused_before_it_takes_memory() -> None:
    word = "".join(map(chr, range(0x4E00, 0x4E00 + 4000)))
    with pytest.raises(DataError, match=r"^4000 different letters and 200 phones; expected an alp"):
        align([(word, tuple(f"p{n}" for n in range(200)))])


@pytest.mark.parametrize(
    "graphone", [Graphone("x", ("k", "s")), Graphone("e", ()), Graphone("|", ("+", "a|b"))]
)
def test_a_graphone_as_text(graphone: Graphone) -> None:
    assert Graphone.parse(graphone.text) == graphone
    assert len(graphone.text.encode().split()) == 1  # a word for language models


@pytest.mark.parametrize("text", ["", "word", "a\u00a0b\u00a0c\u00a0d", "a\u00a0", "ab\u00a0x"])
def test_what_is_no_graphone(text: str) -> None:
    with pytest.raises(ValueError, match="is no letter with at most 2 phones"):
        Graphone.parse(text)
