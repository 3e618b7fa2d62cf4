"""The temporal order problem: in which order two or three relevant symbols came.

Hochreiter & Schmidhuber 1997, experiments 6a and 6b. Among 100 to 110 symbols, the first E, the
last B, the others drawn from a, b, c and d, stand two or three that are X or Y. Their order is the
class, to be named at the end.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from asrkit.lab.tasks.task import (
    Run,
    Score,
    Sequences,
    Task,
    at_the_end,
    class_losses,
    draw_integers,
)
from asrkit.lab_settings import TemporalOrder

_TESTED = 2560
_START, _END, _X = 0, 1, 2
_FIRST_DISTRACTOR, _NUM_DISTRACTORS = 4, 4
_PLACES = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}


class TemporalOrderTask(Task):
    """Inputs: E, B, X, Y, a, b, c, d, each a unit of its own."""

    num_inputs = _FIRST_DISTRACTOR + _NUM_DISTRACTORS
    mean_frames = 105.0
    max_error = 0.001
    criterion = f"at most 2 of {_TESTED} new sequences wrong"

    def __init__(self, settings: TemporalOrder) -> None:
        self._places = _PLACES[settings.num_relevant]
        self.num_outputs = 2**settings.num_relevant
        self.title = f"temporal order of {settings.num_relevant} symbols among 100"

    def draw(self, batch_size: int, generator: torch.Generator) -> Iterator[Sequences]:
        """Draw batches of lengths from 100 to 110."""
        while True:
            yield self._draw_one(batch_size, generator)

    def _draw_one(self, batch_size: int, generator: torch.Generator) -> Sequences:
        length = int(draw_integers(100, 110, (1,), generator))
        last = _FIRST_DISTRACTOR + _NUM_DISTRACTORS - 1
        symbols = draw_integers(_FIRST_DISTRACTOR, last, (length, batch_size), generator)
        symbols[0], symbols[-1] = _START, _END
        classes = torch.zeros(batch_size, dtype=torch.int64)
        for low, high in self._places:
            place = draw_integers(low, high, (batch_size,), generator)
            relevant = draw_integers(0, 1, (batch_size,), generator)
            symbols[place, torch.arange(batch_size)] = _X + relevant
            classes = 2 * classes + relevant
        inputs = F.one_hot(symbols, self.num_inputs).to(torch.float32)
        targets = classes.expand(length, -1)
        return Sequences(inputs, targets, at_the_end(length, batch_size), batch_size)

    def frame_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy."""
        return class_losses(outputs, targets)

    def test(self, run: Run, generator: torch.Generator) -> Score:
        """Count the sequences given a wrong class."""
        sequences = self._draw_one(_TESTED, generator)
        outputs, _ = run(sequences.inputs, None)
        wrong = int((outputs[-1].argmax(-1) != sequences.targets[-1]).sum())
        return Score(wrong / _TESTED, f"{wrong} of {_TESTED} wrong")
