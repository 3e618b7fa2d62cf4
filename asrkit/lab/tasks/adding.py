"""The adding problem: the sum of two marked numbers, at the end of a sequence of numbers.

Hochreiter & Schmidhuber 1997, experiment 4. A frame is a number in [-1, 1] and a mark: 1 at two
frames, one of the second to the tenth and another of the first half, -1 at the ends, otherwise 0.
The target is 0.5 + (X1 + X2) / 4.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from asrkit.lab.tasks.task import (
    Run,
    Score,
    Sequences,
    Task,
    at_the_end,
    draw_integers,
    squared_losses,
)
from asrkit.lab_settings import Adding

_TESTED = 2560
_TOLERANCE = 0.04


class AddingTask(Task):
    """Inputs: the number and its mark."""

    num_inputs = 2
    num_outputs = 1
    max_error = 0.01
    criterion = f"at most 1 % of {_TESTED} new sequences off by more than {_TOLERANCE}"

    def __init__(self, settings: Adding) -> None:
        self._length = settings.length
        self.mean_frames = 1.05 * settings.length
        self.title = f"adding two numbers among {settings.length}"

    def draw(self, batch_size: int, generator: torch.Generator) -> Iterator[Sequences]:
        """Draw batches, of lengths from `length` to a tenth more."""
        while True:
            yield self._draw_one(batch_size, generator)

    def _draw_one(self, batch_size: int, generator: torch.Generator) -> Sequences:
        length = self._length + int(draw_integers(0, self._length // 10, (1,), generator))
        numbers = 2 * torch.rand(length, batch_size, generator=generator) - 1
        # The first and the last frame carry no mark of a number; the two marks never coincide.
        first = draw_integers(1, 9, (batch_size,), generator)
        second = draw_integers(1, self._length // 2 - 2, (batch_size,), generator)
        second = second + (second >= first)
        each = torch.arange(batch_size)
        marks = torch.zeros(length, batch_size)
        marks[0] = marks[-1] = -1.0
        marks[first, each] = marks[second, each] = 1.0
        sums = 0.5 + (numbers[first, each] + numbers[second, each]) / 4
        inputs = torch.stack([numbers, marks], dim=-1)
        targets = sums[:, None].expand(length, -1, -1)
        return Sequences(inputs, targets, at_the_end(length, batch_size), batch_size)

    def frame_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared error."""
        return squared_losses(outputs, targets)

    def test(self, run: Run, generator: torch.Generator) -> Score:
        """Count the sums that are off by more than the tolerance."""
        sequences = self._draw_one(_TESTED, generator)
        outputs, _ = run(sequences.inputs, None)
        errors = (outputs[-1] - sequences.targets[-1]).abs()
        wrong = int((errors > _TOLERANCE).sum())
        return Score(wrong / _TESTED, f"{wrong} of {_TESTED} wrong")
