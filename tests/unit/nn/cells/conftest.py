"""Weights of torch's own recurrent layers taken from a cell, and results compared with theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asrkit.nn.cells.cell import Cell
from asrkit.nn.cells.family import make_cell
from asrkit.settings import ModelSettings

NUM_FRAMES, BATCH, INPUT_SIZE, HIDDEN_SIZE = 37, 3, 5, 4


def results(run: Callable[..., Any], given: Sequence[Tensor]) -> list[Tensor]:
    """What comes out, and the gradients of a sum of it, weighted at random."""
    given = [each.clone().requires_grad_() for each in given]
    outputs = run(*given)
    generator = torch.Generator().manual_seed(3)
    loss = sum((each * torch.randn(each.shape, generator=generator)).sum() for each in outputs)
    return [*outputs, *torch.autograd.grad(loss, given)]


@pytest.fixture
def assert_equals_torch() -> Callable[..., None]:
    """Compare a unidirectional cell, given by its name, with a layer of torch."""

    def compare(name: str, torch_class: type[nn.RNNBase], **options: int) -> None:
        torch.manual_seed(1)
        settings = ModelSettings.model_validate(
            {"cell": name, "hidden_size": HIDDEN_SIZE, "projection_size": 2}
        )
        cell: Any = make_cell(settings, INPUT_SIZE, 1).double()
        reference: Any = torch_class(INPUT_SIZE, HIDDEN_SIZE, **options).double()
        with torch.no_grad():
            copy_weights(cell, reference)
        frames = torch.randn(NUM_FRAMES, BATCH, INPUT_SIZE, dtype=torch.float64)
        hidden = torch.randn(1, BATCH, cell.output_size, dtype=torch.float64)
        memory = torch.randn(1, BATCH, HIDDEN_SIZE, dtype=torch.float64)

        def mine(frames: Tensor, hidden: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
            outputs, last = cell([frames], (hidden, *(memory or [hidden])))
            return *outputs, *last[: 1 + len(memory)]

        def theirs(frames: Tensor, hidden: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
            outputs, last = reference(frames, (hidden, *memory) if memory else hidden)
            return outputs, *(last if memory else [last])

        given = [frames, hidden] if torch_class is nn.GRU else [frames, hidden, memory]
        for found, expected in zip(results(mine, given), results(theirs, given), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)

    return compare


def copy_weights(cell: Cell, reference: Any) -> None:
    """Copy from a cell whose order of gates differs from torch's for the GRU alone."""
    input_weight, bias = cell.input_weight[0], cell.bias[0]
    reference.bias_hh_l0.zero_()
    if isinstance(reference, nn.GRU):
        n, r, z = input_weight.chunk(3)
        input_weight = torch.cat([r, z, n])
        b_n, b_r, b_z, b_u = bias.chunk(4)
        bias = torch.cat([b_r, b_z, b_n])
        reference.bias_hh_l0.chunk(3)[2].copy_(b_u)
    reference.weight_ih_l0.copy_(input_weight)
    reference.weight_hh_l0.copy_(cell.recurrent_weight[0])
    reference.bias_ih_l0.copy_(bias)
    if reference.proj_size:
        reference.weight_hr_l0.copy_(cell.get_parameter("projection")[0])
