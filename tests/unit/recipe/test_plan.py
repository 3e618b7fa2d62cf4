"""What is predicted is what training does, and afterwards both are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from asrkit.cli import app
from asrkit.config import load_settings
from asrkit.data.audio_cache import DEFAULT_MAX_BYTES
from asrkit.data.batching import make_batches
from asrkit.errors import FeasibilityError, UsageError
from asrkit.recipe import plan as plan_module
from asrkit.recipe import trial as trial_module
from asrkit.recipe.plan import Cost, EpochClock, Plan, relevant
from asrkit.recipe.run_folder import RunFolder
from asrkit.recipe.stages import RecipeRun
from asrkit.recipe.trial import make_plan
from asrkit.settings import Settings
from asrkit.train.checkpoint import Position
from asrkit.train.distributed import World
from asrkit.train.loop import DevResult, Trainer

CPU = torch.device("cpu")
ALONE = World(0, 1, CPU)
DEV = DevResult(loss=1.0, error=0.5, emission_rate=1.0)
SETTINGS = Settings.model_validate({"recipe": {"name": "x"}})


def evaluate(model: object) -> DevResult:
    return DEV


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "_ENOUGH_S", 0.0)


@pytest.fixture
def clock_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock will show, look by look."""
    shown: list[float] = []
    looks: Iterator[float] = iter(shown)
    monkeypatch.setattr(plan_module, "perf_counter", lambda: next(looks))
    return shown


def a_plan(**changes: object) -> Plan:
    values = {
        "device": plan_module.describe(CPU),
        "num_utterances": 28539,
        "audio_s": 362_000.0,
        "num_steps": 1700,
        "max_epochs": 40,
        "cost": Cost(5_430.0, 3_210_000_000, 0, 456_700_000),
        "epoch_range_s": (5_000.0, 6_000.0),
        "made_for": relevant(SETTINGS),
    }
    return Plan(**(values | changes))


# --- the table


def test_a_plan_says_what_will_be_taken() -> None:
    assert a_plan(device="CPU, 2 of 2 threads").text().splitlines() == [
        "device     CPU, 2 of 2 threads",
        "an epoch   28539 utterances, 101 h of audio, 1700 steps",
        "takes      1.51 h (between 1.39 h and 1.67 h), 67 x real time",
        "40 epochs  60.3 h",
        "memory     3.21 GB",
        "disk       457 MB, the run folder after training",
    ]


def test_a_gpu_has_memory_of_its_own() -> None:
    lines = a_plan(cost=Cost(59.0, 10**9, 20 * 10**9, 10**6)).text().splitlines()
    assert lines[2].startswith("takes       59 s ")
    assert lines[5] == "GPU memory  20 GB"


def test_a_plan_survives_the_disk(tmp_path: Path) -> None:
    plan = a_plan(seen={"epoch_s": 1.5})
    plan.save(tmp_path / "run" / "plan.json")
    assert Plan.load(tmp_path / "run" / "plan.json") == plan


# --- the clock


def test_epochs_end_with_their_evaluation(clock_s: list[float]) -> None:
    position = Position()
    clock_s += [0.0, 10.0, 15.0, 22.0, 23.0]
    clock = EpochClock(evaluate)
    clock.start(position)
    for _ in range(2):
        assert clock(None) == DEV
        position.epoch += 1
    clock(None)  # of the mean of the two, after the last
    assert clock.epochs_s == [5.0, 7.0]


def test_half_an_epoch_is_none(clock_s: list[float]) -> None:
    position = Position(epoch=3, batch=1)
    clock_s += [0.0, 10.0, 11.0, 18.0]
    clock = EpochClock(evaluate)
    clock.start(position)
    for _ in range(2):
        clock(None)
        position.epoch += 1
    assert clock.epochs_s == [7.0]


# --- afterwards


def a_clock(clock_s: list[float]) -> EpochClock:
    position = Position()
    clock_s += [0.0, 0.0, 5_000.0, 10_000.0]
    clock = EpochClock(evaluate)
    clock.start(position)
    for _ in range(2):
        clock(None)
        position.epoch += 1
    return clock


