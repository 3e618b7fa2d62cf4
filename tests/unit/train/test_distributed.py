"""Two processes take the same steps as one does on their joined batches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asrkit.config import settings_to_toml
from asrkit.data.manifest import Utterance, write_manifest
from asrkit.data.tokens import TokenTable
from asrkit.errors import EXIT_SOME_FAILED
from asrkit.settings import Settings
from asrkit.train import loop
from asrkit.train.checkpoint import load_weights
from asrkit.train.distributed import join_world
from asrkit.train.loop import FINAL_WEIGHTS, DevResult, Trainer
from asrkit.train.metrics import read_metrics

# Five batches: in the last of three steps, one of the two processes has nothing to do.
TABLES: dict[str, dict[str, Any]] = {
    "data": {"max_batch_s": 0.8, "num_buckets": 2},
    "augment": {"speed_factors": (0.9, 1.0), "num_time_masks": 1},
    "model": {"num_layers": 2, "dropout": 0.3},
    "train": {"optimizer": "sgd", "weight_noise_std": 0.05, "clip_norm": 1.0, "max_epochs": 1},
}

# Nothing random, and one step on all there is: two batches, which a larger limit makes one.
PLAIN: dict[str, dict[str, Any]] = {
    "data": {"max_batch_s": 2.0, "num_buckets": 1},
    "train": {"optimizer": "sgd", "clip_norm": 0.0, "max_epochs": 1},
}


def test_alone() -> None:
    with join_world() as world:
        assert (world.rank, world.size, world.is_main) == (0, 1, True)
        assert world.sum(torch.tensor([3.0])).tolist() == [3.0]
        assert world.broadcast(0.1) == 0.1
        assert world.any(True)
        assert not world.any(False)
        module = nn.Linear(1, 1)
        world.sum_gradients(module)
        assert module.weight.grad is None
        world.wait()


@pytest.fixture(scope="module")
def pairs(
    tmp_path_factory: pytest.TempPathFactory,
    utterances: list[Utterance],
    tokens: TokenTable,
    make_settings: Callable[..., Settings],
) -> Path:
    """Let pairs of processes train; the folder holds what they left, by the name of the pair."""
    folder = tmp_path_factory.mktemp("pairs")
    for name, tables in (("random", TABLES), ("plain", PLAIN)):
        (folder / f"{name}.toml").write_text(settings_to_toml(make_settings(**tables)))
    (folder / "tokens.txt").write_text(tokens.to_text())
    write_manifest(folder / "train.jsonl", utterances)
    words = ["random:random:nothing", "plain:plain:nothing"]
    words += ["killed:random:SIGKILL", "stopped:random:SIGSTOP"]
    words += ["killed:random:nothing", "stopped:random:nothing"]
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("process_pairs.py"), folder, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def gradients_of(
    make_trainer: Callable[..., Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Tensor]]:
    """Train alone in `tmp_path / "one"`; give the gradient of each step and parameter."""
    monkeypatch.setattr(loop, "draw_curves", lambda _folder: None)

    def train(**tables: dict[str, Any]) -> dict[str, Tensor]:
        alone = make_trainer(
            tmp_path / "one", evaluate=lambda _: DevResult(1.0, 0.5, 1.0), **tables
        )
        update, gradients = alone._update, {}

        def note_gradients(*arguments: object) -> float:
            norm = update(*arguments)
            for name, parameter in alone.model.named_parameters():
                gradients[f"{alone.position.step + 1}.{name}"] = parameter.grad.clone()
            return norm

        monkeypatch.setattr(alone, "_update", note_gradients)
        alone.run()
        return gradients

    return train


def assert_same_gradients(pair: Path, expected: dict[str, Tensor]) -> None:
    for rank in range(2):
        found = torch.load(pair / f"gradients-{rank}.pt")
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert value.abs().max() > 0, name
            tolerance = 1e-5 * value.abs().max().item()
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=tolerance)


def test_what_a_world_can_do(pairs: Path) -> None:
    for rank in range(2):
        assert json.loads((pairs / "random" / f"world-{rank}.json").read_text()) == {
            "sum": [3.0, 20.0],
            "weight": [[1.0, 2.0]],
            "bias": [3.0],
            "broadcast": 0.1,
            "any": [False, True, True],
            "is_main": rank == 0,
        }


def test_same_gradients_as_one_process_on_the_joined_batch(
    pairs: Path, gradients_of: Callable[..., dict[str, Tensor]]
) -> None:
    gradients = gradients_of(**{**PLAIN, "data": {"max_batch_s": 4.0, "num_buckets": 1}})
    assert {name.partition(".")[0] for name in gradients} == {"1"}
    assert_same_gradients(pairs / "plain", gradients)


def test_same_steps_as_one_process_on_the_same_batches(
    pairs: Path, gradients_of: Callable[..., dict[str, Tensor]], tmp_path: Path
) -> None:
    gradients = gradients_of(**{**TABLES, "train": {**TABLES["train"], "accumulate_batches": 2}})
    assert_same_gradients(pairs / "random", gradients)
    steps_alone = read_metrics(tmp_path / "one", "step")
    steps_of_two = read_metrics(pairs / "random", "step")
    assert len(steps_of_two) == len(steps_alone) == 3
    for one, two in zip(steps_alone, steps_of_two, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)
    expected = load_weights(tmp_path / "one" / "checkpoints" / FINAL_WEIGHTS)
    found = load_weights(pairs / "random" / "checkpoints" / FINAL_WEIGHTS)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)


def test_both_processes_hold_the_same_weights(pairs: Path) -> None:
    first, second = (torch.load(pairs / "random" / f"weights-{rank}.pt") for rank in range(2))
    final = load_weights(pairs / "random" / "checkpoints" / FINAL_WEIGHTS)
    for name, value in first.items():
        assert torch.equal(second[name], value)
        assert torch.equal(final[name], value)


def test_only_the_main_process_leaves_files(pairs: Path) -> None:
    assert len(read_metrics(pairs / "random", "final")) == 1
    assert len(read_metrics(pairs / "random", "epoch")) == 1


@pytest.mark.parametrize(("pair", "what"), [("killed", "SIGKILL"), ("stopped", "SIGSTOP")])
def test_without_the_other_process_it_ends_soon_with_a_checkpoint(
    pairs: Path, pair: str, what: str
) -> None:
    ends = json.loads((pairs / pair / f"ends-{what}.json").read_text())
    assert ends["1"]["exit_code"] == -signal.SIGKILL
    assert ends["0"]["exit_code"] == EXIT_SOME_FAILED
    assert ends["0"]["seconds"] < 60
    assert ends["step"] == 1
    error = (pairs / pair / f"error-{what}").read_text()
    assert error.startswith("LostProcessError: process 0 of 2: another process has ended or does n")
    assert error.endswith("repeat the command with --resume to go on")


@pytest.mark.parametrize("pair", ["killed", "stopped"])
def test_resumed_after_the_loss_of_a_process_it_ends_as_if_there_had_been_none(
    pairs: Path, pair: str
) -> None:
    for name in ("metrics.jsonl", f"checkpoints/{FINAL_WEIGHTS}"):
        assert (pairs / pair / name).read_bytes() == (pairs / "random" / name).read_bytes()
