"""Backpropagation through time: the whole sequence forward, then back.

With `Cell.truncate_frames` set, gradients go back within stretches of that many frames only. In a
stream they never leave their piece, while the state goes on.
"""

from __future__ import annotations

from asrkit.lab.network import LabNetwork
from asrkit.lab.tasks.task import Sequences, Task
from asrkit.nn.cells.cell import State


def bptt_gradient(
    network: LabNetwork, task: Task, sequences: Sequences, state: State | None
) -> State:
    """Add the gradient of the batch's loss to the weights' `grad`; return the state after it."""
    outputs, state = network(sequences.inputs, state)
    task.loss(outputs, sequences).backward()  # type: ignore[no-untyped-call]
    return tuple(each.detach() for each in state)
