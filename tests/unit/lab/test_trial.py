"""A trial: a function of its settings, ended by success or by its budget."""

from __future__ import annotations

from dataclasses import replace

import torch

from asrkit.lab.trial import Result, Trial, carry_out
from asrkit.lab_settings import Experiment, LongLag, Reber


def experiment(**more: object) -> Experiment:
    values = {
        "name": "lag",
        "task": LongLag(name="long_lag", lag=4, num_distractors=2),
        "cells": ("lstm",),
        "hidden_size": 4,
        "learning_rate": 0.05,
        "max_sequences": 1600,
        "test_interval": 160,
        **more,
    }
    return Experiment.model_validate(values)


def timeless(result: Result) -> Result:
    return replace(result, duration_s=0.0)


def test_a_result_is_a_function_of_the_trial() -> None:
    trial = Trial(experiment(), "lstm", "bptt", 1)
    first = carry_out(trial)
    torch.rand(5)
    assert timeless(carry_out(trial)) == timeless(first)
    assert (
        len({carry_out(Trial(experiment(), "lstm", "bptt", seed)).curve for seed in range(4)}) > 1
    )


def test_success_ends_a_trial() -> None:
    counts: list[int] = []
    result = carry_out(Trial(experiment(), "lstm", "bptt", 1), counts.append)
    assert result.solved
    assert result.num_sequences == sum(counts) < 1600
    assert result.num_sequences % 160 == 0
    *before, (at, error) = result.curve
    assert (at, error) == (result.num_sequences, 0.0)
    assert all(error > 0 for _, error in before)
    assert result.found == "0 of 500 wrong"
    # W and U of four gates, b, and the output.
    assert result.num_weights == 16 * (5 + 4 + 1) + 2 * 5


def test_a_spent_budget_ends_a_trial() -> None:
    hopeless = experiment(task=Reber(name="reber"), max_sequences=100, test_interval=48)
    result = carry_out(Trial(hopeless, "tanh", "bptt", 1))
    assert not result.solved
    assert [at for at, _ in result.curve] == [48, 96, 112]  # in batches of 16
    assert result.num_sequences == 112


def test_evolution_counts_every_candidate() -> None:
    evolution = experiment(methods=("evolution",), population=5, max_sequences=200, batch_size=10)
    assert carry_out(Trial(evolution, "lstm", "evolution", 1)).num_sequences == 200


def test_the_key_holds_what_the_result_depends_on() -> None:
    trial = Trial(experiment(), "lstm", "bptt", 1)
    shown = experiment(name="other", note="n", paper={"lstm": "1"}, cells=("gru", "lstm"))
    assert Trial(shown, "lstm", "bptt", 1).key == trial.key
    others = [
        replace(trial, cell="gru"),
        replace(trial, method="rtrl"),
        replace(trial, seed=2),
        *(
            replace(trial, experiment=experiment(**change))
            for change in (
                {"hidden_size": 5},
                {"max_sequences": 1700},
                {"input_bias": -1.0},
                {"task": LongLag(name="long_lag", lag=5, num_distractors=2)},
            )
        ),
    ]
    assert len({trial.key, *(other.key for other in others)}) == 1 + len(others)


def test_a_result_survives_json() -> None:
    import json

    result = carry_out(Trial(experiment(), "lstm", "bptt", 1))
    assert Result.from_dict(json.loads(json.dumps(result.to_dict()))) == result
