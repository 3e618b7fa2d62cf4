"""Measuring spike delays: how much longer than the shortest one an interval was.

Gers, Schraudolph & Schmidhuber 2002, task MSD. The input is 1 at spikes and otherwise 0; spikes are
`period` to `period + max_delay` steps apart. At every spike, the excess of the interval that it
ends is to be given, to within half a step.
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
    draw_integers,
    spread_evenly,
    squared_losses,
)
from asrkit.lab_settings import SpikeDelays

_TESTED = 100
_TOLERANCE = 0.49


class SpikeDelaysTask(Task):
    """Input: the spikes; output: the delay."""

    num_inputs = num_outputs = 1

    def __init__(self, settings: SpikeDelays) -> None:
        self._settings = settings
        self.mean_frames = settings.trained_spikes * (settings.period + settings.max_delay / 2)
        longest = settings.period + settings.max_delay
        self.title = f"measuring spike delays: {settings.period} to {longest} steps"
        self.criterion = f"all of {_TESTED} sequences of {settings.tested_spikes} spikes right"

    def draw(self, batch_size: int, generator: torch.Generator) -> Iterator[Sequences]:
        """Draw batches of `trained_spikes` spikes, shorter sequences padded."""
        while True:
            yield self._draw_one(batch_size, self._settings.trained_spikes, generator)

    def _draw_one(self, batch_size: int, spikes: int, generator: torch.Generator) -> Sequences:
        settings = self._settings
        delays = draw_integers(0, settings.max_delay, (spikes, batch_size), generator)
        times = (settings.period + delays).cumsum(0) - 1
        marks = torch.zeros(int(times.max()) + 1, batch_size).scatter_(0, times, 1.0)
        targets = torch.zeros_like(marks).scatter_(0, times, delays.to(torch.float32))
        return Sequences(marks[..., None], targets[..., None], spread_evenly(marks), batch_size)

    def frame_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared error."""
        return squared_losses(outputs, targets)

    def test(self, run: Run, generator: torch.Generator) -> Score:
        """Count the sequences in which a delay is given wrongly."""
        sequences = self._draw_one(_TESTED, self._settings.tested_spikes, generator)
        outputs, _ = run(sequences.inputs, None)
        is_wrong = ((outputs - sequences.targets).abs() > _TOLERANCE)[..., 0]
        wrong = int((is_wrong & (sequences.weights > 0)).any(0).sum())
        return Score(wrong / _TESTED, f"{wrong} of {_TESTED} wrong")
