"""Gradient-free evolution of the weights: a covariance matrix adaptation evolution strategy.

Hansen & Ostermeier 2001, as the `cma` library computes it. A generation of candidates is drawn
around the present weights and ranked by their loss on one batch.
"""

from __future__ import annotations

import cma
import numpy as np
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from asrkit.lab.methods.learner import Learner
from asrkit.lab.network import LabNetwork
from asrkit.lab.tasks.task import Sequences, Task
from asrkit.nn.cells.cell import State


class Evolution(Learner):
    """One generation an update; the network has the mean of the candidates' distribution.

    Parameters
    ----------
    population
        Candidates of a generation.
    initial_std
        Standard deviation of the first candidates' weights.
    seed
        Of the draws.
    """

    def __init__(
        self, network: LabNetwork, task: Task, population: int, initial_std: float, seed: int
    ) -> None:
        super().__init__(network, task)
        self.passes = population
        random = np.random.default_rng(seed)
        self._strategy = cma.CMAEvolutionStrategy(
            parameters_to_vector(network.parameters()).detach().numpy().astype(np.float64),
            initial_std,
            {
                "popsize": population,
                "randn": lambda *shape: random.standard_normal(shape),
                "seed": np.nan,  # the library's own way to leave numpy's global generator alone
                "verbose": -9,
                # Batches differ, so that no loss can tell it to stop.
                "tolfun": 0, "tolfunhist": 0, "tolx": 0, "tolstagnation": np.inf,
                "tolflatfitness": np.inf, "tolconditioncov": None,
            },
        )  # fmt: skip

    def update(self, sequences: Sequences, state: State | None) -> State | None:
        """Breed one generation; see `Learner.update`."""
        candidates = self._strategy.ask()
        with torch.no_grad():
            losses = [self._loss(candidate, sequences) for candidate in candidates]
        self._strategy.tell(candidates, losses)
        self._set_weights(self._strategy.mean)
        return state

    def _loss(self, candidate: np.ndarray, sequences: Sequences) -> float:
        self._set_weights(candidate)
        outputs, _ = self.network(sequences.inputs)
        return float(self.task.loss(outputs, sequences))

    def _set_weights(self, values: np.ndarray) -> None:
        vector = torch.from_numpy(np.asarray(values)).to(torch.float32)
        vector_to_parameters(vector, self.network.parameters())
