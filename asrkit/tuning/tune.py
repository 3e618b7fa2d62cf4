"""Choose how a model decodes, by the errors on a dev set; never worse than the greedy search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product

from asrkit.decode.confidence import (
    calibrate,
    expected_calibration_error,
    fit_calibration,
)
from asrkit.decode.fusion_settings import without_fusion
from asrkit.progress import CountProgress
from asrkit.settings import DecodeSettings
from asrkit.tuning.dev_set import Decoded, DevSet
from asrkit.tuning.weights import (
    OOV_PENALTIES,
    POSTERIOR_TEMPERATURES,
    PRIOR_WEIGHTS,
    RESCORED_LM_WEIGHTS,
    RESCORED_WORD_BONUSES,
    RESCORING_SHARES,
    Weights,
    best_at_usual_weights,
    search_weights,
)

BEAM_SIZES = (4, 8, 16, 32, 64)
_SEARCH_BEAM_SIZE, _PHONE_SEARCH_BEAM_SIZE = 16, 128
"""With which the weights are searched. Of phones more prefixes are alive: words end anywhere."""
_ABOUT_TRIALS = 120


@dataclass(frozen=True)
class Calibration:
    """How far the probabilities of recognised words keep their word."""

    temperature: float
    bias: float
    probabilities: Sequence[float]
    """As the model gives them."""
    correct: Sequence[bool]

    @property
    def calibrated(self) -> list[float]:
        """The probabilities with temperature and bias."""
        return [calibrate(each, self.temperature, self.bias) for each in self.probabilities]

    @property
    def ece_before(self) -> float:
        """Expected calibration error without them."""
        return expected_calibration_error(self.probabilities, self.correct)

    @property
    def ece_after(self) -> float:
        """Expected calibration error with it."""
        return expected_calibration_error(self.calibrated, self.correct)


@dataclass(frozen=True)
class Tuning:
    """What was tried and what was chosen."""

    rows: Mapping[str, Decoded]
    """`greedy`, `beam` and, with a language model, `beam + LM`, each at its best; with one to
    rescore by also `beam + LM + LSTM`."""
    chosen: str
    surface: Mapping[Weights, int]
    """Errors of each pair of weights that was tried with all else as it was chosen; empty without a
    language model."""
    calibration: Calibration | None
    """Of the chosen row; None if no word was recognised."""

    @property
    def settings(self) -> DecodeSettings:
        """What a tuned model decodes with."""
        chosen = self.rows[self.chosen].settings
        if self.calibration is None:
            return chosen
        return chosen.model_copy(
            update={
                "confidence_temperature": self.calibration.temperature,
                "confidence_bias": self.calibration.bias,
            }
        )


def tune(dev: DevSet, settings: DecodeSettings, beam_sizes: Sequence[int] = BEAM_SIZES) -> Tuning:
    """Try everything on a dev set.

    Parameters
    ----------
    dev : DevSet
    settings : DecodeSettings
        The LM, lexicon and vocabulary to be used, and the limits of the search; what is tuned is
        put in place of theirs. Without `lm` there are no weights, with a closed vocabulary no
        penalty of unknown words.
    beam_sizes : sequence of int
        To choose from; of equally good ones the smallest is taken.

    Returns
    -------
    Tuning
        Its choice has the fewest errors; of equally good ones it is the fastest.
    """
    settings = settings.model_copy(
        update={"method": "beam", "confidence_temperature": 1.0, "confidence_bias": 0.0}
    )
    plain = without_fusion(settings)
    rows = {"greedy": dev.decode(plain.model_copy(update={"method": "greedy"}))}
    rows["beam"] = _best_beam(dev, plain, beam_sizes)
    surface: Mapping[Weights, int] = {}
    if settings.lm:
        without_rescoring = settings.model_copy(update={"rescoring_lm": ""})
        fused, surface = _tune_fusion(dev, without_rescoring)
        rows["beam + LM"] = _best_beam(dev, fused, beam_sizes)
        if settings.rescoring_lm:
            rows["beam + LM + LSTM"] = _tune_rescoring(
                dev,
                rows["beam + LM"].settings.model_copy(
                    update={"rescoring_lm": settings.rescoring_lm}
                ),
            )
    # In the order of their speed, so that the first of the best is the fastest.
    chosen = min(rows, key=lambda name: rows[name].counts.num_errors)
    return Tuning(rows, chosen, surface, calibrate_words(dev, rows[chosen]))


def _tune_fusion(
    dev: DevSet, settings: DecodeSettings
) -> tuple[DecodeSettings, Mapping[Weights, int]]:
    """Choose the penalty of unknown words, then priors and temperature, then the weights.

    Of the weights the surface is given too.
    """
    tried = settings.model_copy(
        update={
            "beam_size": _PHONE_SEARCH_BEAM_SIZE if settings.reads_phones else _SEARCH_BEAM_SIZE,
            "oov_penalty": 0.0,
            "posterior_temperature": 1.0,
            "prior_weight": 0.0,
            "log_priors": dev.log_priors(settings),
        }
    )
    with CountProgress("trying weights", _ABOUT_TRIALS) as progress:

        @cache  # the stages try some points again
        def count_errors_of(settings: DecodeSettings) -> int:
            progress.advance()
            return dev.decode(settings).counts.num_errors

        def count_errors(weights: Weights, changes: Mapping[str, float]) -> int:
            return count_errors_of(_changed(tried, weights, changes))

        if settings.vocabulary == "open":
            penalties = sorted({*OOV_PENALTIES, settings.oov_penalty})
            changes = best_at_usual_weights(count_errors, [{"oov_penalty": p} for p in penalties])
            tried = tried.model_copy(update=changes)
        candidates = [
            {"posterior_temperature": temperature, "prior_weight": weight}
            for temperature, weight in product(POSTERIOR_TEMPERATURES, PRIOR_WEIGHTS)
        ]
        tried = tried.model_copy(update=best_at_usual_weights(count_errors, candidates))
        best, surface = search_weights(partial(count_errors, changes={}))
    return _changed(tried, best, {}), surface


def _tune_rescoring(dev: DevSet, settings: DecodeSettings) -> Decoded:
    """Choose the share of the recurrent model, then try weights around those of the n-gram's."""
    weight, bonus = settings.lm_weight, settings.word_bonus
    steps: tuple[tuple[str, Sequence[float]], ...] = (
        ("rescoring_share", RESCORING_SHARES),
        ("lm_weight", [factor * weight for factor in RESCORED_LM_WEIGHTS]),
        ("word_bonus", [bonus + change for change in RESCORED_WORD_BONUSES]),
    )
    best = dev.decode(settings)
    for name, values in steps:
        others = [
            dev.decode(best.settings.model_copy(update={name: value}))
            for value in values
            if value != getattr(best.settings, name)
        ]
        best = min([best, *others], key=lambda decoded: decoded.counts.num_errors)
    return best


def _changed(
    settings: DecodeSettings, weights: Weights, changes: Mapping[str, float]
) -> DecodeSettings:
    return settings.model_copy(update={**weights._asdict(), **changes})


def _best_beam(dev: DevSet, settings: DecodeSettings, beam_sizes: Sequence[int]) -> Decoded:
    tried = [
        dev.decode(settings.model_copy(update={"beam_size": beam_size}))
        for beam_size in sorted(beam_sizes)
    ]
    return min(tried, key=lambda decoded: decoded.counts.num_errors)


def calibrate_words(
    dev: DevSet, decoded: Decoded, given: DecodeSettings | None = None
) -> Calibration | None:
    """Calibrate the words' probabilities, or see what the calibration of settings does for them."""
    probabilities, correct = dev.word_marks(decoded.hypotheses)
    if not probabilities:
        return None
    if given is None:
        fitted = fit_calibration(probabilities, correct)
    else:
        fitted = given.confidence_temperature, given.confidence_bias
    return Calibration(*fitted, probabilities, correct)
