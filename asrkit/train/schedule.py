"""The learning rate as a function of the step, the progress and the dev error so far."""

from __future__ import annotations

import math

from asrkit.settings import TrainSettings

_COSINE_FLOOR = 0.01


def learning_rate(
    settings: TrainSettings, step: int, progress: float, num_reductions: int
) -> float:
    """Rate of one step.

    Parameters
    ----------
    settings
        `learning_rate`, `warmup_steps`, `schedule` and `plateau_factor` are used.
    step
        Optimiser steps done before this one.
    progress
        Share of all epochs done, in [0, 1].
    num_reductions
        How often the dev error has stopped falling (`schedule = "plateau"`).
    """
    rate = settings.learning_rate
    if step < settings.warmup_steps:
        rate *= (step + 1) / settings.warmup_steps
    match settings.schedule:
        case "constant":
            return rate
        case "plateau":
            return rate * settings.plateau_factor**num_reductions
        case "cosine":
            return rate * cosine(progress)


def cosine(progress: float) -> float:
    """Share of the highest rate that is left when so much of the training is done."""
    share = 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    return _COSINE_FLOOR + (1.0 - _COSINE_FLOOR) * share
