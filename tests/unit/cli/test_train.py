"""`asrkit train` where a test cannot have the real thing: many GPUs, interruptions, failures."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner, Result

from asrkit.cli import app
from asrkit.errors import EXIT_INTERRUPTED, TrainingError, UsageError
from asrkit.recipe.prepare import PreparationNotes
from asrkit.recipe.run_folder import RunFolder
from asrkit.recipe.stages import RecipeRun


class Launcher:
    """Stands for the process that starts the processes."""

    started: Launcher
    waits: tuple[int | type[BaseException], ...] = (0,)

    def __init__(self, command: list[str], **options: object) -> None:
        Launcher.started = self
        self.command, self.options = command, options
        self.signals: list[int] = []
        self.ahead = iter(Launcher.waits)

    def wait(self) -> int:
        outcome = next(self.ahead)
        if isinstance(outcome, int):
            return outcome
        raise outcome

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No stage does anything, no process is started."""
    (tmp_path / "recipe.toml").write_text('[recipe]\nname = "tiny"\n')
    monkeypatch.chdir(tmp_path)

    def prepare(run: RecipeRun) -> None:
        PreparationNotes([], [], []).save(run.run.notes)

    monkeypatch.setattr(RecipeRun, "prepare", prepare)
    monkeypatch.setattr(RecipeRun, "decode", lambda *_: None)
    monkeypatch.setattr(RecipeRun, "score", lambda *_: {})
    monkeypatch.setattr(RecipeRun, "pack", lambda *_: None)
    monkeypatch.setattr("asrkit.cli.train.subprocess", SimpleNamespace(Popen=Launcher))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(Launcher, "waits", (0,))


def run(*options: str) -> Result:
    return CliRunner().invoke(app, ["train", ".", *options])


def test_processes_carry_out_the_same_training_and_nothing_else() -> None:
    overrides = ["--set", "train.max_epochs=3", "--set", "decode.method=beam"]
    assert run("--devices", "3", "--json", *overrides).exit_code == 0
    launcher, _, program = " ".join(Launcher.started.command).partition(" -m asrkit ")
    assert launcher.endswith("-m asrkit.train.launcher --standalone --nproc-per-node=3")
    assert program == (
        f"train {Path('recipe.toml').resolve()} --set=train.max_epochs=3 --set=decode.method=beam "
        f"--run-dir={Path('runs/tiny')} --stage=train --json"
    )


def test_a_process_that_fails() -> None:
    Launcher.waits = (1,)
    result = run("--devices", "2")
    assert isinstance(result.exception, TrainingError)
    assert "one of 2 processes failed; the first message above says why" in str(result.exception)


def test_an_interruption_reaches_the_processes_once_and_is_waited_out() -> None:
    Launcher.waits = (KeyboardInterrupt, 1)
    result = run("--devices", "2")
    assert result.exit_code == EXIT_INTERRUPTED
    assert result.stderr == "asrkit: interrupted; repeat the command with --resume to go on\n"
    assert Launcher.started.signals == [signal.SIGINT]
    assert Launcher.started.options == {"start_new_session": True}
    assert list(Launcher.started.ahead) == []


def test_an_interruption_of_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(run: RecipeRun, mirror: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RecipeRun, "train", interrupt)
    result = run()
    assert result.exit_code == EXIT_INTERRUPTED
    assert result.stderr == "asrkit: interrupted; repeat the command with --resume to go on\n"
    assert RunFolder(Path("runs/tiny")).notes.exists()


@pytest.mark.parametrize(("num_gpus", "devices"), [(0, 9), (2, 2), (2, 1)])
def test_as_many_processes_as_gpus(
    monkeypatch: pytest.MonkeyPatch, num_gpus: int, devices: int
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    monkeypatch.setattr(RecipeRun, "train", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", str)
    assert run("--devices", str(devices)).exit_code == 0


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    error = run("--devices", "3").exception
    assert isinstance(error, UsageError)
    assert str(error) == "--devices 3: this machine has 2 GPUs; give at most as many"


def test_torchrun_and_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "RANK", "0")
    error = run("--devices", "2").exception
    assert isinstance(error, UsageError)
    assert "torchrun has started the processes already" in str(error)


def test_devices_are_for_training_only() -> None:
    error = run("--devices", "2", "--stage", "score").exception
    assert isinstance(error, UsageError)
    assert "--devices 2 --stage score: processes share only the training" in str(error)
    assert not Path("runs").exists()
