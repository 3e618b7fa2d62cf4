"""Which letters of a word stand for which of its phones, learned from a lexicon.

Bisani and Ney (2008), "Joint-sequence models for grapheme-to-phoneme conversion", Speech
Communication 50: a word and its phones are one sequence of graphones. Here a graphone is a single
letter with none, one or two phones. Its probability does not depend on its neighbours while words
are aligned; it is found by expectation maximisation over all alignments of all words. The lattice
of a word has a state for each number of letters and phones that are behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asrkit.compiled import compiled
from asrkit.data.pronunciation import Phones
from asrkit.errors import DataError

MAX_PHONES = 2
"""Of a letter."""

_MAX_ROUNDS = 30
_LEAST_GAIN_NATS = 1e-3
"""Of the log-likelihood of a word: where a round gains less, it was the last."""
_MAX_GRAPHONES = 1 << 26
"""That letters and phones could make; each has 16 bytes while words are aligned."""
_SEPARATOR = "\u00a0"
"""Between the symbols of a graphone. It is white space, which no symbol of a lexicon can hold, but
none at which language models are split."""

Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]


class Graphone(NamedTuple):
    """A letter and its phones."""

    letter: str
    phones: Phones

    @property
    def text(self) -> str:
        """The graphone as a word of a language model."""
        return _SEPARATOR.join((self.letter, *self.phones))

    @classmethod
    def parse(cls, text: str) -> Graphone:
        """Read what `text` gives.

        Raises
        ------
        ValueError
            If it is something else.
        """
        letter, *phones = text.split(_SEPARATOR)
        if len(letter) != 1 or len(phones) > MAX_PHONES or not all(phones):
            raise ValueError(f"{text!r} is no letter with at most {MAX_PHONES} phones")
        return cls(letter, tuple(phones))


class _Words(NamedTuple):
    """Words as numba sees them: word w has the letters from `first_letter[w]` on, and so on.

    Phones are numbered from 1, so that 0 can stand for none.
    """

    letters: Int32
    phones: Int32
    first_letter: NDArray[np.int64]
    first_phone: NDArray[np.int64]
    base: int
    """One more than there are phones."""


def can_align(word: str, phones: Phones) -> bool:
    """Tell whether there are enough letters for the phones, and any phones."""
    return 0 < len(phones) <= MAX_PHONES * len(word)


def align(
    entries: Sequence[tuple[str, Phones]], on_progress: Callable[[float], None] | None = None
) -> list[tuple[Graphone, ...]]:
    """Give the likeliest alignment of each word with its phones, a graphone a letter.

    Parameters
    ----------
    entries
        Words and phones; all must be such as `can_align` accepts.
    on_progress
        Called with the share of the most rounds that there can be.

    Raises
    ------
    DataError
        If there are too many different letters and phones for each to go with each.
    """
    letters = sorted({letter for word, _ in entries for letter in word})
    phones = sorted({phone for _, phones in entries for phone in phones})
    base = len(phones) + 1
    if len(letters) * base**2 > _MAX_GRAPHONES:
        raise DataError(
            f"{len(letters)} different letters and {len(phones)} phones; expected an alphabet, "
            f"with letters x phones² up to {_MAX_GRAPHONES}; leave out words of other scripts"
        )
    letter_ids = {letter: number for number, letter in enumerate(letters)}
    phone_ids = {phone: number for number, phone in enumerate(phones, 1)}
    first_letter = np.cumsum([0, *(len(word) for word, _ in entries)])
    words = _Words(
        np.array([letter_ids[letter] for word, _ in entries for letter in word], np.int32),
        np.array([phone_ids[phone] for _, phones in entries for phone in phones], np.int32),
        first_letter,
        np.cumsum([0, *(len(phones) for _, phones in entries)]),
        base,
    )
    codes, which = np.unique(_likeliest(words, _learn(words, on_progress)), return_inverse=True)
    graphones = [
        Graphone(
            letters[code // base**2],
            tuple(phones[k - 1] for k in (code // base % base, code % base) if k),
        )
        for code in codes.tolist()
    ]
    aligned = [graphones[k] for k in which.tolist()]
    return [tuple(aligned[start:end]) for start, end in pairwise(first_letter.tolist())]


def _learn(words: _Words, on_progress: Callable[[float], None] | None) -> Float64:
    """Give the probability of each graphone by its code; all are equal at first."""
    num_graphones = (int(words.letters.max()) + 1) * words.base**2
    probs = np.full(num_graphones, 1 / num_graphones)
    log_likelihood = -np.inf
    for number in range(1, _MAX_ROUNDS + 1):
        counts = np.zeros_like(probs)
        before, log_likelihood = log_likelihood, _expect(words, probs, counts)
        probs = counts / counts.sum()
        if on_progress:
            on_progress(number / _MAX_ROUNDS)
        if number > 1 and log_likelihood - before < _LEAST_GAIN_NATS * (
            len(words.first_letter) - 1
        ):
            break
    return probs


@compiled(inline=True)
def _code(letter: int, phones: Int32, start: int, count: int, base: int) -> int:
    """Give the number of the graphone of a letter and `count` phones from `start` on."""
    first = phones[start] if count > 0 else 0
    second = phones[start + 1] if count > 1 else 0
    return (letter * base + first) * base + second


@compiled()
def _expect(words: _Words, probs: Float64, counts: Float64) -> float:
    """Add the expected number of each graphone to `counts`; give the log-likelihood in nats.

    Each letter is one step, so the states after as many letters are scaled to sum to 1.
    """
    log_likelihood = 0.0
    for w in range(len(words.first_letter) - 1):
        letters = words.letters[words.first_letter[w] : words.first_letter[w + 1]]
        phones = words.phones[words.first_phone[w] : words.first_phone[w + 1]]
        n, m = len(letters), len(phones)
        forward, backward = np.zeros((n + 1, m + 1)), np.zeros((n + 1, m + 1))
        scales = np.ones(n + 1)
        forward[0, 0] = 1.0
        for i in range(1, n + 1):
            total = 0.0
            for j in range(max(0, m - MAX_PHONES * (n - i)), min(m, MAX_PHONES * i) + 1):
                for k in range(min(j, MAX_PHONES) + 1):
                    if forward[i - 1, j - k] > 0:
                        code = _code(letters[i - 1], phones, j - k, k, words.base)
                        forward[i, j] += forward[i - 1, j - k] * probs[code]
                total += forward[i, j]
            forward[i] /= total
            scales[i] = total
            log_likelihood += np.log(total)
        backward[n, m] = 1.0
        for i in range(n, 0, -1):
            for j in range(m + 1):
                if backward[i, j] > 0:
                    for k in range(min(j, MAX_PHONES) + 1):
                        if forward[i - 1, j - k] > 0:
                            code = _code(letters[i - 1], phones, j - k, k, words.base)
                            behind = probs[code] * backward[i, j] / scales[i]
                            backward[i - 1, j - k] += behind
                            counts[code] += forward[i - 1, j - k] * behind
    return log_likelihood


@compiled()
def _likeliest(words: _Words, probs: Float64) -> Int32:
    """Give the code of each letter's graphone, in the likeliest alignment of each word."""
    codes = np.empty(len(words.letters), np.int32)
    log_probs = np.log(probs)
    for w in range(len(words.first_letter) - 1):
        start = words.first_letter[w]
        letters = words.letters[start : words.first_letter[w + 1]]
        phones = words.phones[words.first_phone[w] : words.first_phone[w + 1]]
        n, m = len(letters), len(phones)
        best = np.full((n + 1, m + 1), -np.inf)
        taken = np.zeros((n + 1, m + 1), np.int32)
        best[0, 0] = 0.0
        for i in range(1, n + 1):
            for j in range(m + 1):
                for k in range(min(j, MAX_PHONES) + 1):
                    code = _code(letters[i - 1], phones, j - k, k, words.base)
                    score = best[i - 1, j - k] + log_probs[code]
                    if score > best[i, j]:
                        best[i, j], taken[i, j] = score, k
        j = m
        for i in range(n, 0, -1):
            k = taken[i, j]
            j -= k
            codes[start + i - 1] = _code(letters[i - 1], phones, j, k, words.base)
    return codes
