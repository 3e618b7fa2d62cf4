"""Every cell and every connection, over padding and in any company."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from asrkit.nn.cells.cell import truncate_backpropagation
from asrkit.nn.encoder import RecurrentEncoder
from asrkit.settings import ModelSettings
from asrkit.settings_types import CellName

LENS = [13, 0, 1, 8, 41]
NUM_FEATURES = 6
CELLS = get_args(CellName)


def make(**settings: Any) -> RecurrentEncoder:
    torch.manual_seed(5)
    sizes = {"num_layers": 3, "hidden_size": 6, "projection_size": 4, "conv_channels": 3}
    settings = {**sizes, **settings}
    return RecurrentEncoder(ModelSettings.model_validate(settings), NUM_FEATURES).eval()


@pytest.fixture(scope="module")
def utterances() -> list[Tensor]:
    generator = torch.Generator().manual_seed(6)
    return [torch.randn(length, NUM_FEATURES, generator=generator) for length in LENS]


def run(encoder: RecurrentEncoder, utterances: list[Tensor], extra: int = 0) -> list[Tensor]:
    """Valid outputs of each utterance, padded together and by `extra` frames more."""
    lens = torch.tensor([len(feats) for feats in utterances])
    longest = int(lens.max()) + extra
    feats = torch.stack([pad(feats, (0, 0, 0, longest - len(feats))) for feats in utterances])
    frames, out_lens = encoder(feats, lens)
    assert torch.equal(out_lens, lens)
    assert frames.shape == (longest, len(utterances), encoder.output_size)
    return [frames[:length, n] for n, length in enumerate(lens.tolist())]


def assert_alone_and_in_company(
    encoder: RecurrentEncoder, utterances: list[Tensor], tolerance: float = 1e-5
) -> None:
    with torch.inference_mode():
        alone = [run(encoder, [feats])[0] for feats in utterances]
        for others in (
            run(encoder, utterances),
            run(encoder, utterances, extra=40),
            run(encoder, utterances[::-1])[::-1],
        ):
            for found, expected in zip(others, alone, strict=True):
                torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("cell", CELLS)
def test_padding_and_batch_invariance(
    utterances: list[Tensor], cell: str, bidirectional: bool
) -> None:
    encoder = make(cell=cell, bidirectional=bidirectional)
    # Normalisation divides by what may be small, and magnifies rounding: over seeds, to 3e-5.
    assert_alone_and_in_company(encoder, utterances, 1e-4 if cell == "lstm_layer_norm" else 1e-5)
    in_float64 = [feats.double() for feats in utterances]
    assert_alone_and_in_company(encoder.double(), in_float64, 1e-11)


@pytest.mark.parametrize("connection", ["residual", "highway"])
@pytest.mark.parametrize("cell", ["lstm", "lstm_projected"])
def test_connections_over_padding(utterances: list[Tensor], cell: str, connection: str) -> None:
    assert_alone_and_in_company(make(cell=cell, connection=connection), utterances)


@pytest.mark.parametrize("cell", CELLS)
def test_no_gradient_of_what_is_valid_reaches_the_padding(
    utterances: list[Tensor], cell: str
) -> None:
    encoder = make(cell=cell)
    feats = torch.randn(2, 20, NUM_FEATURES, requires_grad=True)  # rubbish behind the first
    frames, lens = encoder(feats, torch.tensor([9, 20]))
    (frames[: lens[0], 0].sum() + frames[:, 1].sum()).backward()
    assert feats.grad is not None
    assert feats.grad[0, :9].any(dim=1).all()
    assert not feats.grad[0, 9:].any()


def test_residual_layers_without_an_output_change_nothing(utterances: list[Tensor]) -> None:
    encoder, first = make(connection="residual"), make(num_layers=1)
    first.layers[0].load_state_dict(encoder.layers[0].state_dict())
    with torch.no_grad():
        for layer in encoder.layers[1:]:
            for parameter in layer.parameters():
                parameter.zero_()  # tanh(0) = 0 is all that these cells ever hold
    for found, expected in zip(run(encoder, utterances), run(first, utterances), strict=True):
        torch.testing.assert_close(found, expected)


def test_the_outputs_of_several_layers(utterances: list[Tensor]) -> None:
    encoder = make(connection="residual", frontend="stack", subsampling=2)
    shallow = make(connection="residual", frontend="stack", subsampling=2, num_layers=1)
    shallow.frontend.load_state_dict(encoder.frontend.state_dict())
    shallow.layers[0].load_state_dict(encoder.layers[0].state_dict())
    feats, lens = utterances[-1][None], torch.tensor([len(utterances[-1])])
    outputs, out_lens = encoder.outputs_of((3, 1), feats, lens)
    assert outputs.keys() == {1, 3}
    torch.testing.assert_close(outputs[1], shallow(feats, lens)[0])
    torch.testing.assert_close(outputs[3], encoder(feats, lens)[0])
    assert torch.equal(out_lens, encoder.out_lens(lens))
    empty, _ = encoder.outputs_of((1, 3), feats[:, :0], lens * 0)
    assert {number: frames.shape for number, frames in empty.items()} == dict.fromkeys(
        (1, 3), (0, 1, encoder.output_size)
    )


def test_layers_above_the_wanted_ones_are_not_run(utterances: list[Tensor]) -> None:
    encoder = make(num_layers=3)
    expected, _ = encoder.outputs_of({2}, utterances[0][None], torch.tensor([len(utterances[0])]))
    del encoder.layers[2].cell
    found, _ = encoder.outputs_of({2}, utterances[0][None], torch.tensor([len(utterances[0])]))
    assert torch.equal(found[2], expected[2])


def test_dropout_once_for_a_sequence(utterances: list[Tensor]) -> None:
    encoder = make(num_layers=1, dropout=0.5, dropout_per="sequence").train()
    heard: list[Tensor] = []
    encoder.layers[0].register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    feats = torch.ones(4, 30, NUM_FEATURES)
    frames, _ = encoder(feats, torch.full((4,), 30))
    assert torch.equal(heard[0], heard[0][:1].expand_as(heard[0]))  # the same in all frames
    assert heard[0].unique().tolist() == [0.0, 2.0]
    dropped = frames == 0
    assert dropped.any()
    assert not dropped.all()
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))


def test_truncated_gradients(utterances: list[Tensor]) -> None:
    encoder = make(bidirectional=False, frontend="conv_lstm")
    truncate_backpropagation(encoder, 10)
    feats = torch.randn(1, 35, NUM_FEATURES, requires_grad=True)
    frames, _ = encoder(feats, torch.tensor([35]))
    (grad,) = torch.autograd.grad(frames[26].sum(), feats)
    assert grad[0].any(dim=1).nonzero().flatten().tolist() == list(range(20, 27))
