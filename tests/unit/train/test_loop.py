"""The training loop: what it learns, how it stops, and that it goes on exactly where it was."""

from __future__ import annotations

import io
import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.data.manifest import Utterance
from asrkit.data.tokens import TokenTable
from asrkit.errors import DataError, FeasibilityError, LostProcessError, TrainingError
from asrkit.nn.cells.cell import Cell
from asrkit.nn.model import AcousticModel
from asrkit.train import loop, objective
from asrkit.train.checkpoint import load_weights, read_checkpoint
from asrkit.train.distributed import World
from asrkit.train.loop import FINAL_WEIGHTS, DevResult, Trainer
from asrkit.train.metrics import read_metrics

MakeTrainer = Callable[..., Trainer]

PLAIN: dict[str, dict[str, Any]] = {"train": {"checkpoint_steps": 3}}
EVERYTHING: dict[str, dict[str, Any]] = {
    "augment": {
        "speed_factors": (0.9, 1.0, 1.1),
        "noise_snr_db": (10.0, 20.0),
        "num_freq_masks": 1,
        "max_freq_mask_bins": 2,
        "num_time_masks": 1,
    },
    "model": {"num_layers": 2, "dropout": 0.3},
    "train": {
        "optimizer": "sgd",
        "weight_noise_std": 0.05,
        "schedule": "cosine",
        "warmup_steps": 2,
        "clip_norm": 1.0,
        "accumulate_batches": 2,
        "average_checkpoints": 2,
        "checkpoint_steps": 2,
    },
}


@pytest.fixture(autouse=True)
def without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here cuts the power, and a busy disk makes hundreds of small files slow."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders whose curves were drawn; really drawing them takes longer than all the training."""
    folders: list[Path] = []
    monkeypatch.setattr(loop, "draw_curves", folders.append)
    return folders


def final_weights(folder: Path) -> dict[str, Tensor]:
    return load_weights(folder / "checkpoints" / FINAL_WEIGHTS)


def dev_set(errors: list[float]) -> Callable[[AcousticModel], DevResult]:
    """Feign a dev set on which these errors are made, one an epoch; 0.95 and more by silence."""
    remaining = iter(errors)

    def evaluate(_model: AcousticModel) -> DevResult:
        error = next(remaining)
        return DevResult(10.0, error, emission_rate=0.0 if error >= 0.95 else 1.0)

    return evaluate


# --- a whole run


