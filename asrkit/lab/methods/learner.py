"""What a method of learning is: one update of a network's weights from one batch."""

from __future__ import annotations

from abc import ABC, abstractmethod

from asrkit.lab.network import LabNetwork
from asrkit.lab.tasks.task import Sequences, Task
from asrkit.nn.cells.cell import State


class Learner(ABC):
    """Improves the weights of one network on one task."""

    passes = 1
    """How often an update runs over its batch; each pass counts as training sequences."""

    def __init__(self, network: LabNetwork, task: Task) -> None:
        self.network = network
        self.task = task

    @abstractmethod
    def update(self, sequences: Sequences, state: State | None) -> State | None:
        """Learn from a batch read from a state, or from zeros; return the state after it."""
