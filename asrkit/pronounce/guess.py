"""The likeliest phones of a word, by a model of `asrkit.pronounce.learn`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrkit.compiled import compiled
from asrkit.data.pronunciation import Phones
from asrkit.errors import LanguageModelError, TokenError
from asrkit.lm.model_file import load_ngram
from asrkit.lm.ngram import SENTENCE_END, SENTENCE_START, UNKNOWN, NGramArrays, NGramModel, step
from asrkit.pronounce.graphones import Graphone

BEAM_SIZE = 16
BEAM_NATS = 8.0
"""What is less likely than the best by more is given up."""

Int32 = NDArray[np.int32]


class Pronouncer:
    """Spells words in phones.

    Parameters
    ----------
    model
        Whose words are graphones.
    beam_size, beam_nats
        How many states are followed at most, and how far behind the likeliest.

    Raises
    ------
    LanguageModelError
        If a word of the model is no graphone, or none has phones.
    """

    def __init__(
        self, model: NGramModel, beam_size: int = BEAM_SIZE, beam_nats: float = BEAM_NATS
    ) -> None:
        self._model, self._beam_size, self._beam_nats = model, beam_size, beam_nats
        self._phones: dict[int, Phones] = {}
        by_letter: dict[str, list[int]] = {}
        for number, text in enumerate(model.words):
            if text in {UNKNOWN, SENTENCE_START, SENTENCE_END}:
                continue
            try:
                letter, phones = Graphone.parse(text)
            except ValueError as error:
                raise LanguageModelError(f"the word {error}") from None
            self._phones[number] = phones
            by_letter.setdefault(letter, []).append(number)
        if not any(self._phones.values()):
            raise LanguageModelError("no letter has phones")
        self._letter_ids = {letter: number for number, letter in enumerate(by_letter)}
        self._graphones = np.array([k for ids in by_letter.values() for k in ids], np.int32)
        self._bounds = np.cumsum([0, *map(len, by_letter.values())]).astype(np.int32)

    @classmethod
    def load(cls, path: Path) -> Pronouncer:
        """Read a file of `asrkit lexicon learn`.

        Raises
        ------
        LanguageModelError
            If it is none, or damaged.
        """
        try:
            return cls(load_ngram(path))
        except LanguageModelError as error:
            reason = str(error).removeprefix(f"{path}: ")
            raise LanguageModelError(
                f"{path}: tells no pronunciations: {reason}; make it by `asrkit lexicon learn`"
            ) from error

    def knows(self, word: str) -> bool:
        """Tell whether it has learned all letters of a word."""
        return self._letter_ids.keys() >= set(word)

    def guess(self, word: str) -> Phones:
        """Give the likeliest phones of a word, at least one.

        Raises
        ------
        TokenError
            If the model does not know a letter of it, or it is silent.
        """
        for letter in word:
            if letter not in self._letter_ids:
                raise TokenError(
                    f"{word!r}: no word that was learned from has the letter {letter!r}; write it "
                    "with others"
                )
        letters = np.array([self._letter_ids[letter] for letter in word], np.int32)
        path = _likeliest(
            self._model.arrays,
            (self._model.start_state, self._model.end_id),
            self._graphones,
            self._bounds,
            letters,
            self._beam_size,
            self._beam_nats,
        )
        phones = tuple(phone for number in path.tolist() for phone in self._phones[number])
        if not phones:
            raise TokenError(f"{word!r}: is silent by its letters; expected a word that is spoken")
        return phones


@compiled()
def _likeliest(
    lm: NGramArrays,
    ends: tuple[int, int],
    graphones: Int32,
    bounds: Int32,
    letters: Int32,
    beam_size: int,
    beam_nats: float,
) -> Int32:
    """Give the likeliest graphones of some letters (L,), one a letter.

    `graphones[bounds[letter]:bounds[letter + 1]]` are those of a letter, `ends` the state before
    the first and the word after the last. Of those that lead to one state only the likeliest can
    become the best. Of equals the first counts.
    """
    length = len(letters)
    parents = np.zeros((length, beam_size), np.int32)
    chosen = np.zeros((length, beam_size), np.int32)
    states, scores = np.full(1, ends[0], np.int32), np.zeros(1)
    for i in range(length):
        options = graphones[bounds[letters[i]] : bounds[letters[i] + 1]]
        new_states = np.empty(len(states) * len(options), np.int32)
        new_scores = np.empty(len(new_states))
        origin = np.empty(len(new_states), np.int32)
        count, best = 0, -np.inf
        for h in range(len(states)):
            if scores[h] < best - beam_nats:
                break
            for c in range(len(options)):
                log_prob, state = step(lm, states[h], options[c])
                score = scores[h] + log_prob
                if score >= best - beam_nats:
                    best = max(best, score)
                    new_states[count], new_scores[count] = state, score
                    origin[count] = h * len(options) + c
                    count += 1
        order = np.argsort(-new_scores[:count], kind="mergesort")
        kept = 0
        states, scores = np.empty(beam_size, np.int32), np.empty(beam_size)
        for k in order:
            if kept == beam_size or new_scores[k] < best - beam_nats:
                break
            if new_states[k] not in states[:kept]:
                states[kept], scores[kept] = new_states[k], new_scores[k]
                parents[i, kept] = origin[k] // len(options)
                chosen[i, kept] = options[origin[k] % len(options)]
                kept += 1
        states, scores = states[:kept], scores[:kept]
    for h in range(len(states)):
        log_prob, _ = step(lm, states[h], ends[1])
        scores[h] += log_prob
    path = np.empty(length, np.int32)
    h = int(np.argmax(scores))
    for i in range(length - 1, -1, -1):
        path[i], h = chosen[i, h], parents[i, h]
    return path
