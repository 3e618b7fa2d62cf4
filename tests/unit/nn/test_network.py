"""The network gives an utterance the same log_probs alone, padded, and in any batch."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from asrkit.nn.network import CtcNetwork
from asrkit.settings import ModelSettings
from asrkit.settings_types import CellName

LENS = [13, 0, 1, 8, 5, 21]
NUM_FEATURES, VOCABULARY, NUM_PHONES = 6, 5, 4
FRONTENDS = [
    ("none", 1),
    ("stack", 1),
    ("stack", 3),
    ("conv", 1),
    ("conv", 2),
    ("conv", 4),
    ("conv_lstm", 1),
]


def make(
    frontend: str = "none", subsampling: int = 1, num_phones: int = 0, **others: object
) -> CtcNetwork:
    torch.manual_seed(5)
    settings = ModelSettings.model_validate(
        {
            "num_layers": 2,
            "hidden_size": 8,
            "conv_channels": 3,
            "frontend": frontend,
            "subsampling": subsampling,
            **others,
        }
    )
    return CtcNetwork(settings, NUM_FEATURES, VOCABULARY, num_phones).eval()


@pytest.fixture(scope="module")
def utterances() -> list[Tensor]:
    generator = torch.Generator().manual_seed(6)
    return [torch.randn(length, NUM_FEATURES, generator=generator) for length in LENS]


def run(network: CtcNetwork, utterances: list[Tensor], extra: int = 0) -> list[Tensor]:
    """Valid log_probs of each utterance, padded together and by `extra` frames more."""
    lens = torch.tensor([len(feats) for feats in utterances])
    longest = int(lens.max()) + extra
    feats = torch.stack([pad(feats, (0, 0, 0, longest - len(feats))) for feats in utterances])
    with torch.inference_mode():
        log_probs, out_lens = network(feats, lens)
    assert log_probs.dtype == torch.float32
    assert log_probs.isfinite().all()
    assert torch.equal(out_lens, network.out_lens(lens))
    return [row[:length] for row, length in zip(log_probs, out_lens.tolist(), strict=True)]


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("frontend", "subsampling"), FRONTENDS)
def test_padding_and_batch_invariance(
    utterances: list[Tensor], frontend: str, subsampling: int, bidirectional: bool
) -> None:
    network = make(frontend, subsampling, bidirectional=bidirectional)
    together = run(network, utterances)
    alone = [run(network, [feats])[0] for feats in utterances]
    padded = run(network, utterances, extra=10)
    backwards = run(network, utterances[::-1])[::-1]
    for number, length in enumerate(LENS):
        assert alone[number].shape == (-(-length // subsampling), VOCABULARY)
        for other in (together, padded, backwards):
            torch.testing.assert_close(other[number], alone[number], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("frontend", "subsampling"), FRONTENDS)
def test_every_valid_input_matters_and_no_more(
    utterances: list[Tensor], frontend: str, subsampling: int
) -> None:
    network = make(frontend, subsampling)
    clean = run(network, utterances)
    for number, length in enumerate(LENS):
        for frame in range(length):
            changed = [feats.clone() for feats in utterances]
            changed[number][frame] += 1.0
            noisy = run(network, changed)
            for other in range(len(LENS)):
                same = torch.equal(noisy[other], clean[other])
                assert same == (other != number), (number, frame, other)


def test_a_unidirectional_network_does_not_look_ahead(utterances: list[Tensor]) -> None:
    network = make(bidirectional=False)
    feats = utterances[0].clone()
    clean = run(network, [feats])[0]
    feats[7] += 1.0
    noisy = run(network, [feats])[0]
    assert torch.equal(noisy[:7], clean[:7])
    assert (noisy[7:] != clean[7:]).any(dim=1).all()


def test_a_bidirectional_network_sees_everything_from_everywhere(utterances: list[Tensor]) -> None:
    network = make()
    feats = utterances[0].clone()
    clean = run(network, [feats])[0]
    feats[7] += 1.0
    assert (run(network, [feats])[0] != clean).any(dim=1).all()


def test_probabilities_sum_to_one(utterances: list[Tensor]) -> None:
    for log_probs in run(make(), utterances):
        torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(len(log_probs)))


@pytest.mark.parametrize("frontend", ["none", "stack", "conv", "conv_lstm"])
def test_no_frames_at_all(frontend: str) -> None:
    log_probs, out_lens = make(frontend)(torch.zeros(2, 0, NUM_FEATURES), torch.tensor([0, 0]))
    assert log_probs.shape == (2, 0, VOCABULARY)
    assert out_lens.tolist() == [0, 0]


def test_training_mode_differs_by_dropout_alone(utterances: list[Tensor]) -> None:
    without, dropping = make().train(), make(dropout=0.5).train()
    assert torch.equal(run(without, utterances)[0], run(make(), utterances)[0])
    torch.manual_seed(0)
    first = run(dropping, utterances)[0]
    assert not torch.equal(first, run(dropping, utterances)[0])
    torch.manual_seed(0)
    assert torch.equal(first, run(dropping, utterances)[0])
    assert torch.equal(run(dropping.eval(), utterances)[0], run(make(), utterances)[0])


def test_weight_count_of_the_2013_paper() -> None:
    # 123 inputs, three bidirectional layers of 250 cells, 61 phones and the blank.
    network = CtcNetwork(ModelSettings(num_layers=3, hidden_size=250), 123, 62)
    layers = 2 * 4 * 250 * (123 + 250 + 1) + 2 * (2 * 4 * 250 * (500 + 250 + 1))
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == layers + 501 * 62
    assert round(count / 1e6, 1) == 3.8


@pytest.mark.parametrize(("frontend", "subsampling"), [("conv", 2), ("conv_lstm", 1)])
@pytest.mark.parametrize("cell", get_args(CellName))
def test_every_weight_gets_a_gradient(
    utterances: list[Tensor], cell: str, frontend: str, subsampling: int
) -> None:
    network = make(frontend, subsampling, cell=cell).train()
    feats = utterances[0][None]
    log_probs, _ = network(feats, torch.tensor([LENS[0]]))
    log_probs[:, :, 1].sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


# --- phones


@pytest.mark.parametrize("phone_layer", [1, 2, 3])
def test_phones_are_read_off_their_layer(utterances: list[Tensor], phone_layer: int) -> None:
    network = make(num_phones=NUM_PHONES, num_layers=3, phone_layer=phone_layer)
    feats, lens = utterances[0][None], torch.tensor([LENS[0]])
    readings = network.read_all(feats, lens)
    phones, out_lens = network.read_phones(feats, lens)
    outputs, _ = network.encoder.outputs_of({phone_layer}, feats, lens)
    expected = network.phone_output(outputs[phone_layer]).log_softmax(-1).transpose(0, 1)
    assert phones.shape == (1, LENS[0], NUM_PHONES)
    assert torch.equal(phones, expected)
    assert torch.equal(readings.phones, expected)
    assert torch.equal(readings.tokens, network(feats, lens)[0])
    assert readings.out_lens.tolist() == out_lens.tolist() == [LENS[0]]


def test_intermediate_readings_come_in_the_order_asked_for(utterances: list[Tensor]) -> None:
    network = make(num_phones=NUM_PHONES, num_layers=3, phone_layer=2)
    feats, lens = utterances[0][None], torch.tensor([LENS[0]])
    second, first = network.read_all(feats, lens, (2, 1)).intermediate
    assert torch.equal(network.read_all(feats, lens, (1,)).intermediate[0], first)
    assert not torch.equal(first, second)


def test_phones_do_not_need_the_layers_above_theirs(utterances: list[Tensor]) -> None:
    network = make(num_phones=NUM_PHONES, num_layers=3, phone_layer=2)
    feats, lens = utterances[0][None], torch.tensor([LENS[0]])
    expected, _ = network.read_phones(feats, lens)
    del network.encoder.layers[2].cell, network.output
    assert torch.equal(network.read_phones(feats, lens)[0], expected)


def test_tokens_are_as_without_phones(utterances: list[Tensor]) -> None:
    plain, both = make(), make(num_phones=NUM_PHONES, phone_layer=1)
    extra = both.state_dict().keys() - plain.state_dict().keys()
    assert extra == {"phone_output.weight", "phone_output.bias"}
    for name in extra:
        both.get_parameter(name).data.fill_(7.0)
    both.load_state_dict(plain.state_dict(), strict=False)
    assert all(map(torch.equal, run(both, utterances), run(plain, utterances)))
    feats, lens = utterances[0][None], torch.tensor([LENS[0]])
    assert plain.read_all(feats, lens).phones is None


# --- spelling phones


def make_speller(**others: object) -> CtcNetwork:
    table = {"num_layers": 3, "phone_layer": 1, "spells_from": "phones", **others}
    return make(num_phones=NUM_PHONES, **table)


@pytest.mark.parametrize(("frontend", "subsampling"), FRONTENDS)
def test_tokens_spelled_from_phones_are_the_same_alone_and_in_a_batch(
    utterances: list[Tensor], frontend: str, subsampling: int
) -> None:
    network = make_speller(frontend=frontend, subsampling=subsampling)
    together = run(network, utterances, extra=3)
    for feats, expected in zip(utterances, together, strict=True):
        (alone,) = run(network, [feats])
        torch.testing.assert_close(alone, expected, rtol=0, atol=1e-5)


def test_what_spells_reads_the_phones_alone(utterances: list[Tensor]) -> None:
    network = make_speller()
    assert (len(network.encoder.layers), len(network.speller.layers)) == (1, 2)
    feats, lens = utterances[0][None], torch.tensor([LENS[0]])
    readings = network.read_all(feats, lens)
    assert torch.equal(readings.tokens, network.spell(readings.phones.exp(), lens))
    assert torch.equal(readings.tokens, network(feats, lens)[0])
    assert torch.equal(readings.phones, network.read_phones(feats, lens)[0])


def test_spelling_does_not_teach_hearing(utterances: list[Tensor]) -> None:
    network = make_speller()
    network(utterances[0][None], torch.tensor([LENS[0]]))[0][..., 1].sum().backward()
    taught = {name for name, each in network.named_parameters() if each.grad is not None}
    assert taught == {
        name for name, _ in network.named_parameters() if name.startswith(("speller", "output"))
    }
