"""The three discounts of modified Kneser-Ney smoothing, for each order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asrkit.errors import LanguageModelError
from asrkit.lm.corpus import START_ID
from asrkit.lm.counting import Counts
from asrkit.lm.ngram import Int32

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
"""What lmplz takes under `--discount_fallback`."""


def estimate_discounts(
    order: int, adjusted: Int32, *, fallback: bool = False
) -> NDArray[np.float64]:
    """Give what is taken from adjusted counts of 0, 1, 2 and 3 or more, float64 (4,).

    Equation 26 of Chen and Goodman (1998), "An empirical study of smoothing techniques for language
    modeling": with n_r n-grams of count r and Y = n_1 / (n_1 + 2 n_2),
    D_r = r - (r + 1) Y n_{r+1} / n_r.

    Parameters
    ----------
    order
        Which order it is, for messages.
    adjusted
        The adjusted counts of all n-grams of the order, pruned ones included.
    fallback
        Where there is no such discount, or it is below 0 or above its count, take
        `FALLBACK_DISCOUNTS` for the order.

    Raises
    ------
    LanguageModelError
        If the discounts cannot be estimated and there is no fallback.
    """
    n = np.bincount(np.minimum(adjusted, 5), minlength=6)[:5].astype(float)
    if n[1:4].all():
        r = np.arange(1, 4)
        discounts = r - (r + 1) * n[1] / (n[1] + 2 * n[2]) * n[2:] / n[1:4]
        if ((discounts >= 0) & (discounts <= r)).all():
            return np.array([0.0, *discounts])
        reason = "the discounts would be " + ", ".join(f"{value:.3f}" for value in discounts)
        expected = "expected D1, D2 and D3+ from 0 to 1, 2 and 3"
    else:
        reason = f"no {order}-gram has an adjusted count of {1 + int(np.argmin(n[1:4]))}"
        expected = "expected some with each of 1 to 3"
    if not fallback:
        raise LanguageModelError(
            f"{order}-grams: {reason}; {expected}, as in much natural text without repeated "
            "lines; give more text, a lower order, or --discount-fallback"
        )
    return np.array([0.0, *FALLBACK_DISCOUNTS])


def as_lmplz_counts(levels: Sequence[Counts], adjusted: Sequence[Int32]) -> list[Int32]:
    """Give the adjusted counts from which KenLM's lmplz estimates discounts.

    They are the adjusted counts but for one n-gram of each order below the highest, which goes in
    with its plain count: the last when n-grams are sorted by their last words first. In a large
    text that is nothing; in a small one it is seen in the fourth digit.
    """
    result = [*adjusted]
    last = int(np.flatnonzero(levels[0].count)[-1])
    for order in range(1, len(levels)):
        result[order - 1] = adjusted[order - 1].copy()
        result[order - 1][last] = levels[order - 1].count[last]
        longer = np.flatnonzero(levels[order].suffix == last)
        first_words = levels[order].first_word[longer]
        last = int(longer[np.argmax(first_words)])
        if first_words.max() == START_ID:
            break
    return result
