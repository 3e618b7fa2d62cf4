"""The laboratory's recipe: what it names, and its quick form from start to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from asrkit.bundled import RECIPES_DIR
from asrkit.config import load_settings
from asrkit.lab_settings import LabSettings, MethodName
from asrkit.settings_types import CellName

RECIPE = RECIPES_DIR / "lstm_lab" / "recipe.toml"


@pytest.fixture(scope="module")
def lab() -> LabSettings:
    settings = load_settings(RECIPE).lab
    assert settings is not None
    return settings


def test_every_task_cell_and_method_is_tried(lab: LabSettings) -> None:
    tasks = {experiment.task.name for experiment in lab.experiment}
    assert tasks == {
        *("reber", "continual_reber", "long_lag", "adding", "temporal_order", "counting"),
        *("spike_delays", "timed_spikes"),
    }
    assert {cell for each in lab.experiment for cell in each.cells} == set(get_args(CellName))
    methods = {method for each in lab.experiment for method in each.methods}
    assert methods == set(get_args(MethodName))


def test_every_published_figure_has_a_source(lab: LabSettings) -> None:
    for experiment in lab.experiment:
        assert bool(experiment.paper) == bool(experiment.source)
        assert experiment.paper.keys() <= set(experiment.cells)
        assert set(experiment.quick_cells) <= set(experiment.cells)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_quick_form_shows_what_it_should(lab: LabSettings, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "asrkit", "train", "lstm_lab", "--set", "lab.quick=true"]
    environment = {**os.environ, "TERM": "dumb", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, "--run-dir", str(run)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    rows = json.loads((run / "lab.json").read_text("utf-8"))
    solved = {(r["experiment"], r["cell"], r["method"]): r["num_solved"] == 1 for r in rows}
    assert not solved.pop(("long_lag_100", "tanh", "bptt"))
    assert {experiment for experiment, _, _ in solved} == {
        each.name for each in lab.experiment if each.quick_cells
    }
    assert all(solved.values()), solved
    assert (run / "lab.md").read_text("utf-8") == done.stdout
