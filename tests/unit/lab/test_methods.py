"""The methods: their gradients against one another, and that each of them learns."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from asrkit.errors import UsageError
from asrkit.lab.methods.bptt import bptt_gradient
from asrkit.lab.methods.descent import Descent
from asrkit.lab.methods.evolution import Evolution
from asrkit.lab.methods.rtrl import rtrl_gradient
from asrkit.lab.network import LabNetwork
from asrkit.lab.tasks.catalogue import make_task
from asrkit.lab.tasks.task import Sequences, Task
from asrkit.lab_settings import Counting, LongLag, Reber
from asrkit.nn.cells.cell import State
from asrkit.nn.cells.elementwise import ElementwiseCell
from asrkit.settings_types import CellName

CELLS: tuple[CellName, ...] = get_args(CellName)


def make_network(cell: CellName, task: Task, hidden_size: int = 3) -> LabNetwork:
    torch.manual_seed(5)
    network = LabNetwork(cell, task.num_inputs, hidden_size, task.num_outputs)
    for parameter in network.parameters():  # sizes at which no gate is at rest
        torch.nn.init.uniform_(parameter, -1.5, 1.5)
    return network.double()


def in_double(sequences: Sequences) -> Sequences:
    targets = sequences.targets
    return replace(
        sequences,
        inputs=sequences.inputs.double(),
        weights=sequences.weights.double(),
        targets=targets.double() if targets.is_floating_point() else targets,
    )


def elementwise(cell: CellName) -> bool:
    return isinstance(LabNetwork(cell, 2, 2, 2).cell, ElementwiseCell)


def gradient(network: LabNetwork) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in network.parameters()]


@pytest.mark.parametrize("cell", [cell for cell in CELLS if elementwise(cell)])
@pytest.mark.parametrize("settings", [Reber(name="reber"), Counting(name="counting", trained_n=3)])
def test_rtrl_gives_the_gradient_of_bptt(cell: CellName, settings: Reber | Counting) -> None:
    task = make_task(settings)
    network = make_network(cell, task)
    batches = task.draw(3, torch.Generator().manual_seed(2))
    state: State | None = None
    for _ in range(2):  # the second time from a state that is not zero
        sequences = in_double(next(batches))
        network.zero_grad()
        after_bptt = bptt_gradient(network, task, sequences, state)
        expected = gradient(network)
        network.zero_grad()
        state = rtrl_gradient(network, task, sequences, state)
        for ours, theirs in zip(gradient(network), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
        for ours, theirs in zip(state, after_bptt, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_rtrl_adds_to_the_gradient_there_is() -> None:
    task = make_task(Reber(name="reber"))
    network = make_network("gru", task)
    sequences = in_double(next(task.draw(2, torch.Generator().manual_seed(2))))
    rtrl_gradient(network, task, sequences, None)
    once = gradient(network)
    rtrl_gradient(network, task, sequences, None)
    for twice, single in zip(gradient(network), once, strict=True):
        torch.testing.assert_close(twice, 2 * single)


def test_rtrl_refuses_a_cell_that_mixes_its_units() -> None:
    others = [cell for cell in CELLS if not elementwise(cell)]
    task = make_task(Reber(name="reber"))
    sequences = in_double(next(task.draw(2, torch.Generator().manual_seed(2))))
    for cell in others:
        with pytest.raises(UsageError, match="choose another cell or method"):
            rtrl_gradient(make_network(cell, task), task, sequences, None)


def test_truncation_stops_the_gradient_of_what_is_long_ago() -> None:
    task = make_task(LongLag(name="long_lag", lag=20, random=False))
    network = make_network("lstm_1997", task)
    sequences = in_double(next(task.draw(3, torch.Generator().manual_seed(2))))

    def by_first_symbol(truncate_frames: int) -> float:
        network.cell.truncate_frames = truncate_frames
        network.zero_grad()
        bptt_gradient(network, task, sequences, None)
        # The two first symbols are read in frame 0 only.
        return float(network.cell.input_weight.grad[..., :2].abs().max())

    assert by_first_symbol(0) > 0
    assert by_first_symbol(5) == 0
    assert by_first_symbol(100) == by_first_symbol(0)


def test_a_state_that_goes_on_carries_no_gradient() -> None:
    task = make_task(Reber(name="reber"))
    network = make_network("lstm", task)
    sequences = in_double(next(task.draw(2, torch.Generator().manual_seed(2))))
    state = bptt_gradient(network, task, sequences, None)
    assert not any(each.requires_grad for each in state)


def losses_of(learner: Descent | Evolution, num_updates: int) -> list[float]:
    task, losses = learner.task, []
    batches = task.draw(16, torch.Generator().manual_seed(1))
    probe = next(task.draw(64, torch.Generator().manual_seed(2)))
    for _ in range(num_updates):
        with torch.no_grad():
            losses.append(float(task.loss(learner.network(probe.inputs)[0], probe)))
        learner.update(next(batches), None)
    return losses


def test_evolution_learns_repeats_and_leaves_numpy_alone() -> None:
    import numpy as np

    def run() -> list[float]:
        torch.manual_seed(1)
        task = make_task(Counting(name="counting", trained_n=3))
        network = LabNetwork("tanh", task.num_inputs, 2, task.num_outputs)
        return losses_of(Evolution(network, task, population=12, initial_std=0.5, seed=4), 40)

    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    losses = run()
    assert (np.random.get_state()[1] == before).all()
    assert losses[-1] < 0.6 * losses[0]
    assert run() == losses


def test_descent_clips_the_gradient() -> None:
    torch.manual_seed(1)
    task = make_task(Reber(name="reber"))
    network = LabNetwork("lstm", 7, 4, 7)
    learner = Descent(network, task, bptt_gradient, learning_rate=0.01, clip_norm=1e-3)
    losses = losses_of(learner, 30)
    assert losses[-1] < losses[0]
    norm = torch.stack([p.grad.norm() for p in network.parameters()]).norm()
    assert float(norm) <= 1.001e-3


def test_first_biases_of_the_gates() -> None:
    torch.manual_seed(1)
    plain = LabNetwork("lstm_peephole", 2, 3, 1, forget_bias=0.0)
    torch.manual_seed(1)
    biased = LabNetwork("lstm_peephole", 2, 3, 1, forget_bias=5.0, input_bias=-4.0)
    change = (biased.cell.bias - plain.cell.bias).view(4, 3)
    torch.testing.assert_close(change, torch.tensor([[-4.0], [5.0], [0.0], [0.0]]).expand(4, 3))
    torch.manual_seed(1)
    gru = LabNetwork("gru", 2, 3, 1, forget_bias=0.0, input_bias=-4.0)
    torch.manual_seed(1)
    assert torch.equal(gru.cell.bias, LabNetwork("gru", 2, 3, 1, forget_bias=0.0).cell.bias)
