"""Words and phrases to favour: an automaton over letters that hands out their weights.

It follows all phrases at once (Aho and Corasick 1975). A phrase is its letters with a boundary
before, between and after its words, so that only whole words are found; where a lexicon spells
several words alike, one is favoured as much as another. Its weight is handed out in equal shares as
it goes along, or the beam would lose it before its end; what fails midway gives its shares back. So
what a state has handed out for unfinished phrases is a potential of the state, and what is final is
a credit for reaching it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, product

import numpy as np
from numpy.typing import NDArray

from asrkit.decode.lexicon import Letters
from asrkit.errors import UsageError

_MAX_WAYS = 1000
"""To spell a phrase: their number grows exponentially with the words that have several."""
_MAX_LETTERS = 100_000
"""Of all phrases as they are spelled: each takes some 500 bytes while the automaton is built."""
BOUNDARY = -1
"""Stands among the letters for the end of a word and the beginning of the next."""


@dataclass(frozen=True)
class Hotword:
    """A word or phrase and its weight, which is above 0."""

    phrase: str
    weight: float


def parse_hotword(text: str, default_weight: float) -> Hotword | None:
    """Read `phrase` or `phrase:weight`; nothing if it weighs nothing.

    Raises
    ------
    UsageError
        If there is no phrase, or the weight is no number, negative or infinite.
    """
    phrase, colon, number = text.rpartition(":")
    if not colon:
        phrase, number = text, str(default_weight)
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not phrase.split() or not 0 <= weight < math.inf:
        raise UsageError(
            f"hotword {text!r}: expected a phrase, or phrase:weight with a weight of at least 0"
        )
    return Hotword(" ".join(phrase.split()), weight) if weight > 0 else None


def forms_of(word: str) -> tuple[str, str]:
    """Give what a word of a phrase may stand for, in turn: itself, or itself in lower case."""
    return word, word.lower()


@dataclass(frozen=True)
class HotwordAutomaton:
    """States that know how far each phrase has come.

    Attributes
    ----------
    column : int32 array, shape (letters + 1,)
        Of each letter in `next_state`; the last is the boundary's. Letters of no phrase share one.
    next_state : int32 array, shape (states, columns)
    potential, credit : float64 array, shape (states,)
        Nats lent to unfinished phrases in a state, and granted for reaching it.
    gain : float64 array, shape (states,)
        The most that one letter or boundary can add, lent and granted, at least 0.
    start : int
        The state at the beginning, where a word may begin.
    """

    column: NDArray[np.int32]
    next_state: NDArray[np.int32]
    potential: NDArray[np.float64]
    credit: NDArray[np.float64]
    gain: NDArray[np.float64]
    start: int

    @classmethod
    def build(
        cls,
        hotwords: Sequence[Hotword],
        spell: Callable[[str], Sequence[Letters]],
        num_letters: int,
    ) -> HotwordAutomaton:
        """Build the automaton of some phrases.

        Parameters
        ----------
        hotwords
            If one stands there twice, its highest weight counts.
        spell
            Gives the spellings of a word.
        num_letters
            That there are.

        Raises
        ------
        UsageError
            If a word has no spelling, a phrase too many, or all of them too many letters.
        """
        weights: dict[Letters, float] = {}
        for hotword in hotwords:
            words = hotword.phrase.split()
            spellings = [spell(word) for word in words]
            for word, found in zip(words, spellings, strict=True):
                if not found:
                    raise UsageError(
                        f"hotword {hotword.phrase!r}: the model's tokens cannot spell {word!r}, or "
                        "its lexicon lacks it; write it with letters the model knows, add a line "
                        "for it to the lexicon, name a decode.pronouncer that guesses its phones, "
                        "or leave it out"
                    )
            num_ways = math.prod(map(len, spellings))
            if num_ways > _MAX_WAYS:
                raise UsageError(
                    f"hotword {hotword.phrase!r}: its words can be spelled in {num_ways} ways; "
                    f"expected at most {_MAX_WAYS}; favour fewer words at once"
                )
            for several in product(*spellings):
                ended = ((*each, BOUNDARY) for each in several)
                path: Letters = (BOUNDARY, *chain.from_iterable(ended))
                weights[path] = max(hotword.weight, weights.get(path, 0.0))
        if (letters := sum(map(len, weights))) > _MAX_LETTERS:
            raise UsageError(
                f"hotwords: {letters} letters and boundaries together; expected at most "
                f"{_MAX_LETTERS}; favour fewer or shorter phrases"
            )
        used = sorted({letter for path in weights for letter in path if letter != BOUNDARY})
        column = np.zeros(num_letters + 1, np.int32)
        column[used] = np.arange(1, len(used) + 1)
        column[BOUNDARY] = len(used) + 1
        return cls._from_paths({tuple(column[[*path]]): w for path, w in weights.items()}, column)

    @classmethod
    def _from_paths(
        cls, weights: dict[tuple[int, ...], float], column: NDArray[np.int32]
    ) -> HotwordAutomaton:
        children: list[dict[int, int]] = [{}]
        lent, granted = [0.0], [0.0]
        for path, weight in weights.items():
            node = 0
            for depth, symbol in enumerate(path):
                # The first boundary is shared by all words, so it earns nothing.
                lent[node] = max(lent[node], weight * max(0, depth - 1) / (len(path) - 1))
                if symbol not in children[node]:
                    children[node][symbol] = len(children)
                    children.append({})
                    lent.append(0.0)
                    granted.append(0.0)
                node = children[node][symbol]
            granted[node] = weight
        potential, credit = np.array(lent), np.array(granted)
        next_state = np.zeros((len(children), int(column.max()) + 1), np.int32)
        fallback = [0] * len(children)
        waiting = deque([0])
        while waiting:  # from the root down, so that what a state falls back to is complete
            node = waiting.popleft()
            if node:
                next_state[node] = next_state[fallback[node]]
                potential[node] = max(potential[node], potential[fallback[node]])
                credit[node] += credit[fallback[node]]
            for symbol, child in children[node].items():
                fallback[child] = int(next_state[node, symbol]) if node else 0
                next_state[node, symbol] = child
                waiting.append(child)
        after = (potential + credit)[next_state]
        gain = np.maximum(after.max(axis=1) - potential, 0.0)
        start = int(next_state[0, column[BOUNDARY]])
        return cls(column, next_state, potential, credit, gain, start)

    def factors(self) -> NDArray[np.float64]:
        """Give e to what each step adds, lent and granted, in the shape of `next_state`."""
        after = (self.potential + self.credit)[self.next_state]
        with np.errstate(over="ignore"):  # of a weight beyond all measure
            factors: NDArray[np.float64] = np.exp(after - self.potential[:, None])
        return factors
