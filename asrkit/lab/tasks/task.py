"""What every task of the laboratory gives: sequences to learn from, a loss, and a test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from asrkit.nn.cells.cell import State

Run = Callable[[Tensor, State | None], tuple[Tensor, State]]
"""A network: inputs (T, N, F) and the state before -> outputs (T, N, V) and the state after."""


@dataclass(frozen=True)
class Sequences:
    """A batch of sequences, time first.

    Attributes
    ----------
    inputs
        (T, N, F) float32.
    targets
        (T, N) classes or (T, N, V) values, as the task's loss takes them.
    weights
        (T, N) float32, the share of every frame in the loss; they sum to 1. Frames without a
        target, padding among them, have none.
    count
        Sequences it stands for.
    goes_on
        Whether it is of a stream, and begins where the batch before ended.
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor
    count: int
    goes_on: bool = False

    def frame(self, t: int) -> Sequences:
        """Give frame t alone, its share in the loss unchanged."""
        at = slice(t, t + 1)
        return Sequences(self.inputs[at], self.targets[at], self.weights[at], self.count)


@dataclass(frozen=True)
class Score:
    """What a test found: the share of sequences that were not right, and what that means."""

    error: float
    text: str


class Task(ABC):
    """One of the tasks.

    Attributes
    ----------
    num_inputs, num_outputs
        F and V.
    mean_frames
        Length of a sequence, about.
    max_error
        A test is passed with at most this share of its sequences wrong.
    title, criterion
        For the report: what is to be learnt, and when it is.
    """

    num_inputs: int
    num_outputs: int
    mean_frames: float
    max_error = 0.0
    title: str
    criterion: str

    @abstractmethod
    def draw(self, batch_size: int, generator: torch.Generator) -> Iterator[Sequences]:
        """Draw batches without end; they are a function of the generator's state alone."""

    @abstractmethod
    def frame_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of every frame, (T, N)."""

    @abstractmethod
    def test(self, run: Run, generator: torch.Generator) -> Score:
        """Test on sequences drawn with the generator."""

    def loss(self, outputs: Tensor, sequences: Sequences) -> Tensor:
        """Compute the weighted mean of the frames' losses."""
        return (self.frame_losses(outputs, sequences.targets) * sequences.weights).sum()


def class_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy (T, N) of outputs (T, N, V) before softmax, against classes (T, N)."""
    return F.cross_entropy(outputs.movedim(-1, 1), targets, reduction="none")


def set_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy (T, N) of outputs (T, N, V) before sigmoids, against sets (T, N, V) of 0, 1."""
    losses: Tensor = F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    return losses.mean(-1)


def squared_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared error (T, N) of outputs (T, N, V), against values (T, N, V)."""
    return (outputs - targets).square().mean(-1)


def spread_evenly(counts: Tensor) -> Tensor:
    """Give the frames marked in (T, N) equal shares that sum to 1."""
    return counts.to(torch.float32) / counts.sum()


def at_the_end(num_frames: int, batch_size: int) -> Tensor:
    """Weights (T, N) of a loss that looks at the last frames only."""
    marked = torch.zeros(num_frames, batch_size)
    marked[-1] = 1.0
    return spread_evenly(marked)


def draw_integers(
    low: int, high: int, shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """Whole numbers from low to high, both possible."""
    return torch.randint(low, high + 1, shape, generator=generator)
