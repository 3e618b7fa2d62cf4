"""A run that is interrupted, however often and however roughly, ends as one that never was."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asrkit.cli import app
from asrkit.errors import EXIT_INTERRUPTED, EXIT_SOME_FAILED
from asrkit.train.checkpoint import read_checkpoint
from asrkit.train.metrics import MetricsLog

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "check-resume"

# Each would be a plausible mistake: metrics that are not cut back, no checkpoint before the last,
# random numbers that depend on what ran before.
MISTAKES = {
    "differs from the uninterrupted run's": """
from asrkit.train import metrics
metrics.holds_metrics = lambda folder, num_bytes: False
""",
    "no older checkpoint": """
from asrkit.train import last_checkpoints
save = last_checkpoints.save_checkpoint
last_checkpoints.save_checkpoint = lambda *arguments: save(*arguments[:-1])
""",
    "metrics.jsonl differs": """
import torch
from asrkit.train import loop
loop.seed_everything = lambda *parts: torch.Generator()
""",
}


def run_script(kills: int, seed: int, mistake: str = "") -> subprocess.CompletedProcess[str]:
    code = f"{mistake}\nimport runpy, sys; runpy.run_path(sys.argv[0], run_name='__main__')"
    code = f"import sys; sys.argv = sys.argv[1:]\n{code}"
    return subprocess.run(
        [sys.executable, "-c", code, SCRIPT, f"--kills={kills}", f"--seed={seed}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the script needs Linux")
@pytest.mark.parametrize(
    ("kills", "seed"), [(5, 1), pytest.param(30, 2, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_interrupted_at_random_and_resumed_is_as_never_interrupted(kills: int, seed: int) -> None:
    done = run_script(kills, seed)
    assert done.returncode == 0, done.stderr
    *kinds, total = done.stdout.splitlines()
    assert sum(int(line.rpartition(" ")[2]) for line in kinds) == kills
    assert re.match(rf"{kills} kills in (\d+) runs? of \d+ steps, {kills} survived; \1 of", total)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the script needs Linux")
@pytest.mark.parametrize("problem", MISTAKES)
def test_the_script_finds_mistakes(problem: str) -> None:
    done = run_script(10, 1, MISTAKES[problem])
    assert done.returncode == 1
    assert problem in done.stderr


def test_a_signal_gives_exit_code_130_and_a_checkpoint(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = MetricsLog.write

    def interrupt(log: MetricsLog, event: str, step: int, values: Mapping[str, float]) -> None:
        write(log, event, step, values)
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(MetricsLog, "write", interrupt)
    run_dir = tmp_path / "run"
    result = CliRunner().invoke(app, ["train", str(recipe), "--run-dir", str(run_dir)])
    assert result.exit_code == EXIT_INTERRUPTED
    assert "--resume" in result.stderr
    last = read_checkpoint(run_dir / "checkpoints" / "last.safetensors")
    assert last.position.step == 3
    assert not (run_dir / "model.asr").exists()


@contextmanager
def training(recipe: Path, run_dir: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start `asrkit train` in two processes; whatever happens, none outlives the block."""
    command = [sys.executable, "-m", "asrkit", "train", str(recipe), "--run-dir", str(run_dir)]
    command += ["--devices=2", "--json", "--set=data.max_batch_s=0.5", "--set=train.max_epochs=6"]
    process = subprocess.Popen(
        [*command, *options],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        for pid in processes_of(run_dir):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def processes_of(run_dir: Path, rank: str = "") -> list[int]:
    """Find the processes that `torchrun` started for a run, or the one of a rank."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = ((folder / n).read_bytes() for n in ("cmdline", "environ"))
        except OSError:
            continue
        if (
            f"--run-dir={run_dir}\0".encode() in command
            and b"\0RANK=" + rank.encode() in environment
        ):
            found.append(int(folder.name))
    return found


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that nothing happened to."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    with training(recipe, run_dir) as process:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    return run_dir


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it finds processes in /proc")
@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_lost_process_ends_the_training_which_can_be_resumed(
    recipe: Path, whole: Path, tmp_path: Path, rank: str
) -> None:
    run_dir = tmp_path / "run"
    with training(recipe, run_dir) as process:
        for line in process.stdout or ():
            event = json.loads(line)
            if event["event"] == "step" and event["step"] == 5:
                (pid,) = processes_of(run_dir, rank)
                os.kill(pid, signal.SIGKILL)
                break
        _, errors = process.communicate()
        assert process.returncode == EXIT_SOME_FAILED
        assert "asrkit: train: one of 2 processes failed; " in errors
        assert errors.rstrip().endswith("with --resume to go on from the last checkpoint")
        if rank == "1":
            assert "a process was lost; there is a checkpoint of step " in errors
    last = read_checkpoint(run_dir / "checkpoints" / "last.safetensors")
    assert last.position.step >= 4
    with training(recipe, run_dir, "--resume") as process:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    for name in ("metrics.jsonl", "checkpoints/final.safetensors", "decode/dev.jsonl"):
        assert (run_dir / name).read_bytes() == (whole / name).read_bytes(), name
