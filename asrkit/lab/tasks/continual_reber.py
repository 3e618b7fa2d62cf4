"""Continual embedded Reber grammar: strings follow one another, and nothing resets the network.

Gers, Schmidhuber & Cummins 2000. The state of the network goes on from string to string and from
update to update.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from asrkit.lab.tasks.reber import SYMBOLS, all_foreseen, draw_string, encode, encode_sets
from asrkit.lab.tasks.task import Run, Score, Sequences, Task, class_losses, spread_evenly
from asrkit.lab_settings import ContinualReber

_TEST_STREAMS = 10
_TEST_PIECE = 500


class _Stream:
    """An endless stream of strings."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._symbols = ""
        self._possible: list[str] = []

    def take(self, count: int) -> tuple[Tensor, Tensor]:
        """Take `count` symbols: their numbers, and the sets they were drawn from.

        The last one is taken again as the first of the next call: it is the target of this one and
        the input of that one.
        """
        while len(self._symbols) < count:
            string, possible = draw_string(self._generator)
            self._symbols += string
            self._possible += possible
        taken, sets = self._symbols[:count], self._possible[:count]
        self._symbols, self._possible = self._symbols[count - 1 :], self._possible[count - 1 :]
        return encode(taken), encode_sets(sets)


class ContinualReberTask(Task):
    """Inputs and outputs as in the embedded Reber grammar."""

    num_inputs = num_outputs = len(SYMBOLS)
    mean_frames = 12.0
    title = "continual embedded Reber grammar"

    def __init__(self, settings: ContinualReber) -> None:
        self._piece_frames = settings.piece_frames
        self._stream_pieces = settings.stream_pieces
        self._error_free = settings.error_free_symbols
        self.criterion = (
            f"no error in {_TEST_STREAMS} new streams of {settings.error_free_symbols:,} symbols"
        )

    def draw(self, batch_size: int, generator: torch.Generator) -> Iterator[Sequences]:
        """Draw pieces of `batch_size` streams; after some, new streams begin."""
        weights = spread_evenly(torch.ones(self._piece_frames, batch_size))
        while True:
            streams = [_Stream(generator) for _ in range(batch_size)]
            for number in range(self._stream_pieces):
                taken = [stream.take(self._piece_frames + 1)[0] for stream in streams]
                symbols = torch.stack(taken, dim=1)
                inputs = F.one_hot(symbols[:-1], len(SYMBOLS)).to(torch.float32)
                ends = int((symbols[1:] == SYMBOLS.index("E")).sum())
                yield Sequences(inputs, symbols[1:], weights, ends, goes_on=number > 0)

    def frame_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy with the symbol that came."""
        return class_losses(outputs, targets)

    def test(self, run: Run, generator: torch.Generator) -> Score:
        """Read each stream to its first error; the score is the mean length before it."""
        streams = [_Stream(generator) for _ in range(_TEST_STREAMS)]
        going = torch.ones(_TEST_STREAMS, dtype=torch.bool)
        lengths = torch.zeros(_TEST_STREAMS, dtype=torch.int64)
        state = None
        while going.any() and int(lengths.max()) < self._error_free:
            taken = [stream.take(_TEST_PIECE + 1) for stream in streams]
            symbols = torch.stack([numbers[:-1] for numbers, _ in taken], dim=1)
            possible = torch.stack([sets[1:] for _, sets in taken], dim=1)
            outputs, state = run(F.one_hot(symbols, len(SYMBOLS)).to(torch.float32), state)
            right = all_foreseen(outputs, possible)
            lengths += going * right.cumprod(0).sum(0)
            going &= right.all(0)
        lengths.clamp_(max=self._error_free)
        failed = int((lengths < self._error_free).sum())
        text = f"{lengths.to(torch.float32).mean():.0f} symbols to the first error"
        return Score(failed / _TEST_STREAMS, text if failed else "no error")
