"""Gradient descent by Adam, whatever computes the gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch

from asrkit.lab.methods.learner import Learner
from asrkit.lab.network import LabNetwork
from asrkit.lab.tasks.task import Sequences, Task
from asrkit.nn.cells.cell import State
from asrkit.settings import TrainSettings
from asrkit.train.optimizer import make_optimizer

Gradient = Callable[[LabNetwork, Task, Sequences, State | None], State]
"""Adds the gradient of a batch's loss to the `grad` of the weights; returns the last state."""


class Descent(Learner):
    """Steps down a gradient that is clipped by its norm."""

    def __init__(
        self,
        network: LabNetwork,
        task: Task,
        gradient: Gradient,
        learning_rate: float,
        clip_norm: float,
    ) -> None:
        super().__init__(network, task)
        self._gradient = gradient
        self._clip_norm = clip_norm
        settings = TrainSettings(optimizer="adamw", learning_rate=learning_rate)
        self._optimizer = make_optimizer(network, settings)

    def update(self, sequences: Sequences, state: State | None) -> State | None:
        """Take one step; see `Learner.update`."""
        self._optimizer.zero_grad()
        state = self._gradient(self.network, self.task, sequences, state)
        if self._clip_norm:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._clip_norm)
        self._optimizer.step()
        return state
