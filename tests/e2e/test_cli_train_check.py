"""`asrkit train --check` and `scripts/measure-band`, on a recipe of some seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest
import torch

from asrkit.errors import EXIT_INTERRUPTED, EXIT_USAGE
from asrkit.recipe.stages import RecipeRun

SCRIPT = Path(__file__).parents[2] / "scripts" / "measure-band"
COUNTS = "# As it was recorded.\n[splits.dev]\nutterances = 2\n"


@pytest.fixture(scope="module")
def measure_band() -> Callable[[list[str]], None]:
    """The script, without another start of Python."""
    loader = SourceFileLoader("measure_band", str(SCRIPT))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module.main


@pytest.fixture(scope="module")
def banded(recipe: Path, measure_band: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe with a band of three seeds; their runs are beside it."""
    folder = tmp_path_factory.mktemp("banded")
    shutil.copytree(recipe.parent, folder / "tones")
    (folder / "tones" / "expected.toml").write_text(COUNTS)
    torch.set_num_threads(1)
    measure_band([str(folder / "tones"), "--seeds", "1,2,3", "--runs", str(folder / "runs")])
    return folder / "tones"


@pytest.fixture(scope="module")
def checked(asrkit, banded: Path) -> Path:
    """A run of another seed, carried out and found in band."""
    run = banded.parent / "checked"
    done = asrkit("train", banded, "--check", "--set", "recipe.seed=4", "--run-dir", run)
    assert done.returncode == 0, done.stderr
    assert "dev: WER " in done.stdout, "the whole recipe is carried out"
    assert done.stdout.splitlines()[-1].startswith("in band: all ")
    assert (run / "model.asr").is_file()
    return run


def test_the_counts_stay_and_the_band_is_the_same_again(
    banded: Path, measure_band: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (banded / "expected.toml").read_text()
    assert text.startswith(COUNTS + "\n# --- Seed band: ")
    measure_band([str(banded), "--seeds", "1,2,3", "--runs", str(banded.parent / "runs")])
    assert (banded / "expected.toml").read_text() == text
    table = capsys.readouterr().out
    assert "| train loss, step " in table
    assert "| dev error, end | " in table


def test_what_is_no_band_is_refused_before_anything_is_trained(
    banded: Path, measure_band: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(banded, tmp_path / "tones")
    recipe = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(recipe.replace("hidden_size = 6", "hidden_size = 7"))
    before = (folder / "expected.toml").read_bytes()
    for options, problem in (
        (["--runs", str(banded.parent / "runs")], "model.hidden_size was 6 and is now 7; remove"),
        (["--seeds", "1,2"], "--seeds 1,2: expected at least 3 whole numbers"),
        (["--seeds", "1,2,x"], "--seeds 1,2,x: expected at least 3 whole numbers"),
    ):
        with pytest.raises(SystemExit) as info:
            measure_band([str(folder), *options])
        assert info.value.code == EXIT_USAGE
        assert problem in capsys.readouterr().err
    assert (folder / "expected.toml").read_bytes() == before


def test_interrupted_it_stops_and_writes_nothing(
    recipe: Path, measure_band: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RecipeRun, "train", interrupt)
    folder = shutil.copytree(recipe.parent, tmp_path / "tones")
    with pytest.raises(SystemExit) as info:
        measure_band([str(folder), "--runs", str(tmp_path / "runs")])
    assert info.value.code == EXIT_INTERRUPTED
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["seed-1"]
    assert not (folder / "expected.toml").exists()


def test_a_finished_run_is_only_judged(asrkit, banded: Path, checked: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in checked.rglob("*") if p.name != "settings.toml"}
    done = asrkit("train", banded, "--check", "--run-dir", checked)
    assert done.returncode == 0, done.stderr
    heading, *figures, verdict = done.stdout.splitlines()
    assert heading.split()[:3] == ["figure", "this", "run"]
    assert len(figures) >= 5
    assert verdict.startswith(f"in band: all {len(figures)} figures are where 95 % of runs")
    assert "WER" not in done.stdout
    assert {p: p.stat().st_mtime_ns for p in before if p != checked} == {
        p: time for p, time in before.items() if p != checked
    }


def test_as_json(asrkit, banded: Path, checked: Path) -> None:
    done = asrkit("train", banded, "--check", "--run-dir", checked, "--json")
    (check,) = map(json.loads, done.stdout.splitlines())
    assert (check["event"], check["in_band"], check["seeds"]) == ("check", True, [1, 2, 3])
    for figure in check["figures"]:
        assert figure["low"] <= figure["value"] <= figure["high"]
        assert len(figure["values"]) == 3


def test_a_run_that_left_the_band(asrkit, banded: Path, checked: Path, tmp_path: Path) -> None:
    run = shutil.copytree(checked, tmp_path / "run")
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = max(event["step"] for event in events)
    for event in events:
        if event["step"] == last and "loss" in event:
            event["loss"] = 1e9
    (run / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    done = asrkit("train", banded, "--check", "--run-dir", run)
    assert done.returncode == 1
    (out,) = [line for line in done.stdout.splitlines() if line.endswith("  out")]
    assert out.startswith(f"train loss, step {last}  1e+09")
    assert "in band" not in done.stdout
    assert done.stderr.startswith(
        f"asrkit: {run}: left the seed band at step {last}: train loss, step {last}: 1e+09; "
        "expected "
    )
    done = asrkit("train", banded, "--check", "--run-dir", run, "--json")
    assert (done.returncode, json.loads(done.stdout)["in_band"]) == (1, False)


# --- where there is nothing to say


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--set", "train.max_epochs=1"], "train.max_epochs was 2 and is now 1"),
        (["--set", "augment.gain_db=[0, 1]"], "augment.gain_db was None and is now [0.0, 1.0]"),
        (["--stage", "train"], "--check --stage train: one whole run of one process is checked"),
        (["--devices", "2"], "--check --devices 2: one whole run of one process is checked"),
        (["--table", "t"], "--check --table t: one whole run of one process is checked"),
    ],
)
def test_runs_that_a_band_says_nothing_of(
    asrkit, banded: Path, tmp_path: Path, options: list[str], problem: str
) -> None:
    done = asrkit("train", banded, "--check", "--run-dir", tmp_path / "run", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["librispeech", "librispeech/960h", "timit", "lstm_lab"])
def test_recipes_without_a_band(asrkit, tmp_path: Path, name: str) -> None:
    done = asrkit("train", name, "--check", "--run-dir", tmp_path / "run")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--check: {name} has no seed band: " in done.stderr
    assert f"scripts/measure-band {name}\n" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_partial_corpus_is_told_before_training(asrkit, banded: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(banded, tmp_path / "tones")
    expected = (folder / "expected.toml").read_text()
    (folder / "expected.toml").write_text(expected.replace("utterances = 2", "utterances = 9"))
    done = asrkit("train", folder, "--check", "--run-dir", tmp_path / "run")
    assert (done.returncode, done.stdout) == (2, "")
    assert "dev: 2 utterances, the full corpus has 9; check a run of the recipe as" in done.stderr
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_settings_of_a_finished_run_are_its_own(asrkit, banded: Path, checked: Path) -> None:
    command = ["train", banded, "--check", "--run-dir", checked]
    done = asrkit(*command, "--set", "recipe.seed=5")
    assert done.returncode == 2
    assert "recipe.seed was 4 and is now 5" in done.stderr
