"""`asrkit train timit --table graves2013` on a fabricated TIMIT, with networks of four cells."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

SPEAKERS = {"TRAIN": ("fcjf0", "mdpk0"), "TEST": ("fadg0", "mdab0")}  # dev and core test
PHONES = ("h# sh ix hv eh h#", "h# dcl d aa r kcl k h#", "h# s uw tcl q h#")
SMALL = (
    "model.hidden_size=4",
    "model.prediction_size=4",
    "model.joint_size=4",
    "train.max_epochs=2",
    "train.checkpoint_steps=2",
    "decode.beam_size=4",
)
PHASES = {"CTC-3l-500h-tanh": ["noiseless"], "CTC-1l-250h": ["noiseless", "noise"]}
ROWS = ",".join(PHASES)
# What a session writes about itself, and files whose entries stand in any order.
NOT_COMPARED = (
    "environment.json",
    "last.safetensors",
    "previous.safetensors",
    "tfevents",
    "table.png",
)


@pytest.fixture(scope="module")
def timit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training speakers, one of the dev and one of the core test list; three sentences each."""
    root = tmp_path_factory.mktemp("corpora") / "TIMIT"
    generator = np.random.default_rng(1)
    for part, speakers in SPEAKERS.items():
        for speaker in speakers:
            folder = root / part / "DR1" / speaker.upper()
            folder.mkdir(parents=True)
            for number, phones in enumerate(PHONES, start=1):
                symbols = phones.split()
                noise = generator.normal(scale=0.05, size=600 * len(symbols))
                soundfile.write(folder / f"SI{number}.WAV", noise, 16000, format="NIST")
                lines = [f"{600 * i} {600 * (i + 1)} {p}\n" for i, p in enumerate(symbols)]
                (folder / f"SI{number}.PHN").write_text("".join(lines))
    return root


@pytest.fixture(scope="module")
def sets(timit: Path) -> list[str]:
    """The options that make the table a small one."""
    return [word for each in (f"data.root={timit}", *SMALL) for word in ("--set", each)]


