"""Choose how a model decodes, by the errors on a dev set; never worse than the greedy search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from asrkit.decode.confidence import (
    calibrate,
    expected_calibration_error,
    fit_temperature,
)
from asrkit.progress import CountProgress
from asrkit.settings import DecodeSettings
from asrkit.tuning.dev_set import Decoded, DevSet
from asrkit.tuning.weights import (
    OOV_PENALTIES,
    Weights,
    search_oov_penalty,
    search_weights,
)

BEAM_SIZES = (4, 8, 16, 32, 64)
_SEARCH_BEAM_SIZE, _PHONE_SEARCH_BEAM_SIZE = 16, 128
"""With which the weights are searched. Of phones more prefixes are alive: words end anywhere."""
_ABOUT_TRIALS = 75


@dataclass(frozen=True)
class Calibration:
    """How far the probabilities of recognised words keep their word."""

    temperature: float
    probabilities: Sequence[float]
    """As the model gives them."""
    correct: Sequence[bool]

    @property
    def calibrated(self) -> list[float]:
        """The probabilities at the temperature."""
        return [calibrate(probability, self.temperature) for probability in self.probabilities]

    @property
    def ece_before(self) -> float:
        """Expected calibration error without the temperature."""
        return expected_calibration_error(self.probabilities, self.correct)

    @property
    def ece_after(self) -> float:
        """Expected calibration error with it."""
        return expected_calibration_error(self.calibrated, self.correct)


@dataclass(frozen=True)
class Tuning:
    """What was tried and what was chosen."""

    rows: Mapping[str, Decoded]
    """`greedy`, `beam` and, with a language model, `beam + LM`, each at its best."""
    chosen: str
    surface: Mapping[Weights, int]
    """Errors of each pair of weights that was tried with the chosen penalty of unknown words; empty
    without a language model."""
    calibration: Calibration | None
    """Of the chosen row; None if no word was recognised."""

    @property
    def settings(self) -> DecodeSettings:
        """What a tuned model decodes with."""
        temperature = self.calibration.temperature if self.calibration else 1.0
        return self.rows[self.chosen].settings.model_copy(
            update={"confidence_temperature": temperature}
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
    settings = settings.model_copy(update={"method": "beam", "confidence_temperature": 1.0})
    plain = settings.model_copy(
        update={
            "reads": "tokens",
            "lm": "",
            "lexicon": "",
            "pronouncer": "",
            "vocabulary": "open",
            "word_bonus": 0.0,
        }
    )
    rows = {"greedy": dev.decode(plain.model_copy(update={"method": "greedy"}))}
    rows["beam"] = _best_beam(dev, plain, beam_sizes)
    surface: Mapping[Weights, int] = {}
    if settings.lm:
        beam_size = _PHONE_SEARCH_BEAM_SIZE if settings.reads_phones else _SEARCH_BEAM_SIZE
        fused = settings.model_copy(update={"beam_size": beam_size})
        with CountProgress("trying weights", _ABOUT_TRIALS) as progress:

            def count_errors(weights: Weights, oov_penalty: float) -> int:
                progress.advance()
                tried = {**weights._asdict(), "oov_penalty": oov_penalty}
                return dev.decode(fused.model_copy(update=tried)).counts.num_errors

            if settings.vocabulary == "open":
                penalty = search_oov_penalty(count_errors, {*OOV_PENALTIES, settings.oov_penalty})
            else:
                penalty = 0.0
            best, surface = search_weights(partial(count_errors, oov_penalty=penalty))
        fused = fused.model_copy(update={**best._asdict(), "oov_penalty": penalty})
        rows["beam + LM"] = _best_beam(dev, fused, beam_sizes)
    # In the order of their speed, so that the first of the best is the fastest.
    chosen = min(rows, key=lambda name: rows[name].counts.num_errors)
    return Tuning(rows, chosen, surface, calibrate_words(dev, rows[chosen]))


def _best_beam(dev: DevSet, settings: DecodeSettings, beam_sizes: Sequence[int]) -> Decoded:
    tried = [
        dev.decode(settings.model_copy(update={"beam_size": beam_size}))
        for beam_size in sorted(beam_sizes)
    ]
    return min(tried, key=lambda decoded: decoded.counts.num_errors)


def calibrate_words(
    dev: DevSet, decoded: Decoded, temperature: float | None = None
) -> Calibration | None:
    """Fit the temperature of the words' probabilities, or see what a given one does for them."""
    probabilities, correct = dev.word_marks(decoded.hypotheses)
    if not probabilities:
        return None
    if temperature is None:
        temperature = fit_temperature(probabilities, correct)
    return Calibration(temperature, probabilities, correct)
