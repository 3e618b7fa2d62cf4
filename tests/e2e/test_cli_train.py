"""`asrkit train` as it is used from a shell: whole runs, single stages, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# What a session writes about itself, and files whose entries stand in any order.
NOT_COMPARED = (
    "environment.json",
    "tensorboard",
    "checkpoints/last.safetensors",
    "checkpoints/previous.safetensors",
)


@dataclass(frozen=True)
class Finished:
    folder: Path
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def finished(asrkit, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A whole run of `--json`, in the folder runs are in if none is given."""
    cwd = tmp_path_factory.mktemp("cwd")
    return Finished(cwd / "runs" / "tones", asrkit("train", recipe, "--json", folder=cwd))


@pytest.fixture
def run(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the run, to be continued."""
    return shutil.copytree(finished.folder, tmp_path / "run")


def contents(folder: Path) -> dict[str, bytes]:
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {
        name: path.read_bytes() for name, path in files.items() if not name.startswith(NOT_COMPARED)
    }


def events(stdout: str, *kinds: str) -> Iterator[dict[str, object]]:
    return (e for e in map(json.loads, stdout.splitlines()) if e["event"] in kinds)


# --- a whole run


def test_a_run_leaves_a_model_and_all_it_took(finished: Finished) -> None:
    assert finished.done.returncode == 0
    assert contents(finished.folder).keys() >= {
        "settings.toml",
        *(f"data/{name}.jsonl" for name in ("train", "dev", "test")),
        *("data/tokens.txt", "data/statistics.safetensors", "data/notes.json"),
        *("checkpoints/final.safetensors", "metrics.jsonl", "curves.png"),
        *("decode/dev.jsonl", "decode/test.jsonl", "score/dev.json", "score/test.json"),
        "model.asr",
    }
    environment = json.loads((finished.folder / "environment.json").read_text())
    assert environment["command"][:2] == ["asrkit", "train"]


def test_json_is_all_there_is_on_standard_output(finished: Finished) -> None:
    kinds = [event["event"] for event in map(json.loads, finished.done.stdout.splitlines())]
    assert kinds == ["step", "step", "epoch"] * 2 + ["final", "score", "score"]
    scores = list(events(finished.done.stdout, "score"))
    assert [score["split"] for score in scores] == ["dev", "test"]
    assert {score["reference"]["utterances"] for score in scores} == {2, 1}
    metrics = (finished.folder / "metrics.jsonl").read_text()
    assert finished.done.stdout.startswith(metrics)


def test_progress_is_on_standard_error(finished: Finished) -> None:
    first, second, model = finished.done.stderr.splitlines()
    assert first.startswith("epoch 1/2: train loss ")
    assert second.startswith("epoch 2/2: train loss ")
    assert model == "model: runs/tones/model.asr"


def test_the_model_can_be_used_at_once(asrkit, finished: Finished, recipe: Path) -> None:
    audio = recipe.parent / "corpus" / "test0.wav"
    done = asrkit("transcribe", audio, "--model", finished.folder / "model.asr", "--format", "json")
    decoded = json.loads((finished.folder / "decode" / "test.jsonl").read_text())
    assert json.loads(done.stdout)["text"] == decoded["text"]


# --- going on


def test_a_run_is_not_begun_twice(asrkit, run: Path, recipe: Path) -> None:
    before = contents(run)
    done = asrkit("train", recipe, "--run-dir", run)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"asrkit: {run}: holds a run already; continue it with --resume, or choose another folder "
        "with --run-dir\n"
    )
    assert contents(run) == before


def test_resuming_a_finished_run_changes_nothing(
    asrkit, run: Path, recipe: Path, finished: Finished
) -> None:
    before = contents(run)
    done = asrkit("train", recipe, "--run-dir", run, "--resume", "--json")
    assert done.returncode == 0
    assert contents(run) == before
    assert list(events(done.stdout, "step", "epoch")) == []
    scores = list(events(finished.done.stdout, "final", "score"))
    assert list(events(done.stdout, "final", "score")) == scores


def test_a_finished_run_can_be_made_longer(asrkit, run: Path, recipe: Path) -> None:
    before = (run / "metrics.jsonl").read_text()
    done = asrkit(
        "train", recipe, "--run-dir", run, "--resume", "--json", "--set", "train.max_epochs=3"
    )
    assert [event["epoch"] for event in events(done.stdout, "epoch")] == [3]
    after = (run / "metrics.jsonl").read_text()
    assert after.startswith(before[: before.rindex('{"event": "final"')])
    assert "max_epochs = 3" in (run / "settings.toml").read_text()


def test_other_settings_are_refused(asrkit, run: Path, recipe: Path) -> None:
    before = contents(run)
    done = asrkit("train", recipe, "--run-dir", run, "--resume", "--set", "model.hidden_size=7")
    assert done.returncode == 2
    assert "model.hidden_size was 6 and is now 7" in done.stderr
    assert contents(run) == before


# --- single stages


@pytest.mark.parametrize(
    ("stage", "made"),
    [
        ("prepare", ["data"]),
        ("train", ["checkpoints", "metrics.jsonl", "curves.png"]),
        ("decode", ["decode"]),
        ("score", ["score"]),
        ("pack", ["model.asr"]),
    ],
)
def test_each_stage_runs_alone(asrkit, run: Path, recipe: Path, stage: str, made: list) -> None:
    before = contents(run)
    for path in (run / name for name in made):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert contents(run) != before
    done = asrkit("train", recipe, "--run-dir", run, "--stage", stage)
    assert done.returncode == 0
    assert contents(run) == before
    assert done.stdout.startswith("dev: WER ") if stage == "score" else done.stdout == ""


def test_stages_follow_each_other(asrkit, recipe: Path, tmp_path: Path) -> None:
    stage = ["train", recipe, "--run-dir", tmp_path / "run", "--stage"]
    done = asrkit(*stage, "train")
    assert done.returncode == 2
    assert "tokens.txt: is missing; run the prepare stage first" in done.stderr
    assert asrkit(*stage, "prepare").returncode == 0
    done = asrkit(*stage, "decode")
    assert done.returncode == 2
    assert "final.safetensors: is missing; run the train stage first" in done.stderr


def test_decoding_otherwise_than_before(asrkit, run: Path, recipe: Path) -> None:
    overrides = ["--set", "decode.method=beam", "--set", 'decode.splits=["dev", "tset"]']
    before = contents(run)
    done = asrkit("train", recipe, "--run-dir", run, "--stage", "decode", *overrides)
    assert (done.returncode, done.stderr) == (0, "tones: no tset set to decode\n")
    changed = {name for name, content in contents(run).items() if content != before[name]}
    assert changed == {"settings.toml", "decode/dev.jsonl"}


def test_scores_for_people(asrkit, run: Path, recipe: Path) -> None:
    scoring = ["train", recipe, "--run-dir", run, "--stage", "score"]
    done = asrkit(*scoring)
    assert [line[:9] for line in done.stdout.splitlines() if " WER " in line] == [
        "dev: WER ",
        "test: WER",
    ]
    assert "partial corpus" not in done.stdout
    notes = {"remarks": [], "deviations": ["dev: 2 utterances, the full has 9"], "speakers": []}
    (run / "data" / "notes.json").write_text(json.dumps(notes))
    warning = "partial corpus: this score does not compare with published ones:\n  dev: 2 utt"
    assert asrkit(*scoring).stdout.count(warning) == 2
    (score, _) = events(asrkit(*scoring, "--json").stdout, "score")
    assert score["deviations"] == notes["deviations"]


def test_what_prepare_found_is_told(asrkit, recipe: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(recipe.parent, tmp_path / "tones")
    (folder / "expected.toml").write_text("[splits.train]\nutterances = 99\n")
    done = asrkit("train", folder, "--run-dir", tmp_path / "run", "--stage", "prepare")
    assert done.stderr == "tones: train: 4 utterances, the full corpus has 99\n"
    assert done.stdout == ""


# --- several processes


def test_two_processes_train_together(asrkit, recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--devices", "2", "--json", "--set", "train.max_epochs=1"]
    done = asrkit("train", recipe, "--run-dir", run, *options)
    assert done.returncode == 0, done.stderr
    kinds = [event["event"] for event in map(json.loads, done.stdout.splitlines())]
    assert kinds == ["step", "epoch", "final", "score", "score"], "two batches are one step"
    assert (run / "model.asr").is_file()
    assert json.loads((run / "environment.json").read_text())["num_processes"] == 2


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--stage", "decode"], "--devices 2 --stage decode: processes share only the training"),
        ([], "holds a run already; continue it with --resume"),
    ],
)
def test_what_several_processes_could_not_do_is_refused_before_they_start(
    asrkit, run: Path, recipe: Path, options: list[str], problem: str
) -> None:
    done = asrkit("train", recipe, "--run-dir", run, "--devices", "2", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert len(done.stderr.splitlines()) == 1


# --- what first-time users get wrong


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "Missing argument 'RECIPE'"),
        (["timid"], "timid: no such recipe; expected one of "),
        (["timid"], "timit"),
        (["corpus/train0.wav"], "corpus/train0.wav: no such recipe"),
        (["gone.toml"], "gone.toml: no such recipe"),
        ([".", "--set", "model.hiden_size=9"], "model.hiden_size is not a known key; did you mean"),
        ([".", "--set", "modl.hidden_size=9"], "modl is not a known key; did you mean model?"),
        ([".", "--set", "model.hidden_size=big"], 'hidden_size = "big"; expected a whole number'),
        ([".", "--set", "model.hidden_size"], "expected table.key=value"),
        ([".", "--stage", "tune"], "'prepare', 'train', 'decode', 'score', 'pack'"),
        ([".", "--devices", "0"], "greater than or equal to 1"),
        ([".", "--run-dir", "recipe.toml"], "'--run-dir'"),
        ([".", "--epochs", "3"], "No such option: --epochs"),
        (["timit"], "data.root is not set; set the folder that holds TIMIT with --set data.root"),
    ],
)
def test_usage_errors(asrkit, recipe: Path, tmp_path: Path, arguments: list, problem: str) -> None:
    run_dir = [] if not arguments or "--run-dir" in arguments else ["--run-dir", tmp_path / "run"]
    done = asrkit("train", *arguments, *run_dir, folder=recipe.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert not (recipe.parent / "runs").exists()


def test_a_mistake_corrected_needs_no_other_run_folder(
    asrkit, recipe: Path, tmp_path: Path
) -> None:
    command = ["train", recipe, "--run-dir", tmp_path / "run", "--stage", "prepare"]
    done = asrkit(*command, "--set", "data.train=gone.jsonl")
    assert done.returncode == 1
    assert "gone.jsonl: cannot be read: No such file or directory" in done.stderr
    assert asrkit(*command).returncode == 0
