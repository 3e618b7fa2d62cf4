"""Leaving out n-grams that a model can do without, by what it costs in perplexity.

Stolcke (1998), "Entropy-based pruning of backoff language models", as SRILM's `ngram -prune` does
it: the highest order first, each n-gram judged as if it alone were left out of the model, contexts
weighted by their own probability under the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asrkit.compiled import compiled
from asrkit.lm.ngram import Int32, NGramArrays, step
from asrkit.lm.trie import Level, build_arrays, select

Float64 = NDArray[np.float64]
Floats = NDArray[np.floating]


def prune_by_entropy(levels: Sequence[Level], threshold: float) -> list[Level]:
    """Leave out n-grams of order 2 and above, and compute all back-off weights anew.

    Parameters
    ----------
    levels
        A model whose probabilities sum to 1 in each context, in float64.
    threshold
        An n-gram goes if that raises the model's perplexity by a smaller share than this, and no
        longer n-gram extends it.
    """
    arrays = build_arrays(levels, np.float64)
    starts = _first_nodes(levels)
    history = _history_log_probs(levels)
    kept = [np.ones(len(level), np.bool_) for level in levels]
    is_context = np.zeros(len(arrays.backoff), np.bool_)
    for order in range(len(levels), 1, -1):
        level = levels[order - 1]
        first_context, first = starts[order - 1 : order + 1]
        shorter = _shorter_log_probs(arrays, level.context + np.int32(first_context), level.word)
        rise = _perplexity_rise(level, shorter, levels[order - 2].backoff, history[order - 2])
        keep = rise >= threshold
        if order < len(levels):
            keep |= is_context[first : first + len(level)]
        kept[order - 1] = keep
        _mark_contexts(is_context, np.unique(level.context[keep]) + first_context, arrays.suffix)
    pruned = select(levels, kept)
    _set_backoffs(pruned)
    return pruned


def _first_nodes(levels: Sequence[Level]) -> list[int]:
    """Give the node of the empty context and the first of each level, as in `NGramArrays`."""
    return [0, *np.cumsum([1, *map(len, levels)]).tolist()]


def _history_log_probs(levels: Sequence[Level]) -> list[Float64]:
    """Give the log-probability of all words of each n-gram together, in nats."""
    history = [np.zeros(1)]
    for level in levels:
        history.append(history[-1][level.context] + level.log_prob)
    return history[1:]


def _perplexity_rise(
    level: Level, shorter: Floats, context_backoff: Floats, context_log_prob: Floats
) -> Float64:
    """Give the share by which the perplexity rises if one n-gram of a level is left out.

    `shorter` is the log-probability of each n-gram's last word after the next shorter context.
    """
    num_contexts = len(context_backoff)
    rest, shorter_rest = (
        np.maximum(1 - np.bincount(level.context, np.exp(log_prob), num_contexts), 0)[level.context]
        for log_prob in (level.log_prob, shorter)
    )
    new_backoff = np.log(rest + np.exp(level.log_prob)) - np.log(shorter_rest + np.exp(shorter))
    change = np.exp(level.log_prob) * (shorter + new_backoff - level.log_prob)
    change += rest * (new_backoff - context_backoff[level.context])
    rise: Float64 = np.expm1(-np.exp(context_log_prob[level.context]) * change)
    return rise


def _set_backoffs(levels: Sequence[Level]) -> None:
    """Let the probabilities of each context sum to 1 again, from short contexts to long ones."""
    arrays = build_arrays(levels, np.float64)
    arrays = arrays._replace(backoff=arrays.backoff.copy())
    starts = _first_nodes(levels)
    for order, (above, level) in enumerate(pairwise(levels), 1):
        contexts = level.context + np.int32(starts[order])
        shorter = _shorter_log_probs(arrays, contexts, level.word)
        rest, shorter_rest = (
            1 - np.bincount(level.context, np.exp(log_prob), len(above))
            for log_prob in (level.log_prob, shorter)
        )
        has_children = np.bincount(level.context, minlength=len(above)) > 0
        tiny = np.finfo(np.float64).tiny
        ratio = np.maximum(rest, tiny) / np.maximum(shorter_rest, tiny)
        above.backoff = np.where(has_children, np.log(ratio), 0.0)
        arrays.backoff[starts[order] : starts[order + 1]] = above.backoff


@compiled()
def _shorter_log_probs(lm: NGramArrays, contexts: Int32, words: Int32) -> Float64:
    """Give the log-probability of each word after the context's longest suffix."""
    log_probs: Float64 = np.empty(len(words))
    for k in range(len(words)):
        log_probs[k], _ = step(lm, lm.suffix[contexts[k]], words[k])
    return log_probs


@compiled()
def _mark_contexts(is_context: NDArray[np.bool_], contexts: Int32, suffix: Int32) -> None:
    """Mark contexts and all their suffixes, which stand behind them when they back off."""
    for context in contexts:
        marked = context
        while not is_context[marked]:
            is_context[marked] = True
            marked = suffix[marked]
