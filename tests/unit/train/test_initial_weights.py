"""Starting from earlier weights: what is taken over, and that a resumed run needs them no more."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.errors import CheckpointError
from asrkit.nn.model import AcousticModel
from asrkit.settings import Settings
from asrkit.train import loop
from asrkit.train.checkpoint import load_weights, save_weights
from asrkit.train.initial_weights import start_from
from asrkit.train.loop import DevResult, Trainer

MakeTrainer = Callable[..., Trainer]
SIZES = {"prediction_size": 4, "joint_size": 3}


@pytest.fixture(autouse=True)
def without_pictures_and_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "draw_curves", lambda _folder: None)
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture
def make_model(make_settings: Callable[..., Settings]) -> Callable[..., AcousticModel]:
    def make(seed: int, vocab_size: int = 4, **model: Any) -> AcousticModel:
        torch.manual_seed(seed)
        settings = make_settings(
            model={**SIZES, **model}, features={"num_mel_bins": 6, "normalization": "global"}
        )
        created = AcousticModel(settings, vocab_size)
        created.normalizer.mean.zero_()
        created.normalizer.std.fill_(1.0)
        return created

    return make


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str, AcousticModel], str]:
    def write(name: str, model: AcousticModel) -> str:
        model.normalizer.mean.fill_(9.0)
        save_weights(tmp_path / name, model.state_dict())
        return str(tmp_path / name)

    return write


def weights_of(model: AcousticModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_a_transducer_starts_from_two_networks(make_model, save, tmp_path: Path) -> None:
    acoustic, linguistic = make_model(1, kind="ctc"), make_model(2, kind="next_label")
    sources = [save("ctc", acoustic), save("next", linguistic)]
    model = make_model(3, kind="transducer")
    before = weights_of(model)
    remarks = start_from(model, sources, tmp_path, records=True)
    for name, value in model.state_dict().items():
        if name.startswith("network.encoder."):
            expected = acoustic.state_dict()[name]
        elif name.startswith("network.prediction."):
            expected = linguistic.state_dict()[name]
        else:  # the joint layer, and the statistics, which are this run's
            expected = before[name]
        assert torch.equal(value, expected), name
    for name, remark in zip(("ctc", "next"), remarks, strict=True):
        assert remark.endswith(f"tensors from {tmp_path / name}")
    assert "3 of 13 tensors" in remarks[0]


def test_all_agrees_with_a_network_of_the_same_settings(make_model, save, tmp_path: Path) -> None:
    source, model = make_model(1), make_model(2)
    statistics = model.normalizer.mean.clone()
    start_from(model, [save("one", source)], tmp_path, records=True)
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, source.network.state_dict()[name])
    assert torch.equal(model.normalizer.mean, statistics)


def test_a_weight_of_another_shape_is_left(make_model, save, tmp_path: Path) -> None:
    source, model = make_model(1, vocab_size=7), make_model(2, vocab_size=4)
    own_output = model.network.output.weight.detach().clone()
    start_from(model, [save("one", source)], tmp_path, records=True)
    assert torch.equal(model.network.output.weight, own_output)
    for name, value in model.network.encoder.state_dict().items():
        assert torch.equal(value, source.network.encoder.state_dict()[name])


def test_of_two_that_agree_the_later_is_taken(make_model, save, tmp_path: Path) -> None:
    first, second, model = make_model(1), make_model(2), make_model(3)
    start_from(model, [save("1", first), save("2", second)], tmp_path, records=True)
    assert torch.equal(model.network.output.weight, second.network.output.weight)


def test_what_agrees_in_nothing_is_refused_and_named(make_model, save, tmp_path: Path) -> None:
    good, other = save("good", make_model(1)), save("other", make_model(2, kind="next_label"))
    model = make_model(3)
    before = weights_of(model)
    with pytest.raises(CheckpointError, match=rf"^{other}: .* none of its \d+ weights"):
        start_from(model, [good, other], tmp_path, records=True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not (tmp_path / "initial.safetensors").exists()


def test_what_is_missing_or_damaged_is_refused(make_model, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere: there is no such checkpoint"):
        start_from(make_model(1), [str(tmp_path / "nowhere")], tmp_path, records=True)
    (tmp_path / "noise").write_bytes(b"noise" * 100)
    with pytest.raises(CheckpointError, match="noise: damaged"):
        start_from(make_model(1), [str(tmp_path / "noise")], tmp_path, records=True)


def test_a_relative_path_is_taken_from_the_current_folder(
    make_model, save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, model = make_model(1), make_model(2)
    save("one", source)
    monkeypatch.chdir(tmp_path)
    start_from(model, ["one"], tmp_path, records=False)
    assert torch.equal(model.network.output.weight, source.network.output.weight)
    assert not (tmp_path / "initial.safetensors").exists()  # another process writes it


# --- in a run


def dev_set(_model: AcousticModel) -> DevResult:
    return DevResult(1.0, 0.5, 1.0)


def test_a_run_starts_from_them_once(
    tmp_path: Path, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_trainer(tmp_path / "first", evaluate=dev_set, train={"max_epochs": 1}).run()
    source = tmp_path / "first" / "checkpoints" / "final.safetensors"
    source.rename(tmp_path / "weights")
    train = {"initial_weights": (str(tmp_path / "weights"),), "checkpoint_steps": 2}
    make_trainer(tmp_path / "whole", evaluate=dev_set, train=train).run()

    class Killed(BaseException):
        pass

    step = loop.Trainer.step
    for steps_before in (0, 3):
        folder = tmp_path / f"killed-{steps_before}"
        left = iter(range(steps_before))

        def die(trainer: Trainer, *arguments: Any, left: Any = left) -> float:
            if next(left, None) is None:
                raise Killed
            return step(trainer, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(loop.Trainer, "step", die)
            with pytest.raises(Killed):
                make_trainer(folder, evaluate=dev_set, train=train).run()

    (tmp_path / "weights").unlink()  # which a resumed run does not need
    for steps_before in (0, 3):
        folder = tmp_path / f"killed-{steps_before}"
        make_trainer(folder, evaluate=dev_set, train=train).run()
        for name in ("metrics.jsonl", "checkpoints/final.safetensors"):
            assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_first_step_is_taken_from_them(
    tmp_path: Path, make_trainer: MakeTrainer, capsys: pytest.CaptureFixture[str]
) -> None:
    make_trainer(tmp_path / "first", evaluate=dev_set, train={"max_epochs": 3}).run()
    path = tmp_path / "first" / "checkpoints" / "final.safetensors"
    still = {"max_epochs": 1, "optimizer": "sgd", "learning_rate": 1e-30}
    capsys.readouterr()
    trainer = make_trainer(
        tmp_path / "again",
        evaluate=dev_set,
        recipe={"seed": 99},
        train={**still, "initial_weights": (str(path),)},
    )
    trainer.run()
    expected = load_weights(path)
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, expected[name])
    num_tensors = len(trainer.model.network.state_dict())
    told = f"first weights: {num_tensors} of {num_tensors} tensors from {path}"
    assert told in capsys.readouterr().err.replace("\n", "")
