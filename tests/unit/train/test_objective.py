"""What each kind of network is trained for, and that one loop trains them all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.ctc.crf import ctc_crf_excess
from asrkit.ctc.loss import ctc_nll
from asrkit.data.dataset import Batch
from asrkit.data.manifest import Utterance
from asrkit.data.pronunciation import Pronunciations
from asrkit.data.tokens import TokenTable
from asrkit.errors import DivergenceError, FeasibilityError
from asrkit.nn.model import AcousticModel
from asrkit.settings import Settings
from asrkit.train import loop, transducer_loss
from asrkit.train.checkpoint import load_weights
from asrkit.train.loop import FINAL_WEIGHTS, DevResult, Trainer
from asrkit.train.metrics import read_metrics
from asrkit.train.objective import check_finite, hardest_of, make_objective
from asrkit.train.preflight import check_utterances
from asrkit.train.trigram import estimate_trigram

MakeTrainer = Callable[..., Trainer]

KINDS = ["ctc", "transducer", "next_label"]
LABELS = [[1, 2, 2], [3], []]
FRAMES = [9, 4, 6]
PHONES = [[1, 1, 2, 1], [2], [1]]


@pytest.fixture(autouse=True)
def without_pictures_and_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "draw_curves", lambda _folder: None)
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture
def make_model(make_settings: Callable[..., Settings]) -> Callable[[str], AcousticModel]:
    def make(kind: str) -> AcousticModel:
        torch.manual_seed(2)
        settings = make_settings(model={"kind": kind, "prediction_size": 4, "joint_size": 3})
        return AcousticModel(settings, vocab_size=4).eval()

    return make


def batch_of(labels: list[list[int]], phones: Sequence[list[int]] = ()) -> Batch:
    names = tuple(f"utt{number}" for number in range(len(labels)))
    label_ids, label_lens = padded(labels)
    phone_ids, phone_lens = padded(phones or [[] for _ in labels])
    return Batch(
        utt_ids=names,
        speakers=("",) * len(labels),
        waves=torch.zeros(len(labels), 0),
        wave_lens=torch.zeros(len(labels), dtype=torch.int64),
        labels=label_ids,
        label_lens=label_lens,
        phones=phone_ids,
        phone_lens=phone_lens,
    )


def padded(rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    ids = [row + [0] * (longest - len(row)) for row in rows]
    return (
        torch.tensor(ids, dtype=torch.int64).view(len(rows), longest),
        torch.tensor([len(row) for row in rows]),
    )


def features() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    feats = torch.randn(len(FRAMES), max(FRAMES), 6, generator=generator)
    lens = torch.tensor(FRAMES)
    return feats * (torch.arange(max(FRAMES)) < lens[:, None])[..., None], lens


# --- the loss of each kind


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_an_utterance_does_not_depend_on_its_company(
    make_model: Callable[[str], AcousticModel], kind: str
) -> None:
    objective = make_objective(make_model(kind))
    together = objective.measure(batch_of(LABELS), features).nll
    assert together.shape == (len(LABELS),)
    feats, lens = features()
    for number, labels in enumerate(LABELS):
        own = feats[number : number + 1, : FRAMES[number]], lens[number : number + 1]
        alone = objective.measure(batch_of([labels]), lambda own=own: own).nll
        torch.testing.assert_close(alone[0], together[number], rtol=1e-5, atol=1e-5)


def test_ctc(make_model: Callable[[str], AcousticModel]) -> None:
    model, batch = make_model("ctc"), batch_of(LABELS)
    objective = make_objective(model)
    measured = objective.measure(batch, features)
    log_probs, out_lens = model.network(*features())
    assert torch.equal(measured.nll, ctc_nll(log_probs, out_lens, batch.labels, batch.label_lens))
    assert torch.equal(measured.outputs, log_probs)
    assert objective.statistics(measured, batch).keys() == {"blank_share", "emission_rate"}


def test_intermediate_ctc(make_settings: Callable[..., Settings]) -> None:
    torch.manual_seed(2)
    model = AcousticModel(make_settings(model={"num_layers": 4}), vocab_size=4).eval()
    batch = batch_of(LABELS)
    plain = make_objective(model).measure(batch, features)
    assert plain.loss is plain.nll
    objective = make_objective(model, (3, 1), 0.25)
    measured = objective.measure(batch, features)
    assert torch.equal(measured.nll, plain.nll)
    assert torch.equal(measured.outputs, plain.outputs)

    network = model.network
    means = torch.zeros(len(LABELS))
    for depth in (1, 3):
        outputs, out_lens = network.encoder.outputs_of((depth,), *features())
        log_probs = network.output(outputs[depth]).log_softmax(dim=-1).transpose(0, 1)
        means += ctc_nll(log_probs, out_lens, batch.labels, batch.label_lens) / 2
    torch.testing.assert_close(measured.intermediate_nll, means)
    torch.testing.assert_close(measured.loss, 0.75 * plain.nll + 0.25 * means)
    statistics = objective.statistics(measured, batch)
    assert statistics["intermediate_loss"] == pytest.approx(means.mean().item())


@pytest.fixture
def with_phones(make_settings: Callable[..., Settings]) -> AcousticModel:
    torch.manual_seed(2)
    settings = make_settings(model={"num_layers": 3, "phone_layer": 2})
    return AcousticModel(settings, vocab_size=4, num_phones=3).eval()


@pytest.mark.parametrize("layers", [(), (1,)])
def test_ctc_of_tokens_and_phones(with_phones: AcousticModel, layers: tuple[int, ...]) -> None:
    batch = batch_of(LABELS, PHONES)
    plain = make_objective(with_phones, layers, 0.3).measure(batch, features)
    objective = make_objective(with_phones, layers, 0.3, phone_weight=0.25)
    measured = objective.measure(batch, features)
    log_probs, out_lens = with_phones.network.read_phones(*features())
    nll = ctc_nll(log_probs, out_lens, batch.phones, batch.phone_lens)
    torch.testing.assert_close(measured.phone_nll, nll)
    torch.testing.assert_close(measured.loss, 0.75 * plain.loss + 0.25 * nll)
    assert torch.equal(measured.nll, plain.nll)
    assert torch.equal(measured.outputs, with_phones.network(*features())[0])
    assert plain.phone_nll is None
    added = {"phone_loss": pytest.approx(nll.mean().item())}
    assert objective.statistics(measured, batch) == objective.statistics(plain, batch) | added


def test_phones_among_all_phones(with_phones: AcousticModel) -> None:
    batch, trigram = batch_of(LABELS, PHONES), estimate_trigram(PHONES, 3)
    plain = make_objective(with_phones, phone_weight=1).measure(batch, features)
    objective = make_objective(
        with_phones, phone_weight=0.25, phone_crf_weight=0.75, phone_trigram=trigram
    )
    measured = objective.measure(batch, features)
    log_probs, out_lens = with_phones.network.read_phones(*features())
    excess = ctc_crf_excess(log_probs, out_lens, batch.phones, batch.phone_lens, trigram)
    torch.testing.assert_close(measured.phone_crf_nll, plain.loss + excess)
    expected = 0.75 * plain.nll + 0.25 * (plain.loss + 0.75 * excess)
    torch.testing.assert_close(measured.loss, expected)
    assert torch.equal(measured.phone_nll, plain.phone_nll)
    figure = objective.statistics(measured, batch)["phone_crf_loss"]
    assert figure == pytest.approx((plain.loss + excess).mean().item())


@pytest.mark.parametrize("trigram", [None, estimate_trigram([[1, 2], [2]], 3)])
@pytest.mark.parametrize("phones", [[], [1, 1, 1], [1, 2, 1, 2, 1]])
def test_phones_that_are_unknown_or_too_many_teach_nothing(
    with_phones: AcousticModel, phones: list[int], trigram: torch.Tensor | None
) -> None:
    # The second utterance has 4 frames; the third phone of three equal ones would be the fifth.
    network = with_phones.network
    batch = batch_of(LABELS, [PHONES[0], phones, PHONES[2]])
    objective = make_objective(
        with_phones, phone_weight=0.25, phone_crf_weight=0.5, phone_trigram=trigram
    )
    measured = objective.measure(batch, features)
    assert torch.equal(measured.loss == measured.nll, torch.tensor([False, True, False]))
    assert len(measured.phone_nll) == 2
    measured.loss[1].backward()
    assert not network.phone_output.weight.grad.any()
    assert network.output.weight.grad.any()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name


def test_a_batch_that_teaches_no_phones_tells_nothing_of_them(with_phones: AcousticModel) -> None:
    batch = batch_of(LABELS)
    objective = make_objective(with_phones, phone_weight=0.25)
    measured = objective.measure(batch, features)
    assert torch.equal(measured.loss, measured.nll)
    assert objective.statistics(measured, batch).keys() == {"blank_share", "emission_rate"}


def test_the_loss_in_the_metrics_is_that_of_the_last_layer(
    tmp_path: Path, make_trainer: MakeTrainer
) -> None:
    first_losses, weights = [], []
    for layers in ((), (1,)):
        trainer = make_trainer(
            tmp_path / f"run{len(layers)}",
            model={"num_layers": 2, "hidden_size": 5},
            train={"max_epochs": 3, "learning_rate": 0.03, "intermediate_layers": layers},
        )
        trainer.run()
        first_losses.append(read_metrics(trainer.folder, "step")[0]["loss"])
        weights.append(load_weights(trainer.checkpoints / FINAL_WEIGHTS))
    steps = read_metrics(trainer.folder, "step")
    assert steps[-1]["intermediate_loss"] < steps[0]["intermediate_loss"]
    assert first_losses[0] == first_losses[1]
    plain, regularized = weights
    assert plain.keys() == regularized.keys()  # nothing is added to the model
    assert not torch.equal(plain["network.output.weight"], regularized["network.output.weight"])


def test_next_labels_are_each_symbol_and_the_end(
    make_model: Callable[[str], AcousticModel],
) -> None:
    model = make_model("next_label")

    def unheard() -> tuple[Tensor, Tensor]:
        pytest.fail("the audio is of no use to it")

    measured = make_objective(model).measure(batch_of(LABELS), unheard)
    for number, labels in enumerate(LABELS):
        log_probs = model.network(torch.tensor([labels], dtype=torch.int64))[0]
        expected = -sum(log_probs[place, label] for place, label in enumerate([*labels, 0]))
        torch.testing.assert_close(measured.nll[number], expected, rtol=1e-5, atol=1e-5)
    assert measured.out_lens.tolist() == [4, 2, 1]


@pytest.mark.parametrize("kind", ["transducer", "next_label"])
def test_only_ctc_tells_what_it_emits(
    make_model: Callable[[str], AcousticModel], kind: str
) -> None:
    objective, batch = make_objective(make_model(kind)), batch_of(LABELS)
    assert objective.statistics(objective.measure(batch, features), batch) == {}


def test_a_loss_that_is_not_finite_names_its_utterances() -> None:
    nll = torch.tensor([1.0, torch.inf, torch.nan])
    message = r"^step 7: .* not finite for b \(loss inf\), c \(loss"
    with pytest.raises(DivergenceError, match=message) as caught:
        check_finite(nll, ("a", "b", "c"), step=7)
    assert (caught.value.step, caught.value.utt_ids) == (7, ("b", "c"))
    check_finite(nll[:1], ("a",), step=7)


def test_the_hardest_utterance_is_that_with_the_largest_loss_a_label() -> None:
    batch = batch_of([[1, 2, 2, 3], [3], []])
    assert hardest_of(torch.tensor([40.0, 12.0, 3.0]), batch) == (12.0, "utt1")
    assert hardest_of(torch.tensor([4.0, 2.0, 3.0]), batch) == (3.0, "utt2")


def test_frames_that_are_needed(make_model: Callable[[str], AcousticModel]) -> None:
    needed = [make_objective(make_model(kind)).frames_needed([1, 2, 2, 3]) for kind in KINDS]
    assert needed == [5, 1, 0]


# --- what each kind asks of an utterance


def test_what_is_too_short_depends_on_the_kind(
    make_model: Callable[[str], AcousticModel], utterances: list[Utterance]
) -> None:
    tokens = TokenTable(("<blank>", "a", "b", "c"), "char")
    # 0.1 s give 8 frames; 20 ms are less than one window.
    crowded = replace(utterances[8], text="aaaaaaaaaa")
    nothing = replace(utterances[9], duration_s=0.02)
    with pytest.raises(FeasibilityError, match="utt8: 10 tokens with 9 repeats need 19"):
        check_utterances(make_model("ctc"), [crowded], tokens)
    check_utterances(make_model("transducer"), [crowded], tokens)
    with pytest.raises(FeasibilityError, match="too short for a single frame: utt9; leave"):
        check_utterances(make_model("transducer"), [crowded, nothing], tokens)
    check_utterances(make_model("next_label"), [crowded, nothing], tokens)


# --- one loop for all


def any_dev_set(model: AcousticModel) -> DevResult:
    weights = torch.cat([parameter.flatten() for parameter in model.parameters()])
    return DevResult(1.0, 1.0 / (1.0 + weights.norm().item()), 1.0)


@pytest.fixture
def pronunciations() -> Pronunciations:
    lexicon = {"b": ("y",), "ab": ("x", "y"), "cab": ("z", "x", "y"), "cc": ("z", "z")}
    return Pronunciations.for_texts(lexicon, lexicon)


@pytest.mark.parametrize("kind", ["transducer", "next_label"])
def test_a_run_learns(tmp_path: Path, make_trainer: MakeTrainer, kind: str) -> None:
    make_trainer(
        tmp_path / "run",
        evaluate=any_dev_set,
        model={"kind": kind, "prediction_size": 8, "joint_size": 8},
        train={"max_epochs": 12, "learning_rate": 0.03},
    ).run()
    epochs = read_metrics(tmp_path / "run", "epoch")
    assert epochs[-1]["train_loss"] < 0.75 * epochs[0]["train_loss"]
    step = read_metrics(tmp_path / "run", "step")[0]
    figures = {"event", "step", "epoch", "loss", "learning_rate", "grad_norm"}
    assert step.keys() == figures | {"hardest", "hardest_loss"}


def test_a_run_learns_phones_of_the_words_that_have_any(
    tmp_path: Path, make_trainer: MakeTrainer, pronunciations: Pronunciations
) -> None:
    make_trainer(
        tmp_path / "run",
        pronunciations=pronunciations,
        model={"num_layers": 2, "phone_layer": 1},
        data={"max_batch_s": 4.0, "num_buckets": 1},
        train={"max_epochs": 12, "learning_rate": 0.03},
    ).run()
    steps = read_metrics(tmp_path / "run", "step")
    assert steps[-1]["phone_loss"] < 0.75 * steps[0]["phone_loss"]
    assert steps[-1]["loss"] < 0.75 * steps[0]["loss"]


@pytest.mark.parametrize("kind", ["ctc", "transducer", "next_label"])
def test_killed_it_goes_on_bit_for_bit(
    tmp_path: Path,
    make_trainer: MakeTrainer,
    monkeypatch: pytest.MonkeyPatch,
    pronunciations: Pronunciations,
    kind: str,
) -> None:
    tables: dict[str, Any] = {
        "augment": {"speed_factors": (0.9, 1.1)},
        "model": {"kind": kind, "prediction_size": 4, "joint_size": 4, "dropout": 0.3},
        "train": {"checkpoint_steps": 2, "weight_noise_std": 0.05, "accumulate_batches": 2},
    }
    if kind == "ctc":  # what tokens alone do is seen in test_loop.py
        tables["model"]["phone_layer"] = 1
        tables["pronunciations"] = pronunciations
    monkeypatch.setattr(transducer_loss, "MAX_JOINED", 2000)  # some batches go in pieces
    make_trainer(tmp_path / "whole", evaluate=any_dev_set, **tables).run()

    class Killed(BaseException):
        pass

    write = loop.MetricsLog.write

    def write_and_die(log: Any, event: str, step: int, values: Any) -> None:
        write(log, event, step, values)
        if step == 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop.MetricsLog, "write", write_and_die)
        with pytest.raises(Killed):
            make_trainer(tmp_path / "killed", evaluate=any_dev_set, **tables).run()
    make_trainer(tmp_path / "killed", evaluate=any_dev_set, **tables).run()
    for name in ("metrics.jsonl", f"checkpoints/{FINAL_WEIGHTS}"):
        whole, killed = ((tmp_path / run / name).read_bytes() for run in ("whole", "killed"))
        assert whole == killed, name


def test_weight_noise_is_on_all_of_a_transducer(tmp_path: Path, make_trainer: MakeTrainer) -> None:
    table = {"max_epochs": 1, "optimizer": "sgd", "learning_rate": 1e-30}
    losses = []
    for std in (0.0, 0.1):
        trainer = make_trainer(
            tmp_path / f"run{std}",
            evaluate=any_dev_set,
            model={"kind": "transducer", "prediction_size": 4, "joint_size": 4},
            train={**table, "weight_noise_std": std},
        )
        start = [value.detach().clone() for value in trainer.model.parameters()]
        trainer.run()
        assert all(map(torch.equal, trainer.model.parameters(), start))
        losses.append([item["loss"] for item in read_metrics(trainer.folder, "step")])
    assert all(clean != noisy for clean, noisy in zip(*losses, strict=True))


@pytest.mark.parametrize("most", [0, 1, 3])
def test_no_step_takes_more_utterances_than_allowed(
    tmp_path: Path, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    sizes: list[int] = []
    training_features = loop.training_features

    def spy(model: AcousticModel, batch: Batch, *others: Any) -> tuple[Tensor, Tensor]:
        sizes.append(len(batch.utt_ids))
        return training_features(model, batch, *others)

    monkeypatch.setattr(loop, "training_features", spy)
    data = {"max_batch_s": 4.0, "num_buckets": 1, "max_batch_utterances": most}
    make_trainer(tmp_path / "run", data=data, train={"max_epochs": 1}).run()
    assert sum(sizes) == 10
    assert max(sizes) == (most or 10)


def test_the_weights_of_a_run_are_all_of_its_network(
    tmp_path: Path, make_trainer: MakeTrainer
) -> None:
    trainer = make_trainer(
        tmp_path / "run",
        evaluate=any_dev_set,
        model={"kind": "next_label", "prediction_size": 4},
        train={"max_epochs": 1},
    )
    trainer.run()
    weights = load_weights(tmp_path / "run" / "checkpoints" / FINAL_WEIGHTS)
    names = {f"network.{name}" for name, _ in trainer.model.network.named_parameters()}
    assert names <= weights.keys()
    assert "network.prediction.cell.input_weight" in names
