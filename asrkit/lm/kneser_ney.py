"""Interpolated modified Kneser-Ney smoothing, as KenLM's lmplz does it.

Chen and Goodman (1998), "An empirical study of smoothing techniques for language modeling", with
the conventions of Heafield et al. (2013), "Scalable modified Kneser-Ney language model estimation":
unigrams are interpolated with the uniform distribution over all words but `<s>`, `<unk>` included;
what begins with `<s>` keeps its count; what pruning removes is left to the back-off.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asrkit.lm.corpus import END_ID, START_ID
from asrkit.lm.counting import Counts
from asrkit.lm.discounts import as_lmplz_counts, estimate_discounts
from asrkit.lm.ngram import Int32
from asrkit.lm.trie import Level, select


def frequent_ngrams(levels: Sequence[Counts], limits: Sequence[int]) -> list[NDArray[np.bool_]]:
    """Say of each n-gram whether it occurs more often than the limit of its order.

    A limit of 0 keeps all, also a word of a given vocabulary that does not occur. The limits must
    not fall from order to order: then what a kept n-gram extends is kept. The special words are
    kept in any case.
    """
    kept = [
        (level.count > limit) | (limit == 0) for level, limit in zip(levels, limits, strict=True)
    ]
    kept[0][: END_ID + 1] = True
    return kept


def estimate(
    levels: Sequence[Counts], kept: Sequence[NDArray[np.bool_]], *, discount_fallback: bool = False
) -> list[Level]:
    """Estimate the probabilities and back-off weights of n-grams from their counts.

    Parameters
    ----------
    levels
        The counts of order 1, 2, ...
    kept
        Which n-grams the model shall have, see `frequent_ngrams`. The others count all the same.
    discount_fallback
        See `asrkit.lm.discounts.estimate_discounts`.

    Raises
    ------
    LanguageModelError
        If the text has no discounts.
    """
    adjusted = _adjusted_counts(levels)
    bases = as_lmplz_counts(levels, adjusted)
    discounts = [
        estimate_discounts(order, base, fallback=discount_fallback)
        for order, base in enumerate(bases, 1)
    ]
    result: list[Level] = []
    lower = np.array([1 / (np.count_nonzero(kept[0]) - 1)])  # uniform, without <s>
    for level, count, discount, keep in zip(levels, adjusted, discounts, kept, strict=True):
        taken = discount[np.minimum(count, 3)]
        total = np.bincount(level.context, count, len(lower))
        left = np.bincount(level.context, np.where(keep, taken, count), len(lower))
        # A context that nothing follows leaves all to the next shorter one.
        backoff = np.divide(left, total, out=np.ones_like(left), where=total > 0)
        if result:
            result[-1].backoff = np.log(backoff)
        prob = (count - taken) / total[level.context]
        prob += backoff[level.context] * lower[level.suffix]
        if not result:
            prob[START_ID] = 1.0  # it stands where it is put
        log_prob = np.minimum(np.log(prob), 0.0)
        result.append(Level(level.context, level.word, log_prob, np.zeros(len(level))))
        lower = prob
    return select(result, kept)


def _adjusted_counts(levels: Sequence[Counts]) -> list[Int32]:
    """Count the different words before each n-gram, below the highest order."""
    adjusted = []
    for level, longer in pairwise(levels):
        count = np.bincount(longer.suffix, minlength=len(level)).astype(np.int32)
        begins = level.first_word == START_ID
        count[begins] = level.count[begins]  # nothing can stand before it
        adjusted.append(count)
    adjusted.append(levels[-1].count.copy())
    adjusted[0][START_ID] = 0  # it is never predicted
    return adjusted
