"""Calibration against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.decode.confidence import (
    TEMPERATURE_RANGE,
    calibrate,
    expected_calibration_error,
    fit_calibration,
    reliability_bins,
)
from asrkit.errors import DataError

PROBABILITY = st.floats(0.0, 1.0)


def log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def nll(probabilities: list[float], correct: list[bool], temperature: float, bias: float) -> float:
    """Negative log-likelihood, with the targets of Platt (1999)."""
    num_right = sum(correct)
    num_wrong = len(correct) - num_right
    target = np.where(correct, (num_right + 1) / (num_right + 2), 1 / (num_wrong + 2))
    found = np.array([log_odds(p) / temperature + bias for p in probabilities])
    return float((np.logaddexp(0.0, found) - target * found).sum())


@given(PROBABILITY, st.floats(0.05, 20))
@settings(max_examples=100, deadline=None)
def test_calibrate_is_symmetric_and_invertible(probability: float, temperature: float) -> None:
    assert calibrate(probability, 1.0) == pytest.approx(probability, abs=1e-8)
    calibrated = calibrate(probability, temperature)
    assert 0.0 <= calibrated <= 1.0
    if 0.01 < probability < 0.99 and temperature > 0.5:
        assert calibrate(1 - probability, temperature) == pytest.approx(1 - calibrated)
        assert calibrate(calibrated, 1 / temperature) == pytest.approx(probability)


def test_calibrate_by_hand() -> None:
    assert calibrate(0.8, 2.0) == pytest.approx(2 / 3)  # odds 4 become 2
    assert calibrate(0.2, 0.5) == pytest.approx(1 / 17)  # odds 1/4 become 1/16
    assert calibrate(0.8, 2.0, math.log(3)) == pytest.approx(6 / 7)  # and three times that
    assert calibrate(1e-300, 0.01) == 0.0


def test_nothing_is_certain_for_ever() -> None:
    assert calibrate(1.0, 7.0) == calibrate(1 - 1e-9, 7.0) < 0.96
    assert calibrate(0.0, 7.0) == calibrate(1e-9, 7.0) > 0.04


@pytest.mark.parametrize(("said", "true"), [(0.9, 0.6), (0.6, 0.9), (0.99, 0.55), (0.5, 0.3)])
def test_one_probability_is_brought_to_its_accuracy(said: float, true: float) -> None:
    correct = [True] * round(1000 * true) + [False] * round(1000 * (1 - true))
    fitted = fit_calibration([said] * 1000, correct)
    assert calibrate(said, *fitted) == pytest.approx(true, abs=0.002)


def test_the_calibration_that_made_the_probabilities_is_found() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(0.02, 0.98, 20000)
    said = [calibrate(calibrate(p, 1, -0.7), 1 / 2.5) for p in true.tolist()]
    correct = rng.random(20000) < true
    temperature, bias = fit_calibration(said, correct)
    assert temperature == pytest.approx(2.5, rel=0.05)
    assert bias == pytest.approx(0.7, abs=0.05)
    before = expected_calibration_error(said, correct)
    after = expected_calibration_error([calibrate(p, temperature, bias) for p in said], correct)
    assert before > 0.1
    assert after < 0.02


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.booleans()), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_no_other_calibration_is_likelier(items: list[tuple[float, bool]]) -> None:
    probabilities, correct = [p for p, _ in items], [c for _, c in items]
    temperature, bias = fit_calibration(probabilities, correct)
    best = nll(probabilities, correct, temperature, bias)
    for other in np.geomspace(*TEMPERATURE_RANGE, 20).tolist():
        assert best <= nll(probabilities, correct, other, bias) + 1e-5
    for shift in (-1.0, -0.01, 0.01, 1.0):
        assert best <= nll(probabilities, correct, temperature, bias + shift) + 1e-5


def test_the_order_is_never_turned_round() -> None:
    temperature, _ = fit_calibration([0.9, 0.2] * 50, [False, True] * 50)
    assert temperature == pytest.approx(TEMPERATURE_RANGE[1])


def test_few_words_leave_doubt() -> None:
    temperature, bias = fit_calibration([0.9, 0.8, 0.95], [True, True, True])
    assert 0.7 < calibrate(0.9, temperature, bias) < 0.9


def test_certain_and_wrong_is_finite() -> None:
    fitted = fit_calibration([1.0] * 100, [True] * 90 + [False] * 10)
    assert calibrate(1.0, *fitted) == pytest.approx(0.9, abs=0.01)


def test_calibration_error_by_hand() -> None:
    # Bin (0.8, 0.9]: mean 0.85, accuracy 1; bin (0.3, 0.4]: mean 0.4, accuracy 0.25.
    probabilities = [0.81, 0.89, 0.4, 0.4, 0.4, 0.4]
    correct = [True, True, True, False, False, False]
    expected = (2 * 0.15 + 4 * 0.15) / 6
    assert expected_calibration_error(probabilities, correct) == pytest.approx(expected)
    assert expected_calibration_error(probabilities, correct, num_bins=1) == pytest.approx(
        abs(sum(probabilities) - sum(correct)) / 6
    )
    assert expected_calibration_error([1.0, 0.0], [True, False]) == 0.0
    assert expected_calibration_error([1.0, 0.0], [False, True]) == 1.0


def test_bins_hold_their_upper_edge_and_the_first_also_0() -> None:
    bins = reliability_bins([0.0, 0.25, 0.26, 0.5, 1.0], [False, True, True, False, True], 4)
    assert [each.count for each in bins] == [2, 2, 0, 1]
    assert [(each.lower, each.upper) for each in bins] == [
        (0.0, 0.25),
        (0.25, 0.5),
        (0.5, 0.75),
        (0.75, 1.0),
    ]
    assert [each.accuracy for each in bins[:2]] == [0.5, 0.5]
    assert bins[1].mean_probability == pytest.approx(0.38)
    assert math.isnan(bins[2].accuracy)
    assert math.isnan(bins[2].mean_probability)


@pytest.mark.parametrize("function", [fit_calibration, expected_calibration_error])
@pytest.mark.parametrize(
    ("probabilities", "correct"),
    [([], []), ([0.5], [True, False]), ([1.1], [True]), ([math.nan], [True]), ([-0.1], [False])],
)
def test_what_is_no_probability_is_refused(function, probabilities, correct) -> None:
    with pytest.raises(DataError, match="calibration: "):
        function(probabilities, correct)


def test_no_bins_are_refused() -> None:
    with pytest.raises(DataError, match="0 bins; expected at least 1"):
        expected_calibration_error([0.5], [True], num_bins=0)
