"""The default cell: against torch.nn.LSTM, and the three ways in which it is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from asrkit.nn.cells.elementwise import ElementwiseCell
from asrkit.nn.cells.family import make_cell
from asrkit.nn.cells.lstm import Lstm, fused_lstm, lstm_on_padded_widths
from asrkit.settings import ModelSettings

SIZES = [(3, 4, 7, 2), (5, 1, 1, 1), (1, 130, 3, 9)]  # inputs, cells, frames, batch


def make(input_size: int, hidden_size: int, num_directions: int = 1) -> Lstm:
    torch.manual_seed(1)
    cell = make_cell(ModelSettings(hidden_size=hidden_size), input_size, num_directions)
    assert isinstance(cell, Lstm)
    return cell


def gradients(run: Callable[..., Sequence[Tensor]], *given: Tensor) -> list[Tensor]:
    """Results, and the gradients of a sum weighted at random by all that is given."""
    given = tuple(each.detach().clone().requires_grad_() for each in given)
    results = run(*given)
    generator = torch.Generator().manual_seed(3)
    loss = sum((each * torch.randn(each.shape, generator=generator)).sum() for each in results)
    return [*results, *torch.autograd.grad(loss, given)]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_torch_lstm(assert_equals_torch: Callable[..., None]) -> None:
    assert_equals_torch("lstm", nn.LSTM)


@pytest.mark.parametrize(
    ("input_size", "hidden_size", "num_frames", "batch"),
    [*SIZES, (128, 128, 2, 8), (129, 127, 2, 7)],
)
def test_padded_widths(input_size: int, hidden_size: int, num_frames: int, batch: int) -> None:
    cell = make(input_size, hidden_size).double()
    given = [
        torch.randn(num_frames, batch, input_size, dtype=torch.float64),
        *(each[0] for each in (cell.input_weight, cell.recurrent_weight, cell.bias)),
        *torch.randn(2, batch, hidden_size, dtype=torch.float64),
    ]
    assert_same(gradients(lstm_on_padded_widths, *given), gradients(fused_lstm, *given))


@pytest.mark.parametrize("num_directions", [1, 2])
@pytest.mark.parametrize(("input_size", "hidden_size", "num_frames", "batch"), SIZES)
def test_the_fused_path_is_the_elementwise_path(
    input_size: int, hidden_size: int, num_frames: int, batch: int, num_directions: int
) -> None:
    cell = make(input_size, hidden_size, num_directions).double()
    frames = torch.randn(num_frames, batch, input_size, dtype=torch.float64)
    state = torch.randn(2, num_directions, batch, hidden_size, dtype=torch.float64)

    def fused(frames: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        outputs, last = cell([frames] * num_directions, state)
        return *outputs, *last

    def elementwise(frames: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        outputs, last = ElementwiseCell.forward(cell, [frames] * num_directions, state)
        return *outputs, *last

    assert_same(gradients(fused, frames, *state), gradients(elementwise, frames, *state))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_half_precision_on_a_gpu() -> None:
    cell = make(40, 250, 2).cuda()
    frames = torch.randn(50, 5, 40, device="cuda")
    with torch.autocast("cuda", torch.float16):
        outputs, _ = cell([frames, frames])
    exact, _ = cell([frames, frames])
    for found, expected in zip(outputs, exact, strict=True):
        assert found.shape == (50, 5, 250)
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=1e-2)
