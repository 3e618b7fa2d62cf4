"""Whether probabilities keep their word, and Platt scaling, which makes them.

Of all words that a recogniser is 80 % sure of, 80 % should be right. Two numbers, fitted to a dev
set, bring a model's probabilities close to that without changing their order.
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
"""Where `fit_calibration` looks: at the upper end if what is more probable is less often right."""
_MIN_DOUBT = 1e-9
"""Probabilities are taken for this far from 0 and 1: a single one that is wrong for certain would
be infinitely unlikely at any temperature."""


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


def calibrate(probability: float, temperature: float, bias: float = 0.0) -> float:
    """Divide the log-odds of a probability by a temperature, and add a bias.

    Parameters
    ----------
    probability : float
        0 to 1.
    temperature : float
        Above 0, so that what was more probable stays so. Above 1 it draws probabilities towards a
        half, below 1 away from it.
    bias : float
        Nats. Above 0 it raises all probabilities.
    """
    sure = min(max(probability, _MIN_DOUBT), 1.0 - _MIN_DOUBT)
    log_odds = (math.log(sure) - math.log1p(-sure)) / temperature + bias
    if log_odds >= 0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1.0 + odds)


def fit_calibration(probabilities: Sequence[float], correct: Sequence[bool]) -> tuple[float, float]:
    """Find the temperature and the bias with which the calibrated probabilities are likeliest.

    They minimise the negative log-likelihood of what was right and wrong.

    Parameters
    ----------
    probabilities : sequence of float
        Of each word, 0 to 1.
    correct : sequence of bool
        Whether each word is right.

    Returns
    -------
    temperature : float
        Within `TEMPERATURE_RANGE`.
    bias : float
        Nats.

    Raises
    ------
    DataError
        If there are none, or they are not as described.

    Notes
    -----
    Platt, "Probabilistic outputs for support vector machines" (1999), section 2: logistic
    regression, where what is right counts as slightly less than certain, and what is wrong as
    slightly more than impossible, so that few words do not make a calibration that is never in
    doubt.
    """
    from scipy.optimize import minimize  # noqa: PLC0415  # slow to import; transcribe fits nothing

    sure, right = _check(probabilities, correct)
    sure = sure.clip(_MIN_DOUBT, 1.0 - _MIN_DOUBT)
    log_odds = np.log(sure) - np.log1p(-sure)
    num_right = right.sum()
    num_wrong = len(right) - num_right
    target = np.where(right, (num_right + 1) / (num_right + 2), 1 / (num_wrong + 2))

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Negative log-likelihood at 1 / temperature and bias, and its slopes."""
        calibrated = at[0] * log_odds + at[1]
        excess = 0.5 * (1.0 + np.tanh(0.5 * calibrated)) - target
        slopes = np.array([(excess * log_odds).sum(), excess.sum()])
        return float((np.logaddexp(0.0, calibrated) - target * calibrated).sum()), slopes

    low, high = (1 / border for border in reversed(TEMPERATURE_RANGE))
    found = minimize(
        loss,
        np.array([1.0, 0.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(low, high), (None, None)],
        options={"ftol": 1e-12, "gtol": 1e-8},
    )
    return 1 / float(found.x[0]), float(found.x[1])


def reliability_bins(
    probabilities: Sequence[float], correct: Sequence[bool], num_bins: int = 10
) -> tuple[ReliabilityBin, ...]:
    """Sort words into bins of equal width by their probability: the bars of a reliability diagram.

    Raises
    ------
    DataError
        As `fit_calibration`, or if `num_bins` is below 1.
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
