"""Whether probabilities keep their word, and temperature scaling, which makes them.

Of all words that a recogniser is 80 % sure of, 80 % should be right. A single number, fitted to a
dev set, brings a model's probabilities close to that without changing their order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asrkit.errors import DataError

TEMPERATURE_RANGE = (0.02, 50.0)
"""Where `fit_temperature` looks: at the borders if all is right, or more is wrong than right."""
_MIN_DOUBT = 1e-9
"""Fitting takes probabilities for this far from 0 and 1: a single one that is wrong for certain
would be infinitely unlikely at any temperature."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Words whose probability lies above `lower` and at most at `upper`, the first bin with 0.

    Attributes
    ----------
    lower, upper : float
    count : int
    mean_probability, accuracy : float
        Of these words; NaN if there are none. Equal where probabilities keep their word.
    """

    lower: float
    upper: float
    count: int
    mean_probability: float
    accuracy: float


def calibrate(probability: float, temperature: float) -> float:
    """Divide the log-odds of a probability by a temperature.

    Above 1 it draws probabilities towards a half, below 1 away from it; 0, a half and 1 stay.

    Parameters
    ----------
    probability : float
        0 to 1.
    temperature : float
        Above 0.
    """
    if probability in (0.0, 1.0):
        return probability
    log_odds = (math.log(probability) - math.log1p(-probability)) / temperature
    if log_odds >= 0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1.0 + odds)


def fit_temperature(probabilities: Sequence[float], correct: Sequence[bool]) -> float:
    """Find the temperature at which the calibrated probabilities are likeliest.

    It minimises the negative log-likelihood of what was right and wrong.

    Parameters
    ----------
    probabilities : sequence of float
        Of each word, 0 to 1.
    correct : sequence of bool
        Whether each word is right.

    Returns
    -------
    float
        Within `TEMPERATURE_RANGE`; 1 if all probabilities are a half.

    Raises
    ------
    DataError
        If there are none, or they are not as described.

    Notes
    -----
    Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks" (ICML 2017), section 4,
    for two classes. The likelihood is concave in 1 / temperature, so its slope is bisected.
    """
    sure, right = _check(probabilities, correct)
    sure = sure.clip(_MIN_DOUBT, 1.0 - _MIN_DOUBT)
    log_odds = np.log(sure) - np.log1p(-sure)
    if not log_odds.any():
        return 1.0

    def slope(log_temperature: float) -> float:
        """Slope of the log-likelihood in 1 / temperature: positive above the best temperature.

        It is 0, too, where all is right and certain: lower is as good.
        """
        calibrated = 0.5 * (1.0 + np.tanh(0.5 * log_odds / math.exp(log_temperature)))
        return float((log_odds * (right - calibrated)).sum())

    low, high = (math.log(border) for border in TEMPERATURE_RANGE)
    while high - low > 1e-9:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if slope(middle) >= 0 else (middle, high)
    return math.exp(0.5 * (low + high))


def reliability_bins(
    probabilities: Sequence[float], correct: Sequence[bool], num_bins: int = 10
) -> tuple[ReliabilityBin, ...]:
    """Sort words into bins of equal width by their probability: the bars of a reliability diagram.

    Raises
    ------
    DataError
        As `fit_temperature`, or if `num_bins` is below 1.
    """
    sure, right = _check(probabilities, correct)
    if num_bins < 1:
        raise DataError(f"calibration: {num_bins} bins; expected at least 1")
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    bin_of = np.searchsorted(edges[1:-1], sure, side="left")
    bins = []
    for number, (lower, upper) in enumerate(pairwise(edges.tolist())):
        within = bin_of == number
        count = int(within.sum())
        mean, accuracy = (
            (float(sure[within].mean()), float(right[within].mean()))
            if count
            else (math.nan, math.nan)
        )
        bins.append(ReliabilityBin(lower, upper, count, mean, accuracy))
    return tuple(bins)


def expected_calibration_error(
    probabilities: Sequence[float], correct: Sequence[bool], num_bins: int = 10
) -> float:
    """Average how far accuracy is from probability over the bins, weighted by their counts.

    Parameters
    ----------
    probabilities, correct, num_bins
        As for `reliability_bins`.

    Returns
    -------
    float
        0 to 1, 0 where the probabilities keep their word in every bin.

    Notes
    -----
    Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning"
    (AAAI 2015); with the bins of Guo et al. (ICML 2017), section 2.
    """
    bins = [each for each in reliability_bins(probabilities, correct, num_bins) if each.count]
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.accuracy - each.mean_probability) for each in bins) / total


def _check(
    probabilities: ArrayLike, correct: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sure = np.asarray(probabilities, dtype=np.float64)
    right = np.asarray(correct, dtype=np.float64)
    if sure.shape != right.shape or sure.ndim != 1 or not sure.size:
        raise DataError(
            f"calibration: {sure.size} probabilities and {right.size} marks of what is right; "
            "expected as many, and at least one; take a dev set on which words are recognised"
        )
    if not ((sure >= 0) & (sure <= 1)).all():
        wrong = sure[~((sure >= 0) & (sure <= 1))][0]
        raise DataError(f"calibration: a probability is {wrong}; expected 0 to 1")
    return sure, right
