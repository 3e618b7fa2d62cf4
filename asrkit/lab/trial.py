"""A trial: one cell, one task, one method, one seed, until the test is passed or patience ends."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from asrkit.lab.methods.catalogue import make_learner
from asrkit.lab.network import LabNetwork
from asrkit.lab.tasks.catalogue import make_task
from asrkit.lab_settings import Experiment, MethodName
from asrkit.settings_types import CellName
from asrkit.train.seeding import seed_everything

_WEIGHTS, _TRAINING, _TESTING = range(3)
# What says which trials there are and how they are shown, not what comes of them.
_NOT_OF_ONE_TRIAL = {"name", "cells", "methods", "seeds", "quick_cells", "paper", "source", "note"}


@dataclass(frozen=True)
class Trial:
    """What is to be tried."""

    experiment: Experiment
    cell: CellName
    method: MethodName
    seed: int

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"{self.experiment.name}, {self.cell}, {self.method}, seed {self.seed}"

    @property
    def key(self) -> str:
        """Digest of everything the result depends on."""
        settings = self.experiment.model_dump(mode="json", exclude=_NOT_OF_ONE_TRIAL)
        values = [settings, self.cell, self.method, self.seed]
        content = json.dumps(values, sort_keys=True).encode()
        return hashlib.blake2b(content, digest_size=8).hexdigest()


@dataclass(frozen=True)
class Result:
    """What came of a trial.

    Attributes
    ----------
    solved
        Whether the test was passed.
    num_sequences
        Training sequences until then, or all there were.
    found
        What the last test found, in words.
    curve
        (training sequences, share of test sequences wrong) of every test.
    num_weights
        Of the network.
    duration_s
        How long it took.
    """

    solved: bool
    num_sequences: int
    found: str
    curve: tuple[tuple[int, float], ...]
    num_weights: int
    duration_s: float

    def to_dict(self) -> dict[str, Any]:
        """Give it for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Result:
        """Undo `to_dict`."""
        curve = tuple((int(at), float(error)) for at, error in values["curve"])
        return cls(**{**values, "curve": curve})


def carry_out(trial: Trial, advance: Callable[[int], None] = lambda _: None) -> Result:
    """Train until a test is passed or the budget is spent.

    Parameters
    ----------
    trial
        What is to be tried. The result is a function of it alone, on one machine.
    advance
        Called with the training sequences of every update.
    """
    settings, start = trial.experiment, time.perf_counter()
    task = make_task(settings.task)
    seed_everything(trial.seed, _WEIGHTS)
    network = LabNetwork(
        trial.cell,
        task.num_inputs,
        settings.hidden_size,
        task.num_outputs,
        settings.forget_bias,
        settings.input_bias,
    )
    learner = make_learner(trial.method, network, task, settings, trial.seed)
    batches = task.draw(settings.batch_size, seed_everything(trial.seed, _TRAINING))
    state = None
    num_sequences, next_test = 0, settings.test_interval
    curve: list[tuple[int, float]] = []
    while True:
        sequences = next(batches)
        state = learner.update(sequences, state if sequences.goes_on else None)
        count = sequences.count * learner.passes
        num_sequences += count
        advance(count)
        if num_sequences < min(next_test, settings.max_sequences):
            continue
        next_test = num_sequences + settings.test_interval
        with torch.no_grad():
            score = task.test(network, seed_everything(trial.seed, _TESTING))
        curve.append((num_sequences, score.error))
        solved = score.error <= task.max_error
        if solved or num_sequences >= settings.max_sequences:
            num_weights = sum(weight.numel() for weight in network.parameters())
            duration_s = time.perf_counter() - start
            return Result(
                solved, num_sequences, score.text, tuple(curve), num_weights, round(duration_s, 2)
            )