@dataclass(frozen=True)
class Finished:
    folder: Path
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def finished(asrkit, sets: list[str], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Two rows with two seeds, in the folder tables are in if none is given."""
    cwd = tmp_path_factory.mktemp("cwd")
    which = ["--rows", ROWS, "--seeds", "1,2"]
    done = asrkit("train", "timit", "--table", "graves2013", *which, *sets, folder=cwd)
    assert done.returncode == 0, done.stderr
    return Finished(cwd / "runs" / "timit-graves2013", done)


@pytest.fixture
def run(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the table, to be continued."""
    return shutil.copytree(finished.folder, tmp_path / "run")


def contents(folder: Path) -> dict[str, bytes]:
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {n: p.read_bytes() for n, p in files.items() if not any(x in n for x in NOT_COMPARED)}


def rows_of(folder: Path) -> dict[str, dict]:
    return {row["network"]: row for row in json.loads((folder / "table.json").read_text())["rows"]}


# --- a whole table


def test_the_table_is_all_there_is_on_standard_output(finished: Finished) -> None:
    assert finished.done.stdout == (finished.folder / "table.md").read_text() + "\n"
    assert (finished.folder / "table.png").is_file()
    lines = [line for line in finished.done.stdout.splitlines() if line.startswith("| CTC-1l-250h")]
    assert [cell.strip() for cell in lines[0].split("|")][-2] == "23.9"


def test_progress_says_which_row_seed_and_phase(finished: Finished) -> None:
    lines = finished.done.stderr.splitlines()
    assert [line for line in lines if line.startswith("graves2013 ")] == [
        f"graves2013 {number}/6: {network}, seed {seed}, {phase}"
        for number, (seed, network, phase) in enumerate(
            [(s, n, p) for s in (1, 2) for n, phases in PHASES.items() for p in phases], start=1
        )
    ]
    assert sum(line.startswith("epoch 2/2: train loss ") for line in lines) == 6
    assert lines[0].startswith("timit: train: 6 utterances, the full corpus has 3696")


def test_figures_are_those_of_all_seeds_and_protocols(finished: Finished) -> None:
    rows = rows_of(finished.folder)
    assert len(rows) == 9
    trained = {name: [t["seed"] for t in row["trained"]] for name, row in rows.items()}
    assert {name: seeds for name, seeds in trained.items() if seeds} == {n: [1, 2] for n in PHASES}
    for name, phases in PHASES.items():
        assert set(rows[name]["error_rates"]) == {
            *("timit39", "timit39-optional-sil", "timit39-merged-sil"),
        }
        for seed in (1, 2):
            score = finished.folder / name / f"seed-{seed}" / phases[-1] / "score" / "test.json"
            strict = rows[name]["trained"][seed - 1]["error_rates"]["timit39"]
            assert strict == json.loads(score.read_text())["error_rate"]


def test_the_report_says_why_it_means_nothing(finished: Finished) -> None:
    report = json.loads((finished.folder / "table.json").read_text())
    assert report["compares_with_published"] is False
    deviations = "\n".join(report["deviations"])
    for part in (
        "corpus: train: 6 utterances, the full corpus has 3696",
        "budget: train.max_epochs = 2 ended the training",
        "settings: model.hidden_size = 4",
        "settings: decode.beam_size = 4",
    ):
        assert part in deviations
    assert "do not compare with the published ones" in finished.done.stdout


# --- going on


def test_a_finished_table_is_done(asrkit, run: Path, sets: list[str]) -> None:
    before = contents(run)
    command = ["train", "timit", "--table", "graves2013", "--run-dir", run]
    done = asrkit(*command, *sets)
    assert (done.returncode, done.stdout) == (2, "")
    assert "holds this table already; go on with it, or extend it by rows or seeds" in done.stderr
    done = asrkit(*command, "--rows", ROWS, "--seeds", "1,2", "--resume")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(": done before\n") == 6
    assert contents(run) == before


def test_a_table_is_extended_by_a_row_that_needs_others(asrkit, run: Path) -> None:
    before = contents(run)
    more = ["--rows", "PreTrans-3l-250h", "--run-dir", run, "--resume"]
    done = asrkit("train", "timit", "--table", "graves2013", *more)
    assert done.returncode == 0, done.stderr
    steps = [line for line in done.stderr.splitlines() if line.startswith("graves2013 ")]
    assert [step.partition(": ")[2] for step in steps] == [
        "CTC-3l-250h, seed 1, noiseless",
        "CTC-3l-250h, seed 1, noise",
        "next-phone, seed 1, noiseless",
        "next-phone, seed 1, noise",
        "PreTrans-3l-250h, seed 1, noise",
    ]
    taken = [line for line in done.stderr.splitlines() if line.startswith("first weights: ")]
    assert [Path(line.partition(" from ")[2]).parts[-5] for line in taken[-2:]] == [
        *("CTC-3l-250h", "next-phone"),
    ]
    rows_then = rows_of(run)
    assert [t["epochs"].keys() for t in rows_then["PreTrans-3l-250h"]["trained"]] == [{"noise"}]
    assert rows_then["CTC-3l-250h"]["trained"] == []  # trained, but not asked for
    after = contents(run)
    assert {name for name in before if before[name] != after[name]} == {"table.md", "table.json"}
    assert (run / "CTC-3l-250h" / "seed-1" / "noise" / "settings.toml").is_file()


def test_a_run_of_a_table_is_a_run(asrkit, run: Path) -> None:
    one = run / "CTC-1l-250h" / "seed-2" / "noise"
    before = (one / "score" / "test.json").read_bytes()
    (one / "score" / "test.json").unlink()
    done = asrkit("train", "timit", "--run-dir", one, "--stage", "score")
    assert done.returncode == 0, done.stderr
    assert (one / "score" / "test.json").read_bytes() == before


# --- stopped


@contextmanager
def training(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Start asrkit in a process of its own; whatever happens, it does not outlive the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "asrkit", *map(str, arguments), "--json"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_killed_and_resumed_is_as_never_stopped(
    finished: Finished, sets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same relative folder, since first weights are named by it.
    monkeypatch.chdir(tmp_path)
    command = ["train", "timit", "--table", "graves2013", "--rows", "CTC-1l-250h"]
    with training(*command, *sets) as process:
        assert process.stdout is not None
        phase = ""
        for line in process.stdout:
            event = json.loads(line)
            phase = event.get("phase", phase)
            if phase == "noise" and event["event"] == "step" and event["step"] == 5:
                process.send_signal(signal.SIGKILL)
                break
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
    stopped = Path("runs") / "timit-graves2013"
    assert not (stopped / "CTC-1l-250h" / "seed-1" / "noise" / "model.asr").exists()
    with training(*command, "--resume") as process:
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    *_, last = map(json.loads, stdout.splitlines())
    assert last["event"] == "table"
    assert "CTC-1l-250h, seed 1, noiseless: done before" in stderr
    runs = Path("CTC-1l-250h") / "seed-1"
    assert contents(stopped / runs) == contents(finished.folder / runs)


# --- what cannot be


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["timit", "--rows", "CTC-1l-250h"], "--rows is of a table; add --table NAME"),
        (["timit", "--seeds", "1"], "--seeds is of a table; add --table NAME"),
        (["timit", "--table", "graves2006"], "no such table; expected one of graves2013"),
        (["mini", "--table", "graves2013"], "mini has no such table; the recipe has none"),
        (
            ["timit", "--table", "graves2013", "--rows", "CTC-1l-250h,CTC-9l"],
            "'CTC-9l' is no row of graves2013; expected some of CTC-3l-500h-tanh,CTC-1l-250h,",
        ),
        (["timit", "--table", "graves2013", "--rows", "next-phone"], "is no row of graves2013"),
        (["timit", "--table", "graves2013", "--seeds", "1,x"], "expected whole numbers, e.g. 1,2"),
        (["timit", "--table", "graves2013", "--stage", "score"], "--stage score: is of a single"),
        (["timit", "--table", "graves2013", "--devices", "2"], "--devices 2: is of a single run"),
        (
            ["timit", "--table", "graves2013", "--set", "recipe.seed=3"],
            "a table sets recipe.seed itself; give the seeds with --seeds",
        ),
        (["timit", "--table", "graves2013"], "data.root is not set; set the folder that holds"),
    ],
)
def test_usage_errors(asrkit, tmp_path: Path, arguments: list[str], problem: str) -> None:
    done = asrkit("train", *arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert len(done.stderr.splitlines()) == 1
