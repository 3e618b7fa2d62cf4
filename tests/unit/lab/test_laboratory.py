"""Which trials a recipe asks for, and that what is done is not done again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asrkit.errors import DataError
from asrkit.lab.laboratory import TRIALS, Laboratory, list_trials
from asrkit.lab.trial import Trial
from asrkit.lab_settings import LabSettings


def settings(**more: object) -> LabSettings:
    lag = {"name": "long_lag", "lag": 3, "num_distractors": 2}
    shared = {"task": lag, "hidden_size": 2, "max_sequences": 32, "test_interval": 16}
    experiments = [
        {**shared, "name": "one", "cells": ("tanh", "gru"), "methods": ("bptt", "rtrl")},
        {**shared, "name": "two", "cells": ("lstm",), "quick_cells": ("lstm",), "seeds": 1},
    ]
    return LabSettings.model_validate({"seeds": 2, "experiment": tuple(experiments), **more})


def names(trials: list[Trial]) -> list[str]:
    return [trial.name for trial in trials]


def test_trials_are_listed_in_order() -> None:
    assert names(list_trials(settings(), 5)) == [
        *(f"one, tanh, {method}, seed {seed}" for method in ("bptt", "rtrl") for seed in (5, 6)),
        *(f"one, gru, {method}, seed {seed}" for method in ("bptt", "rtrl") for seed in (5, 6)),
        "two, lstm, bptt, seed 5",
    ]


def test_the_quick_form_has_one_seed_and_fewer_cells() -> None:
    assert names(list_trials(settings(quick=True), 1)) == ["two, lstm, bptt, seed 1"]


def test_some_experiments_only() -> None:
    assert names(list_trials(settings(only=("two",)), 1)) == ["two, lstm, bptt, seed 1"]


def test_what_is_done_is_kept_and_not_done_again(tmp_path: Path) -> None:
    trials = list_trials(settings(), 1)
    Laboratory(trials[:3], tmp_path).run()
    first = (tmp_path / "trials.jsonl").read_text("utf-8")
    reported: list[str] = []
    laboratory = Laboratory(trials, tmp_path)
    assert names([trial for trial, _ in laboratory.results()]) == names(trials[:3])
    laboratory.run(lambda trial, _: reported.append(trial.name))
    assert reported == names(trials)
    assert (tmp_path / "trials.jsonl").read_text("utf-8").startswith(first)
    assert len(list(laboratory.results())) == len(trials)


def test_threads_are_as_before(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    Laboratory(list_trials(settings(quick=True), 1), tmp_path).run()
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"key": "x"}', '{"key": "x", "curve": 3}'])
def test_a_damaged_result_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / TRIALS).write_text(f"{line}\n")
    with pytest.raises(DataError, match=r"trials\.jsonl, line 1: damaged: .*; delete the line"):
        Laboratory([], tmp_path)
