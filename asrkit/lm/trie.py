"""From n-grams, order by order, to the arrays of `asrkit.lm.ngram`, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrkit.compiled import compiled
from asrkit.errors import LanguageModelError
from asrkit.lm.ngram import Float32, Int32, NGramArrays, find_child

_MAX_NODES = 2**31 - 2


@dataclass
class Level:
    """The n-grams of one order, sorted by (context, word), without duplicates.

    The first level is the vocabulary: each word once, in the order of its id.

    Attributes
    ----------
    context : int32 (n,)
        Which n-gram of the level before each extends; 0 in the first level.
    word : int32 (n,)
        The last word.
    log_prob, backoff : float (n,), nats
        The back-off weights of the last level are not read.
    """

    context: Int32
    word: Int32
    log_prob: NDArray[np.floating]
    backoff: NDArray[np.floating]

    def __len__(self) -> int:
        return len(self.word)


def select(levels: Sequence[Level], kept: Sequence[NDArray[np.bool_]]) -> list[Level]:
    """Keep some n-grams of each level, all that they extend among them.

    Where words are left out of the vocabulary, the others move up.
    """
    result: list[Level] = []
    new_word = new_context = np.zeros(1, np.int32)
    for level, keep in zip(levels, kept, strict=True):
        new_number = np.cumsum(keep, dtype=np.int32) - np.int32(1)
        if not result:
            new_word = new_number
        result.append(
            Level(
                new_context[level.context[keep]],
                new_word[level.word[keep]],
                level.log_prob[keep],
                level.backoff[keep],
            )
        )
        new_context = new_number
    return result


def build_arrays(levels: Sequence[Level], dtype: type[np.floating] = np.float32) -> NGramArrays:
    """Lay the levels out in one numbering and link each n-gram with what follows from it.

    `dtype` is that of the log-probabilities and back-off weights; float64 serves arithmetic only.

    Raises
    ------
    LanguageModelError
        If there are more n-grams than 32 bits can number.
    """
    num_nodes = 1 + sum(map(len, levels))
    if num_nodes > _MAX_NODES:
        raise LanguageModelError(
            f"{num_nodes - 1} n-grams; expected at most {_MAX_NODES - 1}; prune the model"
        )
    num_contexts = num_nodes - len(levels[-1])
    word = np.concatenate([np.zeros(1, np.int32), *(level.word for level in levels)])
    log_prob = np.zeros(num_nodes, dtype)
    backoff = np.zeros(num_contexts, dtype)
    num_children = np.zeros(num_contexts, np.int64)
    context_start, start = 0, 1
    for level in levels:
        end = start + len(level)
        log_prob[start:end] = level.log_prob
        if end <= num_contexts:
            backoff[start:end] = level.backoff
        num_children[context_start:start] = np.bincount(
            level.context, minlength=start - context_start
        )
        context_start, start = start, end
    first_child = np.ones(num_contexts + 1, np.int32)
    first_child[1:] += np.cumsum(num_children, dtype=np.int32)
    return link(word, log_prob, backoff, first_child)


def link(word: Int32, log_prob: Float32, backoff: Float32, first_child: Int32) -> NGramArrays:
    """Complete the arrays of a model by `suffix` and `next_state`."""
    arrays = NGramArrays(
        word, log_prob, np.zeros(len(word), np.int32), backoff, np.zeros_like(first_child)[:-1],
        first_child,
    )  # fmt: skip
    _link_suffixes(arrays)
    return freeze(arrays)


def freeze(arrays: NGramArrays) -> NGramArrays:
    """Make the arrays plain, contiguous and read-only, so that numba compiles one variant only."""
    frozen = {name: np.ascontiguousarray(array) for name, array in arrays._asdict().items()}
    for array in frozen.values():
        array.flags.writeable = False
    return NGramArrays(**frozen)


@compiled()
def _link_suffixes(lm: NGramArrays) -> None:
    num_contexts = len(lm.backoff)
    for context in range(num_contexts):
        for node in range(lm.first_child[context], lm.first_child[context + 1]):
            state, shorter = 0, context
            # The suffix of (context, word) is the word after a suffix of the context.
            while shorter != 0:
                shorter = lm.suffix[shorter]
                found: int = find_child(lm, shorter, lm.word[node])
                if found >= 0:
                    state = lm.next_state[found]
                    break
            lm.next_state[node] = state
            if node < num_contexts:
                lm.suffix[node] = state
                if lm.backoff[node] != 0 or lm.first_child[node] < lm.first_child[node + 1]:
                    lm.next_state[node] = node


def split_levels(arrays: NGramArrays, counts: Sequence[int]) -> list[Level]:
    """Take the arrays of a model apart again: the inverse of `build_arrays`."""
    contexts = np.repeat(
        np.arange(len(arrays.backoff), dtype=np.int32), np.diff(arrays.first_child)
    )
    levels, context_start, start = [], 0, 1
    for count in counts:
        end = start + count
        backoff = arrays.backoff[start:end]
        levels.append(
            Level(
                contexts[start - 1 : end - 1] - np.int32(context_start),
                arrays.word[start:end],
                arrays.log_prob[start:end],
                backoff if len(backoff) == count else np.zeros(count, np.float32),
            )
        )
        context_start, start = start, end
    return levels
