"""A run folder is opened once, and again only to go on with the same run."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from asrkit.config import load_settings, settings_from_toml
from asrkit.errors import EXIT_USAGE, UsageError
from asrkit.recipe.prepare import PreparationNotes
from asrkit.recipe.run_folder import RunFolder
from asrkit.settings import Settings


@pytest.fixture
def recipe_toml(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text('[recipe]\nname = "tiny"\nseed = 7\n')
    return path


@pytest.fixture
def settings(recipe_toml: Path) -> Settings:
    return load_settings(recipe_toml)


@pytest.fixture
def begun(tmp_path: Path, settings: Settings) -> RunFolder:
    """A run whose data are prepared."""
    run = RunFolder(tmp_path / "run")
    run.open(settings, resume=False)
    PreparationNotes([], [], []).save(run.notes)
    return run


def snapshot(run: RunFolder) -> Settings:
    return settings_from_toml(run.settings.read_text(), "snapshot")


def test_fresh(tmp_path: Path, settings: Settings) -> None:
    run = RunFolder(tmp_path / "runs" / "tiny")
    run.open(settings, resume=False)
    assert snapshot(run) == settings
    environment = json.loads(run.environment.read_text())
    assert environment["seed"] == 7
    assert environment["packages"]["torch"].startswith("2.")
    for path in (run.manifest("train"), run.hypotheses("dev"), run.score("dev"), run.tokens):
        assert path.parent.is_dir()
        assert path.is_relative_to(run.folder)


def test_resume_may_also_begin(tmp_path: Path, settings: Settings) -> None:
    RunFolder(tmp_path / "run").open(settings, resume=True)
    assert (tmp_path / "run" / "settings.toml").exists()


def test_a_try_whose_data_could_not_be_prepared_is_no_run(
    tmp_path: Path, recipe_toml: Path, settings: Settings
) -> None:
    run = RunFolder(tmp_path / "run")
    run.open(settings, resume=False)
    corrected = load_settings(recipe_toml, ["data.root=/corpora/tiny"])
    run.open(corrected, resume=False)
    assert snapshot(run) == corrected


def test_a_run_is_not_begun_twice(begun: RunFolder, settings: Settings) -> None:
    with pytest.raises(UsageError, match=r"holds a run already.* --resume.* --run-dir") as info:
        begun.open(settings, resume=False)
    assert info.value.exit_code == EXIT_USAGE
    assert str(info.value).startswith(f"{begun.folder}: ")


def test_resume(begun: RunFolder, settings: Settings) -> None:
    begun.open(settings, resume=True)
    assert snapshot(begun) == settings


def test_what_killed_sessions_left_is_removed_when_training_goes_on(
    begun: RunFolder, settings: Settings
) -> None:
    left = [
        begun.folder / name
        for name in (".model.asr.1.partial", "decode/.dev.jsonl.2.partial", "data/.x.3.partial")
    ]
    for path in left:
        path.touch()
    begun.open(settings, resume=True, trains=False)  # a training may be at work meanwhile
    assert all(path.exists() for path in left)
    begun.open(settings, resume=True)
    assert not any(path.exists() for path in left)


def test_changed_settings_are_refused_by_name(begun: RunFolder, recipe_toml: Path) -> None:
    before = begun.settings.read_bytes(), begun.environment.read_bytes()
    overrides = ["model.hidden_size=20", 'features.kind="mfcc"', "train.max_epochs=9"]
    with pytest.raises(UsageError) as info:
        begun.open(load_settings(recipe_toml, overrides), resume=True)
    assert str(info.value) == (
        f"{begun.folder}: the run has other settings: features.kind was 'fbank' and is now 'mfcc'; "
        "model.hidden_size was 250 and is now 20; set them back, or start another run with "
        "--run-dir"
    )
    assert (begun.settings.read_bytes(), begun.environment.read_bytes()) == before


@pytest.mark.parametrize(
    "override",
    [
        "recipe.description=A small one",
        "train.max_epochs=99",
        "train.early_stopping_epochs=3",
        "train.checkpoint_steps=7",
        'decode.method="beam"',
        'decode.splits=["dev"]',
    ],
)
def test_what_does_not_change_the_model_may_change(
    begun: RunFolder, recipe_toml: Path, override: str
) -> None:
    changed = load_settings(recipe_toml, [override])
    begun.open(changed, resume=True)
    assert snapshot(begun) == changed


@pytest.mark.parametrize(
    "override",
    [
        "recipe.seed=8",
        "data.max_batch_s=10.0",
        "augment.speed_factors=[0.9, 1.1]",
        "augment.noise_snr_db=[5, 20]",
        "train.learning_rate=0.5",
        "train.average_checkpoints=4",
    ],
)
def test_what_changes_the_model_may_not(begun: RunFolder, recipe_toml: Path, override: str) -> None:
    with pytest.raises(UsageError, match=override.partition("=")[0]):
        begun.open(load_settings(recipe_toml, [override]), resume=True)


@pytest.mark.parametrize("override", ['score.unit="char"', 'score.protocol="english"'])
def test_the_score_may_change_once_training_is_over(
    begun: RunFolder, recipe_toml: Path, override: str
) -> None:
    changed = load_settings(recipe_toml, [override])
    with pytest.raises(UsageError, match=r"score\.\w+ was .* and is now"):
        begun.open(changed, resume=True)
    begun.final_weights.parent.mkdir()
    begun.final_weights.touch()
    begun.open(changed, resume=True)
    assert snapshot(begun) == changed


def test_the_environment_is_that_of_the_session_that_trained(
    begun: RunFolder, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asrkit.__version__", "9.9")
    begun.open(settings, resume=True, trains=False)
    assert json.loads(begun.environment.read_text())["asrkit"] != "9.9"
    begun.open(settings, resume=True, trains=True)
    assert json.loads(begun.environment.read_text())["asrkit"] == "9.9"


def test_a_run_remembers_what_was_set(tmp_path: Path, recipe_toml: Path) -> None:
    run = RunFolder(tmp_path / "run")
    assert not run.has_begun
    run.open(load_settings(recipe_toml, ["model.hidden_size=9"]), resume=False)
    PreparationNotes([], [], []).save(run.notes)
    assert run.has_begun
    recorded = run.recorded_settings("tiny", ["train.max_epochs=3"])
    assert (recorded.model.hidden_size, recorded.train.max_epochs) == (9, 3)


def test_a_run_of_another_recipe_is_not_gone_on_with(begun: RunFolder) -> None:
    with pytest.raises(UsageError, match=r"holds a run of tiny, not of timit; .*--run-dir"):
        begun.recorded_settings("timit", [])


def test_one_training_at_a_time(begun: RunFolder) -> None:
    other = RunFolder(begun.folder)
    with begun.kept_from_others():
        for _ in range(2):
            with (
                pytest.raises(UsageError, match=f"^{begun.folder}: another process trains in it"),
                other.kept_from_others(),
            ):
                pass
    with other.kept_from_others():
        pass


def test_a_killed_process_keeps_nobody_out(begun: RunFolder) -> None:
    pid = os.fork()
    if pid == 0:
        with begun.kept_from_others():
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    with begun.kept_from_others():
        pass