def test_a_run_learns_and_leaves_its_files(
    tmp_path: Path, make_trainer: MakeTrainer, drawn: list[Path]
) -> None:
    trainer = make_trainer(tmp_path / "run", train={"max_epochs": 8, "learning_rate": 0.03})
    mirror = trainer.mirror = io.StringIO()
    trainer.run()
    epochs = read_metrics(tmp_path / "run", "epoch")
    assert [item["epoch"] for item in epochs] == list(range(1, 9))
    assert epochs[-1]["train_loss"] < 0.5 * epochs[0]["train_loss"]
    steps = read_metrics(tmp_path / "run", "step")
    assert [item["step"] for item in steps] == list(range(1, len(steps) + 1))
    assert all(0 <= item["blank_share"] <= 1 for item in steps)
    (final,) = read_metrics(tmp_path / "run", "final")
    assert final["dev_error"] == min(item["dev_error"] for item in epochs)
    assert mirror.getvalue().encode() == (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert drawn == [tmp_path / "run"] * 8
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    best, best_before = (
        min(some, key=lambda item: item["dev_error"])["epoch"] for some in (epochs, epochs[:-1])
    )
    kept = sorted({f"epoch-{epoch:04d}.safetensors" for epoch in (best, best_before)})
    assert names == [*kept, FINAL_WEIGHTS, "last.safetensors", "previous.safetensors"]


def test_arithmetic_is_as_before_afterwards(tmp_path: Path, make_trainer: MakeTrainer) -> None:
    make_trainer(tmp_path / "run", train={"max_epochs": 1}).run()
    assert torch.tensor([1e-40]).mul(2.0).item() > 0.0  # training flushes such numbers to zero


def test_train_loss_is_the_mean_over_utterances(
    tmp_path: Path, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses: list[float] = []
    ctc_nll = objective.ctc_nll

    def spy(*arguments: Tensor) -> Tensor:
        nll = ctc_nll(*arguments)
        losses.extend(nll.tolist())
        return nll

    monkeypatch.setattr(objective, "ctc_nll", spy)
    make_trainer(tmp_path / "run", train={"max_epochs": 1}).run()
    (epoch,) = read_metrics(tmp_path / "run", "epoch")
    assert len(losses) == 10
    assert epoch["train_loss"] == pytest.approx(sum(losses) / 10)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    tmp_path: Path, make_trainer: MakeTrainer
) -> None:
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        make_trainer(tmp_path / name, recipe={"seed": seed}, **EVERYTHING).run()
    one, again, other = (
        (tmp_path / name / "metrics.jsonl").read_bytes() for name in ("one", "again", "other")
    )
    assert one == again
    assert one != other


# --- kill and resume


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def test_bfloat16_on_a_cpu_is_nearly_the_same_and_float16_is_float32(
    tmp_path: Path, make_trainer: MakeTrainer
) -> None:
    weights = {}
    for precision in ("float32", "bfloat16", "float16"):
        trainer = make_trainer(tmp_path / precision, train={"precision": precision})
        trainer.run()
        weights[precision] = final_weights(tmp_path / precision)
    for name, exact in weights["float32"].items():
        assert torch.equal(weights["float16"][name], exact)
        assert weights["bfloat16"][name].dtype == torch.float32
    difference, size = (
        torch.cat([each.flatten() for each in several]).norm()
        for several in (
            [weights["bfloat16"][name] - exact for name, exact in weights["float32"].items()],
            weights["float32"].values(),
        )
    )
    assert 0 < difference < 0.1 * size


def kill_after(trainer: Trainer, num_events: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run until so many things were written to the metrics, then die; False if it ended before."""
    left = iter(range(num_events))
    write = loop.MetricsLog.write

    def count(*arguments: Any) -> None:
        write(*arguments)
        if next(left, None) is None:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop.MetricsLog, "write", count)
        try:
            trainer.run()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("tables", [PLAIN, EVERYTHING], ids=["plain", "everything"])
def test_killed_anywhere_it_goes_on_bit_for_bit(
    tmp_path: Path,
    make_trainer: MakeTrainer,
    monkeypatch: pytest.MonkeyPatch,
    tables: dict[str, dict[str, Any]],
) -> None:
    make_trainer(tmp_path / "whole", **tables).run()
    expected = (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    num_events = expected.count(b"\n")
    assert num_events >= 7
    for kill_at in range(num_events):
        folder = tmp_path / f"killed-{kill_at}"
        assert kill_after(make_trainer(folder, **tables), kill_at, monkeypatch)
        make_trainer(folder, **tables).run()
        assert (folder / "metrics.jsonl").read_bytes() == expected, kill_at
        weights = final_weights(folder)
        for name, value in final_weights(tmp_path / "whole").items():
            assert torch.equal(weights[name], value), (kill_at, name)


def test_killed_again_and_again(
    tmp_path: Path, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_trainer(tmp_path / "whole", **PLAIN).run()
    sessions = 1
    while kill_after(make_trainer(tmp_path / "killed", **PLAIN), 3, monkeypatch):
        sessions += 1
    assert sessions >= 3
    for name in ("metrics.jsonl", f"checkpoints/{FINAL_WEIGHTS}"):
        expected = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "killed" / name).read_bytes() == expected


def test_a_finished_run_resumed_stays_as_it_is(tmp_path: Path, make_trainer: MakeTrainer) -> None:
    contents = []
    for _ in range(2):
        make_trainer(tmp_path / "run", **EVERYTHING).run()
        files = (path for path in (tmp_path / "run").rglob("*") if path.suffix != ".png")
        contents.append(
            {
                path.name: path.read_bytes()
                for path in files
                if path.is_file() and "tensorboard" not in path.parts
            }
        )
    assert contents[0] == contents[1]


def test_more_epochs_go_on_from_the_last(tmp_path: Path, make_trainer: MakeTrainer) -> None:
    make_trainer(tmp_path / "whole", train={"max_epochs": 3}).run()
    make_trainer(tmp_path / "run", train={"max_epochs": 1}).run()
    make_trainer(tmp_path / "run", train={"max_epochs": 3}).run()
    whole, run = (tmp_path / name / "metrics.jsonl" for name in ("whole", "run"))
    assert run.read_bytes() == whole.read_bytes()


def test_an_epoch_begun_by_another_number_of_processes_is_finished_exactly(
    tmp_path: Path, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    training_features = loop.training_features

    def spy(model: AcousticModel, batch: Any, *others: Any) -> tuple[Tensor, Tensor]:
        seen.extend(batch.utt_ids)
        return training_features(model, batch, *others)

    monkeypatch.setattr(loop, "training_features", spy)
    begun = {"max_epochs": 1, "checkpoint_steps": 1, "accumulate_batches": 1}
    assert kill_after(make_trainer(tmp_path / "run", train=begun), 1, monkeypatch)
    del seen[-len(seen) // 2 :]  # the step that was killed before its checkpoint
    first = len(seen)
    assert first > 0
    # Two batches a step, as two processes would take them.
    make_trainer(tmp_path / "run", train={**begun, "accumulate_batches": 2}).run()
    assert sorted(seen) == sorted(f"utt{number}" for number in range(10))


@pytest.mark.parametrize("damaged", ["last.safetensors", "metrics.jsonl"])
def test_a_power_cut_costs_the_steps_since_the_checkpoint_before(
    tmp_path: Path,
    make_trainer: MakeTrainer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damaged: str,
) -> None:
    make_trainer(tmp_path / "whole", **EVERYTHING).run()
    folder = tmp_path / "run"
    assert kill_after(make_trainer(folder, **EVERYTHING), 5, monkeypatch)
    last, previous = (folder / "checkpoints" / f"{n}.safetensors" for n in ("last", "previous"))
    assert (read_checkpoint(previous).position.step, read_checkpoint(last).position.step) == (3, 4)
    path = last if damaged == last.name else folder / damaged
    known = read_checkpoint(last).position.metrics_bytes
    os.truncate(path, (path.stat().st_size if path == last else known) - 30)
    capsys.readouterr()
    make_trainer(folder, **EVERYTHING).run()
    told = capsys.readouterr().err.splitlines()[:2]
    assert told[0].startswith(f"{path}: ")
    assert told[1] == f"going on from {previous}, step 3"
    for name in ("metrics.jsonl", f"checkpoints/{FINAL_WEIGHTS}"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


# --- a process that is lost


def lose_a_process(call: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have the others be missed when they are talked to for the so-many-th time."""
    calls: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        method = getattr(World, name)

        def talk(*arguments: Any) -> Any:
            calls.append(name)
            if len(calls) > call:
                raise LostProcessError("another process has ended")
            return method(*arguments)

        return talk

    for name in ("sum", "sum_gradients", "any", "broadcast"):
        monkeypatch.setattr(World, name, counted(name))
    return calls


def test_a_lost_process_leaves_a_checkpoint_of_the_last_step(
    tmp_path: Path, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {**EVERYTHING, "train": {**EVERYTHING["train"], "max_epochs": 1}}
    make_trainer(tmp_path / "whole", **tables).run()
    for call in range(100):
        folder = tmp_path / f"run{call}"
        with monkeypatch.context() as patch:
            calls = lose_a_process(call, patch)
            try:
                make_trainer(folder, **tables).run()
                break
            except LostProcessError:
                pass
        resumed = make_trainer(folder, **tables)
        if calls[-1] != "broadcast" or calls[-2] != "broadcast":  # else the epoch was at its end
            assert resumed.position.step == len(read_metrics(folder, "step"))
        resumed.run()
        for name in ("metrics.jsonl", f"checkpoints/{FINAL_WEIGHTS}"):
            assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), call
    assert call > 10


# --- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint(
    tmp_path: Path, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    make_trainer(tmp_path / "whole").run()
    handler = signal.getsignal(number)
    write = loop.MetricsLog.write

    def interrupt(log: Any, event: str, step: int, values: Any) -> None:
        write(log, event, step, values)
        if step == 2:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(loop.MetricsLog, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make_trainer(tmp_path / "run").run()
    assert signal.getsignal(number) == handler
    resumed = make_trainer(tmp_path / "run")
    assert resumed.position.step == 2
    resumed.run()
    whole, run = (tmp_path / name / "metrics.jsonl" for name in ("whole", "run"))
    assert run.read_bytes() == whole.read_bytes()


def test_a_signal_in_the_last_evaluation_is_not_lost(
    tmp_path: Path, make_trainer: MakeTrainer
) -> None:
    def evaluate(_model: AcousticModel) -> DevResult:
        os.kill(os.getpid(), signal.SIGTERM)
        return DevResult(1.0, 0.5, 1.0)

    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path / "run", evaluate=evaluate, train={"max_epochs": 1}).run()
    assert make_trainer(tmp_path / "run", train={"max_epochs": 1}).position.epoch == 1


# --- one step


def step_weights(trainer: Trainer) -> dict[str, Tensor]:
    trainer.run()
    return {name: value.detach().clone() for name, value in trainer.model.named_parameters()}


def test_accumulation_is_a_larger_batch(tmp_path: Path, make_trainer: MakeTrainer) -> None:
    one_step = {"max_epochs": 1, "optimizer": "sgd", "learning_rate": 0.1}
    halves = make_trainer(
        tmp_path / "halves",
        data={"max_batch_s": 2.0, "num_buckets": 1},
        train={**one_step, "accumulate_batches": 2},
    )
    whole = make_trainer(
        tmp_path / "whole", data={"max_batch_s": 4.0, "num_buckets": 1}, train=one_step
    )
    start = {name: value.detach().clone() for name, value in whole.model.named_parameters()}
    accumulated, joined = step_weights(halves), step_weights(whole)
    assert len(read_metrics(tmp_path / "halves", "step")) == 1
    for name, value in joined.items():
        assert not torch.equal(value, start[name])
        torch.testing.assert_close(accumulated[name], value, rtol=0, atol=1e-6)


def test_gradients_are_clipped_by_value_before_their_norm(
    tmp_path: Path, make_trainer: MakeTrainer
) -> None:
    table = {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 1.0, "max_epochs": 1}
    trainer = make_trainer(
        tmp_path / "run", data={"max_batch_s": 4.0}, train={**table, "clip_value": 1e-3}
    )
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    trainer.run()
    (item,) = read_metrics(tmp_path / "run", "step")
    changes = [
        (new - old).abs().max().item()
        for old, new in zip(before, trainer.model.parameters(), strict=True)
    ]
    assert max(changes) == pytest.approx(1e-3, rel=1e-3)
    num_weights = sum(parameter.numel() for parameter in trainer.model.parameters())
    assert item["grad_norm"] <= 1e-3 * num_weights**0.5 * 1.001  # the norm of what is left


@pytest.mark.parametrize("frames", [0, 4])
def test_truncated_gradients_are_those_of_the_cells(
    frames: int, tmp_path: Path, make_trainer: MakeTrainer
) -> None:
    trainer = make_trainer(tmp_path / "run", train={"truncate_frames": frames})
    cells = [module for module in trainer.model.modules() if isinstance(module, Cell)]
    assert cells
    assert all(cell.truncate_frames == frames for cell in cells)


def test_gradients_are_clipped_to_the_norm(tmp_path: Path, make_trainer: MakeTrainer) -> None:
    table = {"max_epochs": 1, "optimizer": "sgd", "momentum": 0.0, "learning_rate": 1.0}
    trainer = make_trainer(
        tmp_path / "run", data={"max_batch_s": 4.0}, train={**table, "clip_norm": 0.01}
    )
    start = [value.detach().clone() for value in trainer.model.parameters()]
    trainer.run()
    (item,) = read_metrics(tmp_path / "run", "step")
    assert item["grad_norm"] > 1.0  # the norm before clipping
    moved = [a.detach() - b for a, b in zip(trainer.model.parameters(), start, strict=True)]
    assert torch.cat([each.flatten() for each in moved]).norm().item() == pytest.approx(0.01, 1e-3)


def test_weight_noise_changes_the_gradient_and_not_the_weights(
    tmp_path: Path, make_trainer: MakeTrainer
) -> None:
    # A rate too small to move a float32 weight: any change left would be that of the noise.
    table = {"max_epochs": 1, "optimizer": "sgd", "learning_rate": 1e-30}
    norms = []
    for std in (0.0, 0.1):
        trainer = make_trainer(tmp_path / f"run{std}", train={**table, "weight_noise_std": std})
        start = [value.detach().clone() for value in trainer.model.parameters()]
        trainer.run()
        for now, before in zip(trainer.model.parameters(), start, strict=True):
            assert torch.equal(now, before)
        norms.append([item["grad_norm"] for item in read_metrics(trainer.folder, "step")])
    assert all(clean != noisy for clean, noisy in zip(*norms, strict=True))


# --- schedule and end


def rates(folder: Path) -> list[float]:
    """Learning rate of each epoch, which must be one."""
    by_epoch: dict[int, set[float]] = {}
    for item in read_metrics(folder, "step"):
        by_epoch.setdefault(item["epoch"], set()).add(item["learning_rate"])
    return [rate for (rate,) in by_epoch.values()]


@pytest.mark.parametrize(
    ("patience", "expected"),
    [
        (0, [1, 1, 1, 0.5, 0.25, 0.25]),
        (1, [1, 1, 1, 1, 0.5, 0.5]),
        (2, [1, 1, 1, 1, 1, 1]),
    ],
)
def test_plateau(
    tmp_path: Path, make_trainer: MakeTrainer, patience: int, expected: list[float]
) -> None:
    trainer = make_trainer(
        tmp_path / "run",
        evaluate=dev_set([0.9, 0.8, 0.8, 0.85, 0.7, 0.7]),
        train={
            "max_epochs": 6,
            "schedule": "plateau",
            "learning_rate": 1e-3,
            "plateau_patience": patience,
        },
    )
    trainer.run()
    assert rates(tmp_path / "run") == [1e-3 * rate for rate in expected]


@pytest.mark.parametrize(
    ("patience", "errors", "num_epochs"),
    [
        (1, [0.5, 0.4, 0.4, 0.3, 0.2], 3),
        (2, [0.5, 0.6, 0.4, 0.4, 0.5, 0.1], 5),
        (0, [0.5, 0.6, 0.7, 0.8, 0.9, 0.9], 6),
        # While the model still says next to nothing, nobody's patience is tried.
        (1, [1.0, 0.96, 0.96, 0.96, 0.9, 0.9], 6),
        (1, [1.0, 0.96, 0.96, 0.9, 0.94, 0.1], 5),
    ],
)
def test_early_stopping(
    tmp_path: Path,
    make_trainer: MakeTrainer,
    patience: int,
    errors: list[float],
    num_epochs: int,
) -> None:
    trainer = make_trainer(
        tmp_path / "run",
        evaluate=dev_set(errors),
        train={"max_epochs": 6, "early_stopping_epochs": patience},
    )
    trainer.run()
    assert len(read_metrics(tmp_path / "run", "epoch")) == num_epochs
    (final,) = read_metrics(tmp_path / "run", "final")
    assert final["dev_error"] == min(errors[:num_epochs])


@pytest.mark.parametrize(
    ("mean_error", "chosen"),
    [(0.2, "mean of epochs"), (0.3, "mean of epochs"), (0.4, "best epoch")],
)
def test_the_mean_of_epochs_is_kept_where_it_is_no_worse(
    tmp_path: Path, make_trainer: MakeTrainer, mean_error: float, chosen: str
) -> None:
    trainer = make_trainer(
        tmp_path / "run",
        evaluate=dev_set([0.5, 0.3, mean_error]),
        train={"max_epochs": 2, "average_checkpoints": 2},
    )
    trainer.run()
    (final,) = read_metrics(tmp_path / "run", "final")
    assert final["chosen"] == chosen
    assert final["dev_error"] == min(mean_error, 0.3)
    checkpoints = tmp_path / "run" / "checkpoints"
    first, second = (load_weights(checkpoints / f"epoch-000{n}.safetensors") for n in (1, 2))
    for name, value in final_weights(tmp_path / "run").items():
        expected = (first[name] + second[name]) / 2 if chosen == "mean of epochs" else second[name]
        torch.testing.assert_close(value, expected)
        assert torch.equal(trainer.model.state_dict()[name], value)


@pytest.mark.parametrize(
    ("observations", "remark"),
    [
        ([(50.0, 0.0), (40.0, 0.0)], "; plateau: the model emits only blanks, for "),
        (
            [(10.0, 0.9), (50.0, 0.0)],
            "; collapse: the model emits only blanks, for ",
        ),
        ([(50.0, 0.0), (10.0, 0.9)], None),
    ],
)
def test_remark_on_a_silent_model(
    tmp_path: Path,
    make_trainer: MakeTrainer,
    capsys: pytest.CaptureFixture[str],
    observations: list[tuple[float, float]],
    remark: str | None,
) -> None:
    remaining = iter(observations)

    def evaluate(_model: AcousticModel) -> DevResult:
        loss, emission_rate = next(remaining)
        return DevResult(loss, 1.0, emission_rate)

    make_trainer(tmp_path / "run", evaluate=evaluate).run()
    output = capsys.readouterr()
    assert not output.out
    (line,) = [each for each in output.err.splitlines() if each.startswith("epoch 2/2: train loss")]
    if remark is None:
        assert line.endswith("x real time")
    else:
        assert remark in line


# --- what cannot be trained on


def too_short(utterance: Utterance, text: str) -> Utterance:
    return replace(utterance, text=text)


def test_infeasible_utterances_are_refused_before_the_first_step(
    tmp_path: Path, make_trainer: MakeTrainer, utterances: list[Utterance]
) -> None:
    # "a" lasts 0.1 s: 8 frames, and four equal letters fit only into 7.
    assert utterances[8].duration_s == pytest.approx(0.1)
    feasible = [*utterances[:8], too_short(utterances[8], "aaaa"), utterances[9]]
    make_trainer(tmp_path / "feasible", utterances=feasible)
    infeasible = [*utterances[:8], too_short(utterances[8], "aaaaa"), utterances[9]]
    with pytest.raises(FeasibilityError, match="utterance utt8: 5 tokens with 4 repeats need 9"):
        make_trainer(tmp_path / "run", utterances=infeasible)
    with pytest.raises(FeasibilityError, match=r"utterance utt8: .* the model yields 6"):
        make_trainer(tmp_path / "run", utterances=feasible, augment={"speed_factors": (0.9, 1.25)})
    assert not list((tmp_path / "run").iterdir())


def test_non_finite_loss_names_the_utterance(
    tmp_path: Path,
    make_trainer: MakeTrainer,
    utterances: list[Utterance],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "check_utterances", lambda *_: None)
    infeasible = [*utterances[:8], too_short(utterances[8], "aaaaa"), utterances[9]]
    trainer = make_trainer(tmp_path / "run", utterances=infeasible, data={"max_batch_s": 4.0})
    before = [value.detach().clone() for value in trainer.model.parameters()]
    with pytest.raises(TrainingError, match=r"^step 1: the loss is not finite for utt8 \(loss inf"):
        trainer.run()
    for now, then in zip(trainer.model.parameters(), before, strict=True):
        assert torch.equal(now, then)


def test_non_finite_gradient_names_the_utterances(
    tmp_path: Path, make_trainer: MakeTrainer, utterances: list[Utterance]
) -> None:
    trainer = make_trainer(tmp_path / "run", utterances=utterances[:2], data={"max_batch_s": 4.0})
    bias = trainer.model.network.output.bias
    bias.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(TrainingError, match=r"^step 1: the gradient is not finite \(norm nan\) on"):
        trainer.run()
    assert bias.isfinite().all()


def test_nothing_to_learn_from(tmp_path: Path, make_trainer: MakeTrainer) -> None:
    with pytest.raises(DataError, match="the training set is empty"):
        make_trainer(tmp_path / "run", utterances=[])


def test_other_processes_write_nothing(
    tmp_path: Path, make_trainer: MakeTrainer, tokens: TokenTable
) -> None:
    silent = World(rank=1, size=1, device=torch.device("cpu"))
    trainer = make_trainer(tmp_path / "run", world=silent, train={"max_epochs": 1})
    trainer.run()
    assert [path.name for path in (tmp_path / "run").rglob("*")] == ["checkpoints"]
