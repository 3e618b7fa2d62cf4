"""Generating timed spikes: a spike after exactly so many steps, again and again.

Gers, Schraudolph & Schmidhuber 2002, task GTS. At the beginning and at every spike that is due, the
input says by how many steps the next interval exceeds `period`, as a share of `max_delay`;
otherwise it is 0. The output is to be 1 at spikes and 0 elsewhere, to within one half: the network
has to count by itself and to start anew after each spike.
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
    set_losses,
    spread_evenly,
)
from asrkit.lab_settings import TimedSpikes

_TESTED = 100


class TimedSpikesTask(Task):
    """Input: the delay of the next spike; output: the spikes."""

    num_inputs = num_outputs = 1

    def __init__(self, settings: TimedSpikes) -> None:
        self._settings = settings
        self.mean_frames = settings.trained_spikes * (settings.period + settings.max_delay / 2)
        longest = settings.period + settings.max_delay
        self.title = f"generating timed spikes: {settings.period} to {longest} steps apart"
        self.criterion = f"all of {_TESTED} sequences of {settings.tested_spikes} spikes right"

    def draw(self, batch_size: int, generator: torch.Generator) -> Iterator[Sequences]:
        """Draw batches of 1 to `trained_spikes` spikes, shorter sequences padded."""
        while True:
            spikes = int(draw_integers(1, self._settings.trained_spikes, (1,), generator))
            yield self._draw_one(batch_size, spikes, generator)

    def _draw_one(self, batch_size: int, spikes: int, generator: torch.Generator) -> Sequences:
        settings = self._settings
        delays = draw_integers(0, settings.max_delay, (spikes, batch_size), generator)
        due = (settings.period + delays).cumsum(0)
        length = int(due.max()) + 1
        starts = torch.cat([torch.zeros_like(due[:1]), due[:-1]])
        said = delays.to(torch.float32) / max(1, settings.max_delay)
        inputs = torch.zeros(length, batch_size).scatter_(0, starts, said)
        targets = torch.zeros(length, batch_size).scatter_(0, due, 1.0)
        valid = torch.arange(length)[:, None] <= due[-1]
        return Sequences(inputs[..., None], targets[..., None], spread_evenly(valid), batch_size)

    def frame_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of spike or none."""
        return set_losses(outputs, targets)

    def test(self, run: Run, generator: torch.Generator) -> Score:
        """Count the sequences with a spike too many, too few, or at a wrong time."""
        sequences = self._draw_one(_TESTED, self._settings.tested_spikes, generator)
        outputs, _ = run(sequences.inputs, None)
        is_wrong = ((outputs > 0) != (sequences.targets > 0))[..., 0]
        wrong = int((is_wrong & (sequences.weights > 0)).any(0).sum())
        return Score(wrong / _TESTED, f"{wrong} of {_TESTED} wrong")