def test_how_far_off_it_was(
    clock_s: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_bytes(bytes(1_000_000))
    monkeypatch.setattr(plan_module, "peak_memory_bytes", lambda: 3_000_000_000)
    plan = a_plan()
    assert list(plan.compare(SETTINGS, ALONE, a_clock(clock_s), tmp_path)) == [
        "plan: an epoch: 1.39 h, predicted 1.51 h (+9%)",
        "plan: memory: 3 GB, predicted 3.21 GB (+7%)",
        "plan: disk: 1 MB, predicted 457 MB (+45570%)",
    ]
    assert plan.seen == {
        "epoch_s": 5_000.0,
        "memory_bytes": 3_000_000_000,
        "gpu_memory_bytes": 0,
        "disk_bytes": 1_000_000,
    }


@pytest.mark.parametrize(
    ("override", "compares"),
    [
        ("model.hidden_size=10", False),
        ("data.max_batch_s=7.0", False),
        ("train.precision='float16'", False),
        ("train.max_epochs=3", True),
        ("decode.method='beam'", True),
    ],
)
def test_only_what_was_planned_is_compared(
    clock_s: list[float], tmp_path: Path, override: str, compares: bool
) -> None:
    (tmp_path / "recipe.toml").write_text('[recipe]\nname = "x"\n')
    settings = load_settings(tmp_path / "recipe.toml", [override])
    plan = a_plan()
    lines = plan.compare(settings, ALONE, a_clock(clock_s), tmp_path)
    assert bool(plan.seen) == compares
    assert ("made for other settings" in lines[0]) != compares


def test_another_device_or_more_processes(clock_s: list[float], tmp_path: Path) -> None:
    clock = a_clock(clock_s)
    for plan, world in ((a_plan(device="H200"), ALONE), (a_plan(), World(0, 2, CPU))):
        (line,) = plan.compare(SETTINGS, world, clock, tmp_path)
        assert f"for one process on {plan.device}, so it is not compared with {world.size}" in line
        assert not plan.seen


def test_a_session_without_a_whole_epoch(tmp_path: Path) -> None:
    clock = EpochClock(evaluate)
    clock.start(Position(epoch=2))
    assert list(a_plan().compare(SETTINGS, ALONE, clock, tmp_path)) == []


# --- the trial


def test_planned_and_carried_out(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe()
    done = CliRunner().invoke(app, ["plan", str(recipe_toml), "--run-dir", str(run.folder)])
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    assert "3 utterances" in done.stdout
    assert "1 epochs" in done.stdout
    plan = Plan.load(run.plan)
    assert plan.text() == done.stdout.rstrip("\n")
    low_s, high_s = plan.epoch_range_s
    assert 0 < low_s <= plan.cost.epoch_s <= high_s

    done = CliRunner().invoke(app, ["train", str(recipe_toml), "--run-dir", str(run.folder)])
    assert done.exit_code == 0, done.output
    told = [line for line in done.stderr.splitlines() if line.startswith("plan: ")]
    assert [line.split(":")[1] for line in told] == [" an epoch", " memory", " disk"]
    content = json.loads(run.plan.read_text())
    assert content["cost"] == json.loads(json.dumps(vars(plan.cost)))
    # Without a GPU, tensorboard and the like, what is written is known almost to the byte.
    assert content["seen"]["disk_bytes"] == pytest.approx(plan.cost.disk_bytes, rel=0.5)
    assert content["seen"]["memory_bytes"] > 50_000_000


def test_steps_of_several_batches_count_as_one(make_recipe) -> None:
    recipe_toml = make_recipe()
    settings = load_settings(recipe_toml, ["data.max_batch_s=0.5", "train.accumulate_batches=2"])
    plan = make_plan(recipe_toml, settings, CPU)
    assert plan.num_steps == 2  # of 3 batches


def test_every_second_of_padded_audio_counts_alike(
    make_recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Were each step to take as long as its padded audio, an epoch would take that of all batches.
    texts = {"train": ["abc" * n for n in range(1, 13)], "dev": ["a"], "test": ["a"]}
    recipe_toml = make_recipe(texts)
    settings = load_settings(recipe_toml, ["data.max_batch_s=3.0"])
    passed_s = [0.0]

    def step(trainer: Trainer, group, loaded, share: float) -> float:
        for batch in group:
            next(loaded)
            durations_s = [trainer.utterances[index].duration_s for index in batch]
            passed_s[0] += len(batch) * max(durations_s)
        trainer.position.step += 1
        return 0.0

    monkeypatch.setattr(Trainer, "step", step)
    monkeypatch.setattr(trial_module, "perf_counter", lambda: passed_s[0])
    plan = make_plan(recipe_toml, settings, CPU)
    durations_s = [
        u.duration_s for u in trial_module.load_corpus(recipe_toml, settings.data).splits["train"]
    ]
    batches = make_batches(durations_s, 3.0, settings.data.num_buckets, seed=1, epoch=0)
    assert plan.num_steps == len(batches) > 5, "all batches were tried"
    padded_s = sum(len(batch) * max(durations_s[i] for i in batch) for batch in batches)
    assert plan.cost.epoch_s == pytest.approx(padded_s)


def test_audio_that_training_will_keep_is_memory(make_recipe) -> None:
    recipe_toml = make_recipe()
    settings = load_settings(recipe_toml)
    corpus = trial_module.load_corpus(recipe_toml, settings.data)
    trial = object.__new__(trial_module._Trial)
    trial.settings = settings
    trial.train, trial.dev = corpus.splits["train"], corpus.splits["dev"]
    trial.heard, trial.dev_sample = trial.train[:1], trial.dev
    left_s = sum(utterance.duration_s for utterance in trial.train[1:])
    assert trial.cache_growth_bytes() == pytest.approx(4 * 16000 * left_s, abs=8)
    trial.train = trial.train * 100_000  # does not fit: nothing was kept, and as much as may be is
    assert trial.cache_growth_bytes() == DEFAULT_MAX_BYTES


def test_what_training_would_refuse_is_refused(make_recipe) -> None:
    recipe_toml = make_recipe({"train": ["ab" * 60], "dev": ["a"], "test": ["a"]})
    settings = load_settings(recipe_toml, ["model.frontend='stack'", "model.subsampling=50"])
    with pytest.raises(FeasibilityError, match="utterance train0: 120 tokens"):
        make_plan(recipe_toml, settings, CPU)


# --- the command


def test_a_plan_does_not_begin_a_run(make_recipe, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "planned")
    done = CliRunner().invoke(app, ["plan", str(make_recipe()), "--run-dir", str(run.folder)])
    assert done.exit_code == 0
    assert [path.name for path in run.folder.iterdir()] == ["plan.json"]
    assert not run.has_begun


def test_overrides_are_planned_with(make_recipe, tmp_path: Path) -> None:
    runs = []
    for hidden_size in (2, 40):
        options = ["--set", f"model.hidden_size={hidden_size}", "--device", "cpu"]
        folder = tmp_path / str(hidden_size)
        done = CliRunner().invoke(
            app, ["plan", str(make_recipe()), "--run-dir", str(folder), *options]
        )
        assert done.exit_code == 0
        runs.append(Plan.load(folder / "plan.json"))
    small, large = runs
    assert large.cost.disk_bytes > 2 * small.cost.disk_bytes
    assert small.made_for != large.made_for


def test_what_cannot_be_planned(make_recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for arguments, what in (
        (["lstm_lab"], "a laboratory recipe has no corpus"),
        ([str(make_recipe()), "--device", "cuda"], "torch finds no GPU"),
    ):
        error = CliRunner().invoke(app, ["plan", *arguments]).exception
        assert isinstance(error, UsageError)
        assert what in str(error)


def test_without_a_plan_nothing_is_said(make_recipe, run: RunFolder, capsys) -> None:
    recipe_toml = make_recipe()
    settings = load_settings(recipe_toml)
    made = RecipeRun(recipe_toml, settings, run, ALONE)
    made.prepare()
    made.train()
    assert "plan" not in capsys.readouterr().err
    assert not run.plan.exists()
