"""The long time lag: recall the first symbol of a sequence when a signal asks for it.

After Hochreiter & Schmidhuber 1997, experiment 2. The first symbol is one of two; at least `lag`
distractors follow, random ones or always the same; then the signal, at which the first symbol is to
be named. Unlike there, nothing else is to be predicted.
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
from asrkit.lab_settings import LongLag

_TESTED = 500
_SIGNAL = 2


class LongLagTask(Task):
    """Inputs: the two first symbols, the signal, the distractors, each a unit of its own."""

    num_outputs = 2
    criterion = f"all of {_TESTED} new sequences right"

    def __init__(self, settings: LongLag) -> None:
        self._settings = settings
        self.num_inputs = 3 + settings.num_distractors
        self.mean_frames = 1.05 * settings.lag + 2
        kind = "random" if settings.random else "constant"
        self.title = (
            f"long time lag: {settings.lag} steps of {settings.num_distractors} {kind} distractors"
        )

    def draw(self, batch_size: int, generator: torch.Generator) -> Iterator[Sequences]:
        """Draw batches; those of random distractors vary in length by a tenth."""
        while True:
            yield self._draw_one(batch_size, generator)

    def _draw_one(self, batch_size: int, generator: torch.Generator) -> Sequences:
        settings = self._settings
        lag, distractors = settings.lag, settings.num_distractors
        # As many of the one as of the other: else what they have in common looks like a sign.
        first = torch.arange(batch_size)[None] % 2
        if settings.random:
            lag += int(draw_integers(0, lag // 10, (1,), generator))
            between = 3 + draw_integers(0, distractors - 1, (lag, batch_size), generator)
        else:
            between = (3 + torch.arange(lag) % distractors)[:, None].expand(-1, batch_size)
        symbols = torch.cat([first, between, torch.full((1, batch_size), _SIGNAL)])
        inputs = F.one_hot(symbols, self.num_inputs).to(torch.float32)
        weights = at_the_end(len(symbols), batch_size)
        return Sequences(inputs, first.expand(len(symbols), -1), weights, batch_size)

    def frame_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy."""
        return class_losses(outputs, targets)

    def test(self, run: Run, generator: torch.Generator) -> Score:
        """Count the sequences whose first symbol is not recalled."""
        sequences = self._draw_one(_TESTED, generator)
        outputs, _ = run(sequences.inputs, None)
        wrong = int((outputs[-1].argmax(-1) != sequences.targets[-1]).sum())
        return Score(wrong / _TESTED, f"{wrong} of {_TESTED} wrong")
