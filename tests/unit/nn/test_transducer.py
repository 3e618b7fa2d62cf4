"""The transducer: its equations, its size, and that padding and company change nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from asrkit.nn.transducer import NextLabelNetwork, PredictionNetwork, TransducerNetwork
from asrkit.settings import ModelSettings

LENS = [13, 0, 1, 8, 21]
LABELS = [[1, 4, 4, 2], [], [3], [2, 2], [4, 3, 2, 1, 1]]
NUM_FEATURES, VOCABULARY = 6, 5
CELLS = ["lstm", "lstm_peephole", "lstm_projected", "gru", "tanh"]


def make_settings(**others: object) -> ModelSettings:
    sizes = {"num_layers": 2, "hidden_size": 8, "prediction_size": 7, "joint_size": 5}
    return ModelSettings.model_validate({"kind": "transducer", **sizes, **others})


def make(**others: object) -> TransducerNetwork:
    torch.manual_seed(5)
    return TransducerNetwork(make_settings(**others), NUM_FEATURES, VOCABULARY).eval()


@pytest.fixture(scope="module")
def utterances() -> list[Tensor]:
    generator = torch.Generator().manual_seed(6)
    return [torch.randn(length, NUM_FEATURES, generator=generator) for length in LENS]


def lattices(
    network: TransducerNetwork, utterances: list[Tensor], labels: list[list[int]], extra: int = 0
) -> list[Tensor]:
    """Valid log-probabilities (T, L + 1, V) of each utterance, padded together."""
    lens = torch.tensor([len(feats) for feats in utterances])
    longest, most = int(lens.max()) + extra, max(map(len, labels)) + extra
    feats = torch.stack([pad(each, (0, 0, 0, longest - len(each))) for each in utterances])
    ids = torch.tensor([row + [0] * (most - len(row)) for row in labels], dtype=torch.int64)
    with torch.inference_mode():
        from_frames, out_lens = network(feats, lens)
        heard = network.hear_labels(ids.view(len(labels), most))
        log_probs = network.join(from_frames[:, :, None], heard[:, None])
    assert log_probs.dtype == torch.float32
    assert torch.equal(out_lens, network.out_lens(lens))
    return [
        row[:num_frames, : len(own) + 1]
        for row, num_frames, own in zip(log_probs, out_lens.tolist(), labels, strict=True)
    ]


# --- size


def test_it_has_as_many_weights_as_in_the_paper() -> None:
    settings = ModelSettings(kind="transducer", cell="lstm_peephole")
    network = TransducerNetwork(settings, num_features=123, vocab_size=62)
    num_weights = sum(parameter.numel() for parameter in network.parameters())
    assert num_weights == 4_335_312
    assert f"{num_weights / 1e6:.1f}" == "4.3"


# --- equations


def test_the_joint_layer_is_that_of_the_paper() -> None:
    """Every point of the lattice, computed alone and in float64, by the equations."""
    network = make().double()
    joint = network.joint
    frames = torch.randn(3, network.encoder.output_size, dtype=torch.float64)
    predictions = torch.randn(4, network.prediction.output_size, dtype=torch.float64)
    heard = joint.hear_labels(predictions)
    lattice = network.join(joint.hear_frames(frames)[:, None], heard)
    for t, frame in enumerate(frames):
        for u, prediction in enumerate(predictions):
            linear = joint.projection.weight @ frame + joint.projection.bias
            hidden = torch.tanh(
                joint.acoustic.weight @ linear
                + joint.linguistic.weight @ prediction
                + joint.acoustic.bias
            )
            scores = joint.output.weight @ hidden + joint.output.bias
            expected = scores - scores.exp().sum().log()
            torch.testing.assert_close(lattice[t, u], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_the_prediction_network_reads_a_zero_and_then_the_labels(cell: str) -> None:
    torch.manual_seed(1)
    network = PredictionNetwork(make_settings(cell=cell), VOCABULARY).eval()
    inputs = torch.zeros(4, 1, VOCABULARY - 1)
    for place, label in enumerate([3, 1, 4], start=1):
        inputs[place, 0, label - 1] = 1.0
    (expected,), _ = network.cell([inputs])
    found = network(torch.tensor([[3, 1, 4]]))
    assert network.cell.hidden_size == 7
    assert found.shape == (1, 4, network.output_size)
    torch.testing.assert_close(found[0], expected[:, 0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_step_by_step_it_says_the_same(cell: str) -> None:
    """Two hypotheses that go apart after their first label, extended side by side."""
    network = make(cell=cell)
    labels = torch.tensor([[3, 1, 4], [3, 2, 2]])
    with torch.inference_mode():
        whole = network.hear_labels(labels)
        heard, state = network.begin()
        torch.testing.assert_close(heard, whole[:1, 0], rtol=0, atol=1e-6)
        heard, state = network.extend(state, labels[:1, 0])
        state = tuple(rows.index_select(0, torch.tensor([0, 0])) for rows in state)
        for place in (1, 2):
            heard, state = network.extend(state, labels[:, place])
            torch.testing.assert_close(heard, whole[:, place + 1], rtol=0, atol=1e-6)


# --- invariance


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [True, False])
def test_padding_and_batch_invariance(
    utterances: list[Tensor], bidirectional: bool, cell: str
) -> None:
    network = make(bidirectional=bidirectional, cell=cell)
    together = lattices(network, utterances, LABELS)
    padded = lattices(network, utterances, LABELS, extra=4)
    backwards = lattices(network, utterances[::-1], LABELS[::-1])[::-1]
    for number, (feats, labels) in enumerate(zip(utterances, LABELS, strict=True)):
        (alone,) = lattices(network, [feats], [labels])
        assert alone.shape == (len(feats), len(labels) + 1, VOCABULARY)
        for other in (together, padded, backwards):
            torch.testing.assert_close(other[number], alone, rtol=0, atol=1e-5)


def test_a_label_changes_what_comes_after_it_only(utterances: list[Tensor]) -> None:
    network = make()
    before = lattices(network, utterances, LABELS)
    after = lattices(network, utterances, [[1, 4, 3, 2], *LABELS[1:]])
    changed = [not torch.equal(before[0][:, u], after[0][:, u]) for u in range(5)]
    assert changed == [False, False, False, True, True]
    assert all(torch.equal(*pair) for pair in zip(before[1:], after[1:], strict=True))


def test_dropout_is_on_frames_and_on_labels_in_training_only(utterances: list[Tensor]) -> None:
    network = make(dropout=0.5)
    labels, feats = torch.tensor([LABELS[0]]), utterances[0][None]
    lens = torch.tensor([LENS[0]])
    assert torch.equal(network.hear_labels(labels), network.hear_labels(labels))
    network.train()
    assert not torch.equal(network.hear_labels(labels), network.hear_labels(labels))
    assert not torch.equal(network(feats, lens)[0], network(feats, lens)[0])


# --- the prediction network alone


def test_its_weights_have_the_names_they_have_in_the_transducer() -> None:
    alone = NextLabelNetwork(make_settings(kind="next_label"), VOCABULARY).state_dict()
    whole = make().state_dict()
    shared = {
        name for name, value in alone.items() if whole.get(name, value[:0]).shape == value.shape
    }
    assert shared == {name for name in alone if name.startswith("prediction.")}
    assert len(shared) == len(alone) - 2  # all but its output layer


def test_next_labels_are_a_distribution_that_padding_leaves_alone() -> None:
    network = NextLabelNetwork(make_settings(kind="next_label"), VOCABULARY).eval()
    alone = network(torch.tensor([[2, 3]]))
    padded = network(torch.tensor([[2, 3, 0, 0]]))
    torch.testing.assert_close(alone.exp().sum(dim=-1), torch.ones(1, 3))
    torch.testing.assert_close(padded[:, :3], alone, rtol=0, atol=1e-6)


def test_uniform_initialisation_reaches_every_weight() -> None:
    network = make(init="uniform", init_range=0.01, forget_bias=0.0)
    for name, parameter in network.named_parameters():
        assert 0.001 < parameter.abs().max() <= 0.01, name
