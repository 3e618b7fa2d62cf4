"""What is told of a run that goes wrong, while it runs and from its metrics."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from asrkit.data.manifest import Utterance
from asrkit.errors import DivergenceError
from asrkit.nn.model import AcousticModel
from asrkit.train import loop
from asrkit.train.course import Course, follow
from asrkit.train.dev_result import DevResult
from asrkit.train.loop import Trainer
from asrkit.train.metrics import MetricsLog, read_metrics

MakeTrainer = Callable[..., Trainer]


@pytest.fixture(autouse=True)
def without_pictures_and_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "draw_curves", lambda _folder: None)
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


def note(folder: Path, epochs: list[tuple[float, float, float]], per_epoch: int = 10) -> None:
    """Write the metrics of epochs: training loss, dev loss and emission rate of each."""
    with MetricsLog(folder, 0) as log:
        step = 0
        for number, (train_loss, dev_loss, emission_rate) in enumerate(epochs, start=1):
            for of_epoch in range(per_epoch):
                step += 1
                values = {"loss": train_loss, "learning_rate": 1e-3, "grad_norm": 4.0}
                hardest = {"hardest": f"utt{of_epoch % 4}", "hardest_loss": number + of_epoch % 4}
                log.write("step", step, {**values, **hardest})
            dev = {"dev_loss": dev_loss, "dev_error": 0.5, "dev_emission_rate": emission_rate}
            log.write("epoch", step, {"epoch": number, "train_loss": train_loss, **dev})


def test_nothing_is_told_of_a_run_that_learns(tmp_path: Path) -> None:
    note(tmp_path, [(50, 40, 0.0), (30, 25, 0.5), (20, 18, 0.9)])
    course = follow(tmp_path)
    assert course == Course("learning")
    assert course.remark([]) == ""


def test_a_folder_without_metrics(tmp_path: Path) -> None:
    assert follow(tmp_path).summary == ""


def test_a_divergence_names_utterances_figures_and_weights(
    tmp_path: Path, utterances: list[Utterance]
) -> None:
    note(tmp_path, [(50, 40, 0.9), (20, 18, 0.9), (70, 18, 0.9)])
    weights = tmp_path / "checkpoints" / "epoch-0002.safetensors"
    weights.parent.mkdir()
    weights.touch()
    course = follow(tmp_path)
    assert course.state == "divergence"
    assert course.summary == (
        "divergence: the training loss rose to 70 from 20 at step 20; step 30: loss 70, learning "
        "rate 0.001, gradient norm 4"
    )
    assert list(course.hardest.items()) == [("utt3", 6), ("utt2", 5), ("utt1", 4), ("utt0", 3)]
    first, *named, remedy = course.text(utterances).splitlines()
    assert first == course.summary
    path = utterances[3].audio_path
    assert named[0] == f"  utt3: 0.3 s, 'acb', {path}, loss 6 nats a label"
    assert f"dev error 50.00 %, are {weights}" in remedy
    assert course.remark(utterances) == f"; {course.text(utterances)}"


def test_a_run_that_diverges_says_so_behind_its_epoch(
    tmp_path: Path,
    make_trainer: MakeTrainer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rates: Iterator[float] = iter([1e-2] * 24 + [30.0] * 24)
    monkeypatch.setattr(loop, "learning_rate", lambda *_: next(rates))
    evaluate: Callable[[AcousticModel], DevResult] = lambda _model: DevResult(9.0, 0.9, 1.0)  # noqa: E731
    trainer = make_trainer(tmp_path / "run", evaluate=evaluate, train={"max_epochs": 8})
    trainer.run()
    said = capsys.readouterr().err.splitlines()
    numbers = [n for n, line in enumerate(said) if "divergence: the training loss rose" in line]
    assert said[numbers[0]].startswith("epoch 7/8: train loss")
    assert said[numbers[0] + 1].startswith("  utt")
    assert "nats a label" in said[numbers[0] + 1]


def test_a_loss_that_is_not_finite_is_explained_and_noted(
    tmp_path: Path,
    make_trainer: MakeTrainer,
    utterances: list[Utterance],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "check_utterances", lambda *_: None)
    infeasible = [*utterances[:8], replace(utterances[8], text="aaaaa"), utterances[9]]
    trainer = make_trainer(tmp_path / "run", utterances=infeasible)
    with pytest.raises(DivergenceError) as caught:
        trainer.run()
    step = caught.value.step
    first, named, remedy = str(caught.value).splitlines()
    assert first.startswith(f"step {step}: the loss is not finite for utt8 (loss inf")
    if step > 1:
        assert first.endswith(f"gradient norm {_last_norm(tmp_path / 'run'):.4g}")
    assert named == f"  utt8: 0.1 s, 'aaaaa', {utterances[8].audio_path}"
    assert "lower train.learning_rate" in remedy
    (event,) = read_metrics(tmp_path / "run", "divergence")
    assert (event["step"], event["utterances"]) == (step, ["utt8"])
    course = follow(tmp_path / "run")
    assert course.state == "divergence"
    assert course.text(infeasible) == str(caught.value)


def _last_norm(folder: Path) -> float:
    return read_metrics(folder, "step")[-1]["grad_norm"]


def test_a_gradient_that_is_not_finite_is_explained_too(
    tmp_path: Path, make_trainer: MakeTrainer, utterances: list[Utterance]
) -> None:
    trainer = make_trainer(tmp_path / "run", utterances=utterances[:2])
    trainer.model.network.output.bias.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(DivergenceError, match="gradient is not finite") as caught:
        trainer.run()
    assert set(caught.value.utt_ids) <= {"utt0", "utt1"}
    assert f"{caught.value.utt_ids[0]}: " in str(caught.value).splitlines()[1]


def test_every_step_names_its_hardest_utterance(
    tmp_path: Path, make_trainer: MakeTrainer, utterances: list[Utterance]
) -> None:
    tables = {"data": {"max_batch_s": 9.0}, "train": {"max_epochs": 3, "learning_rate": 1e-4}}
    wrong = [replace(utterances[0], text="c"), *utterances[1:]]
    make_trainer(tmp_path / "run", utterances=wrong, **tables).run()
    steps = read_metrics(tmp_path / "run", "step")
    assert {step["hardest"] for step in steps} <= {utterance.utt_id for utterance in wrong}
    assert all(step["hardest_loss"] > 0 for step in steps)
