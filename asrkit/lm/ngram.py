"""Back-off n-gram models as a trie in a few flat arrays, and how they are queried.

The log-probability of a word after a context is that of the longest n-gram of the model that ends
the two, plus the back-off weights of the longer contexts that were tried in vain (Katz 1987). A
context is a *state*: the number of its node. After each word the state is shortened to the longest
context that can still matter, one that has a longer n-gram or a back-off weight, so that two
histories with the same future have the same state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asrkit.compiled import compiled
from asrkit.errors import LanguageModelError

UNKNOWN = "<unk>"
SENTENCE_START = "<s>"
SENTENCE_END = "</s>"

EMPTY_STATE = 0
"""The state without any context."""

Int32 = NDArray[np.int32]
Float32 = NDArray[np.float32]


class NGramArrays(NamedTuple):
    """A model as numba sees it. All arrays are read-only and contiguous.

    The M nodes are in one numbering: 0 is the empty context, 1 + word_id the unigrams, then come
    the n-grams of order 2, 3, ..., each order sorted by (context, last word). So the children of a
    node, the n-grams that extend it by a word, stand side by side. The first C nodes, those below
    the highest order, can be contexts.

    Attributes
    ----------
    word : int32 (M,)
        Last word of each n-gram.
    log_prob : float32 (M,), nats
        Log-probability of the last word after the others.
    next_state : int32 (M,)
        The state after the n-gram: the node itself, or its longest suffix that can matter.
    backoff : float32 (C,), nats
        Added where the context does not have the word.
    suffix : int32 (C,)
        The next shorter context that can matter.
    first_child : int32 (C + 1,)
        The children of node c are `first_child[c]` to `first_child[c + 1] - 1`.
    """

    word: Int32
    log_prob: Float32
    next_state: Int32
    backoff: Float32
    suffix: Int32
    first_child: Int32


@compiled()
def find_child(lm: NGramArrays, context: int, word: int) -> int:
    """Give the node of `word` after `context`, or -1 if the model lacks that n-gram."""
    if context == 0:
        return 1 + word
    low, high = lm.first_child[context], lm.first_child[context + 1]
    end = high
    while low < high:
        middle = (low + high) >> 1
        if lm.word[middle] < word:
            low = middle + 1
        else:
            high = middle
    return low if low < end and lm.word[low] == word else -1


@compiled()
def step(lm: NGramArrays, state: int, word: int) -> tuple[float, int]:
    """Give log p(word | state) in nats and the state after it.

    `state` is 0, `NGramModel.start_state` or what an earlier step gave; `word` is an id below the
    number of words. Neither is checked.
    """
    log_prob = 0.0
    while True:
        node: int = find_child(lm, state, word)
        if node >= 0:
            return log_prob + lm.log_prob[node], lm.next_state[node]
        log_prob += lm.backoff[state]
        state = lm.suffix[state]


@compiled()
def _step_each(
    lm: NGramArrays, states: Int32, words: Int32, log_probs: Float32, next_states: Int32
) -> None:
    for k in range(len(states)):
        log_probs[k], next_states[k] = step(lm, states[k], words[k])


@compiled()
def _score_sequence(lm: NGramArrays, state: int, words: Int32, log_probs: Float32) -> None:
    for position in range(len(words)):
        log_probs[position], state = step(lm, state, words[position])


class NGramModel:
    """A back-off n-gram model.

    Parameters
    ----------
    words
        The vocabulary by id, with `<unk>` as 0, `<s>` and `</s>` among them.
    arrays
        The n-grams; see `asrkit.lm.trie.build_arrays`.
    counts
        Number of n-grams of each order.

    Raises
    ------
    LanguageModelError
        If the vocabulary lacks a special word or has one twice.
    """

    UNK = 0

    def __init__(self, words: Sequence[str], arrays: NGramArrays, counts: Sequence[int]) -> None:
        self.words = tuple(words)
        self.arrays = arrays
        self.counts = tuple(counts)
        ids = self._ids
        if len(ids) != len(self.words):
            raise LanguageModelError("a word stands twice in the vocabulary; expected each once")
        if self.words[:1] != (UNKNOWN,) or SENTENCE_START not in ids or SENTENCE_END not in ids:
            raise LanguageModelError(
                f"no {UNKNOWN}, {SENTENCE_START} or {SENTENCE_END} in the vocabulary; expected all"
            )
        self.start_id = ids[SENTENCE_START]
        self.end_id = ids[SENTENCE_END]
        self.start_state = int(arrays.next_state[1 + self.start_id])

    @property
    def order(self) -> int:
        """Length of the longest n-grams."""
        return len(self.counts)

    @cached_property
    def _ids(self) -> Mapping[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        """Count the words, the three special ones included."""
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        """Whether the model knows the word; it does not know `<unk>`."""
        return self._ids.get(word, self.UNK) != self.UNK

    def word_id(self, word: str) -> int:
        """Give the id of a word, `UNK` if the model does not know it."""
        return self._ids.get(word, self.UNK)

    def score_many(self, states: ArrayLike, words: ArrayLike) -> tuple[Float32, Int32]:
        """Take a step from each of K states.

        Parameters
        ----------
        states, words
            States and word ids, integers (K,).

        Returns
        -------
        log_probs : float32 (K,), nats
        next_states : int32 (K,)

        Raises
        ------
        ValueError
            If a state or a word id is not one of the model's.
        """
        states = np.ascontiguousarray(states, np.int32)
        words = np.ascontiguousarray(words, np.int32)
        _check_range(states, len(self.arrays.backoff), "state")
        _check_range(words, len(self.words), "word id")
        log_probs, next_states = np.empty(len(states), np.float32), np.empty_like(states)
        _step_each(self.arrays, states, words, log_probs, next_states)
        return log_probs, next_states

    def score_words(self, words: ArrayLike, state: int | None = None) -> Float32:
        """Give the log-probabilities of successive word ids (L,), from `start_state` if not given.

        Raises
        ------
        ValueError
            If the state or a word id is not one of the model's.
        """
        words = np.ascontiguousarray(words, np.int32)
        start = self.start_state if state is None else state
        _check_range(np.array([start], np.int32), len(self.arrays.backoff), "state")
        _check_range(words, len(self.words), "word id")
        log_probs = np.empty(len(words), np.float32)
        _score_sequence(self.arrays, start, words, log_probs)
        return log_probs

    def score_sentence(self, words: Sequence[str]) -> Float32:
        """Give the log-probability in nats of each word of a sentence and of its end, (L + 1,)."""
        return self.score_words([*map(self.word_id, words), self.end_id])


def _check_range(values: Int32, limit: int, what: str) -> None:
    if values.ndim != 1:
        raise ValueError(f"{what}s have shape {values.shape}; expected one dimension")
    if len(values) and not 0 <= values.min() <= values.max() < limit:
        raise ValueError(f"{what}s are {values.min()} to {values.max()}; expected 0 to {limit - 1}")
