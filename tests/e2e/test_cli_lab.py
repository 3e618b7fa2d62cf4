"""`asrkit train` on a laboratory recipe: tables, results kept, resuming, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asrkit.errors import EXIT_INTERRUPTED

RECIPE = """
[recipe]
name = "little_lab"
description = "Tiny networks, tiny budgets"
[lab]
seeds = 2
[[lab.experiment]]
name = "lag"
task = { name = "long_lag", lag = 3, num_distractors = 2 }
cells = ["tanh", "lstm"]
quick_cells = ["lstm"]
hidden_size = 4
learning_rate = 0.05
max_sequences = 1600
test_interval = 160
source = "some paper"
note = "A note."
paper = { lstm = "12,345" }
[[lab.experiment]]
name = "count"
task = { name = "counting", trained_n = 2, tested_n = 3 }
cells = ["lstm_peephole"]
methods = ["bptt", "rtrl", "truncated_bptt", "evolution"]
truncate_frames = 2
population = 4
hidden_size = 2
max_sequences = 64
test_interval = 32
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "little_lab" / "recipe.toml"
    path.parent.mkdir()
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def finished(asrkit, lab: Path, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    cwd = tmp_path_factory.mktemp("cwd")
    done = asrkit("train", lab, folder=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "runs" / "little_lab", done


@pytest.fixture
def run(finished, tmp_path: Path) -> Path:
    return shutil.copytree(finished[0], tmp_path / "run")


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2
    assert not done.stdout
    return done.stderr


def test_a_table_a_task_is_printed_and_kept(finished) -> None:
    folder, done = finished
    tables = done.stdout
    assert [line for line in tables.splitlines() if line.startswith("## ")] == [
        "## Long time lag: 3 steps of 2 random distractors",
        "## Aⁿbⁿ, trained for n = 1 to 2",
    ]
    rows = [
        [field.strip() for field in line.strip("|").split("|")]
        for line in tables.splitlines()
        if line.startswith("| ")
    ]
    assert [row[:2] for row in rows] == [
        ["cell", "method"],
        ["tanh", "bptt"],
        ["lstm", "bptt"],
        ["cell", "method"],
        *(["lstm_peephole", m] for m in ("bptt", "rtrl", "truncated_bptt", "evolution")),
    ]
    assert rows[2][-1] == "12,345"
    assert "\nPaper: some paper.\n" in tables
    assert rows[2][3] == "2 of 2"
    assert "A note." in tables
    assert (folder / "lab.md").read_text("utf-8") == tables
    assert (folder / "lab.png").stat().st_size > 1000
    assert {"settings.toml", "environment.json"} <= {path.name for path in folder.iterdir()}


def test_results_are_kept_for_machines(finished) -> None:
    folder, _ = finished
    rows = json.loads((folder / "lab.json").read_text("utf-8"))
    assert [row["num_seeds"] for row in rows] == [2] * 6
    lstm = rows[1]
    assert lstm["task"] == {"name": "long_lag", "lag": 3, "num_distractors": 2, "random": True}
    assert lstm["num_solved"] == 2
    assert (lstm["paper"], lstm["source"]) == ("12,345", "some paper")
    needed = [trial["num_sequences"] for trial in lstm["trials"]]
    assert lstm["median_sequences"] == sum(needed) / 2
    for trial in lstm["trials"]:
        assert trial["curve"][-1][0] == trial["num_sequences"]
        assert trial["curve"][-1][1] == 0.0
    # RTRL takes the same steps as BPTT.
    bptt, rtrl = ([t["curve"] for t in row["trials"]] for row in rows[2:4])
    assert bptt == rtrl


def test_progress_is_on_standard_error(finished) -> None:
    _, done = finished
    lines = done.stderr.splitlines()
    assert len(lines) == 13
    assert lines[2].startswith("lag, lstm, bptt, seed 1: solved after ")
    assert lines[4].startswith("count, lstm_peephole, bptt, seed 1: not solved (")
    assert lines[-1] == "tables and curves: runs/little_lab/lab.md, lab.json, lab.png"


def test_a_resumed_run_does_only_what_is_not_done(asrkit, lab: Path, run: Path) -> None:
    tables = (run / "lab.md").read_text("utf-8")
    results = (run / "trials.jsonl").read_text("utf-8").splitlines(keepends=True)
    (run / "trials.jsonl").write_text("".join(results[:3] + results[4:]))
    (run / "lab.md").unlink()
    done = asrkit("train", lab, "--run-dir", run, "--resume")
    assert done.returncode == 0
    assert done.stdout == tables == (run / "lab.md").read_text("utf-8")
    trial, _ = done.stderr.splitlines()
    assert trial.startswith("lag, lstm, bptt, seed 2: ")


def test_a_resumed_run_keeps_its_settings_and_adds_what_is_new(asrkit, lab: Path, tmp_path) -> None:
    run = tmp_path / "run"
    first = asrkit("train", lab, "--run-dir", run, "--set", "lab.quick=true")
    assert first.stdout.count("\n| lstm ") == 1
    assert "1 of 1" in first.stdout
    assert "tanh" not in first.stdout
    again = asrkit("train", lab, "--run-dir", run, "--resume")
    assert again.stdout == first.stdout
    assert len(again.stderr.splitlines()) == 1
    more = asrkit(
        *("train", lab, "--run-dir", run, "--resume", "--set", "lab.quick=false"),
        *("--set", 'lab.only=["lag"]', "--set", "lab.seeds=1"),
    )
    trial, _ = more.stderr.splitlines()
    assert trial.startswith("lag, tanh, bptt, seed 1: ")


def test_json_lines(asrkit, lab: Path, run: Path) -> None:
    done = asrkit("train", lab, "--run-dir", run, "--resume", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["trial"] * 12
    assert events[2]["name"] == "lag, lstm, bptt, seed 1"
    assert events[2]["solved"] is True


def test_an_interrupted_run_goes_on_where_it_was(asrkit, lab: Path, finished, tmp_path) -> None:
    _, uninterrupted = finished
    run = tmp_path / "run"
    command = [sys.executable, "-m", "asrkit", "train", str(lab), "--run-dir", str(run)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "dumb"}
    # Tests run in the background ignore SIGINT, and so would their children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGINT, before)
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        *_, last = process.stderr.read().splitlines()
    assert process.returncode == EXIT_INTERRUPTED
    assert first.startswith("lag, tanh, bptt, seed 1: ")
    assert last == "asrkit: interrupted; repeat the command with --resume to go on"
    done = asrkit("train", lab, "--run-dir", run, "--resume")
    assert done.stdout == uninterrupted.stdout
    assert "lag, tanh, bptt, seed 1: " not in done.stderr


# --- refused


def test_a_run_is_not_overwritten(asrkit, lab: Path, run: Path) -> None:
    message = refused(asrkit("train", lab, "--run-dir", run))
    assert "holds a run already; continue it with --resume" in message


@pytest.mark.parametrize("options", [("--stage", "train"), ("--devices", "2")])
def test_stages_and_devices_are_refused(asrkit, lab: Path, tmp_path, options) -> None:
    message = refused(asrkit("train", lab, "--run-dir", tmp_path / "run", *options))
    assert f"{' '.join(options)}: a laboratory recipe has no stages" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.max_epochs=3", "train: a recipe with [lab] has no other table but [recipe]"),
        ("lab.seed=3", "lab.seed is not a known key; did you mean seeds?"),
        ("lab.seeds=0", "lab.seeds = 0; input should be greater than or equal to 1"),
        ('lab.only=["lags"]', "only = ['lags']: no such experiment; known: lag, count"),
        ("lab.experiment=[]", "lab.experiment = []"),
    ],
)
def test_wrong_settings(asrkit, lab: Path, tmp_path, change: str, message: str) -> None:
    done = asrkit("train", lab, "--run-dir", tmp_path / "run", "--set", change)
    assert message in refused(done)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lag = 3,", "lga = 3,", "lab.experiment.0.task.long_lag.lga is not a known key; did you"),
        ('"long_lag"', '"long_leg"', "'long_leg'"),
        ('["tanh", "lstm"]', '["tanh", "lstn"]', 'lab.experiment.0.cells.1 = "lstn"; expected'),
        ("hidden_size = 4", "hiden_size = 4", "hiden_size is not a known key; did you mean hidden"),
        ("truncate_frames = 2", "", "truncated_bptt needs truncate_frames of 1 or more"),
        ('name = "count"', 'name = "lag"', "experiments ['lag'] have the name of another"),
        ('quick_cells = ["lstm"]', "", "lab.quick = true leaves no experiment"),
        ('name = "counting", trained_n = 2, tested_n = 3', 'name = "continual_reber"', "a stream"),
    ],
)
def test_wrong_recipes(asrkit, tmp_path: Path, old: str, new: str, message: str) -> None:
    recipe = tmp_path / "recipe.toml"
    assert old in RECIPE
    recipe.write_text(RECIPE.replace(old, new))
    done = asrkit("train", recipe, "--run-dir", tmp_path / "run", "--set", "lab.quick=true")
    assert message in refused(done)
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_recipe_is_refused(asrkit, run: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.replace('"little_lab"', '"other_lab"'))
    message = refused(asrkit("train", recipe, "--run-dir", run, "--resume"))
    assert "holds a run of little_lab, not of other_lab" in message
