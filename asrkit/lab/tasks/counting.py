"""aⁿbⁿ and aⁿbⁿcⁿ: languages that need counting, tested on longer strings than were trained.

Gers & Schmidhuber 2001. A string is S, the letters, T; after each symbol but the last the set of
those that may follow is to be named. An output above 0, before its sigmoid, names its symbol.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from asrkit.lab.tasks.task import Run, Score, Sequences, Task, set_losses, spread_evenly
from asrkit.lab_settings import Counting

_START, _END, _FIRST_LETTER = 0, 1, 2


class CountingTask(Task):
    """Inputs and outputs: S, T and the letters, each a unit of its own."""

    def __init__(self, settings: Counting) -> None:
        self._num_letters = settings.num_letters
        self._trained_n = settings.trained_n
        self._tested_n = settings.tested_n
        self.num_inputs = self.num_outputs = _FIRST_LETTER + settings.num_letters
        self.mean_frames = settings.num_letters * (settings.trained_n + 1) / 2 + 1
        language = "aⁿbⁿ" if settings.num_letters == 2 else "aⁿbⁿcⁿ"
        self.title = f"{language}, trained for n = 1 to {settings.trained_n}"
        self.criterion = f"every prediction right for n = 1 to {settings.tested_n}"

    def string(self, n: int) -> tuple[Tensor, Tensor]:
        """Give the symbols before the T, (T, V) of 0 and 1, and what may follow each, likewise."""
        letters = torch.arange(_FIRST_LETTER, _FIRST_LETTER + self._num_letters)
        symbols = torch.cat([torch.tensor([_START]), letters.repeat_interleave(n)])
        following = F.one_hot(torch.cat([symbols[1:], torch.tensor([_END])]), self.num_outputs)
        following[1 : n + 1, _FIRST_LETTER : _FIRST_LETTER + 2] = 1  # another a, or the first b
        inputs = F.one_hot(symbols, self.num_inputs)
        return inputs.to(torch.float32), following.to(torch.float32)

    def _batch(self, numbers: list[int]) -> Sequences:
        strings = [self.string(n) for n in numbers]
        valid = pad_sequence([torch.ones(len(inputs)) for inputs, _ in strings])
        inputs, targets = (pad_sequence(list(each)) for each in zip(*strings, strict=True))
        return Sequences(inputs, targets, spread_evenly(valid), len(numbers))

    def draw(self, batch_size: int, generator: torch.Generator) -> Iterator[Sequences]:
        """Draw batches of strings, shorter ones padded."""
        while True:
            drawn = torch.randint(self._trained_n, (batch_size,), generator=generator) + 1
            yield self._batch(drawn.tolist())

    def frame_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy with the set of symbols that may follow."""
        return set_losses(outputs, targets)

    def test(self, run: Run, generator: torch.Generator) -> Score:  # noqa: ARG002
        """Test each n once; the score tells up to which n all are right."""
        sequences = self._batch(list(range(1, self._tested_n + 1)))
        outputs, _ = run(sequences.inputs, None)
        right = ((outputs > 0) == (sequences.targets > 0)).all(-1) | (sequences.weights == 0)
        accepted = right.all(0)
        return Score(1.0 - float(accepted.to(torch.float32).mean()), self._describe(accepted))

    def _describe(self, accepted: Tensor) -> str:
        up_to = int(accepted.cumprod(0).sum())
        return f"right up to n = {up_to}" if up_to else "wrong from n = 1"
