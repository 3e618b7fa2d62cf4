"""The seed band of a recipe, measured: ranges from runs that differ in their seed only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, stdev

from asrkit.config import load_settings
from asrkit.data.manifest import read_manifest
from asrkit.errors import UsageError
from asrkit.recipe.band_scope import reasons_not_to_compare, settings_of_consequence
from asrkit.recipe.environment import Environment
from asrkit.recipe.run_folder import RunFolder
from asrkit.recipe.seed_band import Curve, Figure, SeedBand
from asrkit.score.protocol import load_protocol
from asrkit.settings import Settings

CONFIDENCE = 0.95
MIN_RUNS = 3
_SHARES = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
"""Of the training, after which figures are taken."""
_WINDOW_SHARE = 0.05
"""Of the training, over which a train loss is averaged: that of one batch says little."""
_LEAST_LOSS = 1e-6
_DIGITS = 5


def measure_band(runs: Sequence[RunFolder]) -> SeedBand:
    """Make a band of finished runs.

    Raises
    ------
    UsageError
        If there are too few, or they differ in more than their seed, or in nothing.
    """
    if len(runs) < MIN_RUNS:
        raise UsageError(
            f"a seed band of {len(runs)} runs: their spread says little; expected at least "
            f"{MIN_RUNS} seeds"
        )
    settings = [load_settings(run.settings) for run in runs]
    seeds = tuple(each.recipe.seed for each in settings)
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"a seed band of the seeds {list(seeds)}: expected different ones")
    curves = [Curve(run.folder) for run in runs]
    num_steps = min(len(curve.losses) for curve in curves)
    window_steps = max(1, round(_WINDOW_SHARE * num_steps))
    steps = sorted({max(window_steps, round(share * num_steps)) for share in _SHARES})
    band = SeedBand(
        seeds=seeds,
        confidence=CONFIDENCE,
        made_with="; ".join(dict.fromkeys(_made_with(run) for run in runs)),
        window_steps=window_steps,
        figures=_figures(curves, steps, window_steps, _num_dev_tokens(runs[0], settings[0])),
        settings=settings_of_consequence(settings[0]),
    )
    for run, own in zip(runs, settings, strict=True):
        if reasons := reasons_not_to_compare(band, own, run):
            raise UsageError(
                f"{run.folder}: cannot be of the band of {runs[0].folder}: {'; '.join(reasons)}; "
                "expected whole runs that differ in recipe.seed only"
            )
    return band


def prediction_interval(
    values: Sequence[float], confidence: float, least_sd: float = 0.0
) -> tuple[float, float]:
    """Give the interval in which another value of a normal distribution is, with `confidence`.

    It is x̄ ± t s √(1 + 1/n), t being the quantile of Student's distribution with n - 1 degrees of
    freedom (Hahn & Meeker 1991, Statistical Intervals).

    Parameters
    ----------
    values
        At least two.
    confidence
        In (0, 1).
    least_sd
        What the standard deviation is known to be at least.
    """
    from scipy.special import stdtrit  # noqa: PLC0415  # whoever only checks a run needs none

    t = float(stdtrit(len(values) - 1, (1 + confidence) / 2))
    reach = t * max(stdev(values), least_sd) * math.sqrt(1 + 1 / len(values))
    return fmean(values) - reach, fmean(values) + reach


def _figures(
    curves: Sequence[Curve], steps: Sequence[int], window_steps: int, num_dev_tokens: int
) -> tuple[Figure, ...]:
    """Take the figures of all runs, and the range of each."""
    num_epochs = min(curve.num_epochs for curve in curves)
    epochs = sorted({max(1, round(share * num_epochs)) for share in _SHARES})
    wanted = [("train_loss", step) for step in steps]
    wanted += [("dev_loss", epoch) for epoch in epochs]
    wanted.append(("dev_error", epochs[-1]))
    # Bonferroni: all of them are in their ranges with CONFIDENCE, however they hang together.
    confidence = 1 - (1 - CONFIDENCE) / len(wanted)
    figures = []
    for of, at in wanted:
        found = [curve.find(of, at, window_steps) for curve in curves]
        values = [value for _, value in filter(None, found)]
        if of == "dev_error":
            # Runs that agree by chance agree to a token at best.
            low, high = prediction_interval(values, confidence, 1 / num_dev_tokens)
        else:
            # Losses scatter by factors, and are never below 0.
            logs = [math.log(max(_LEAST_LOSS, value)) for value in values]
            low, high = map(math.exp, prediction_interval(logs, confidence))
        content = {"of": of, "at": at, "low": _rounded(max(0.0, low), math.floor)}
        content |= {"high": _rounded(high, math.ceil), "values": tuple(map(_rounded, values))}
        figures.append(Figure.model_validate(content))
    return tuple(figures)


def _rounded(value: float, way: Callable[[float], int] = round) -> float:
    """Keep five digits."""
    digits = _DIGITS - 1 - math.floor(math.log10(value)) if value else 0
    return round(way(value * 10.0**digits) / 10.0**digits, digits)


def _num_dev_tokens(run: RunFolder, settings: Settings) -> int:
    protocol, unit = load_protocol(settings.score.protocol), settings.score.unit
    dev = read_manifest(run.manifest("dev"))
    return max(1, sum(len(protocol.apply(u.text, unit, f"utterance {u.utt_id}")) for u in dev))


def _made_with(run: RunFolder) -> str:
    environment = Environment.load(run.environment)
    where = ", ".join(environment.gpus) or f"CPU (threads: {environment.num_threads})"
    return (
        f"asrkit {environment.asrkit}, commit {environment.commit(num_digits=7)}, "
        f"torch {environment.packages['torch']}, {where}"
    )
