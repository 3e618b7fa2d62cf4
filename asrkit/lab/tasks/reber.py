"""Embedded Reber grammar: predict which symbols may come next.

Hochreiter & Schmidhuber 1997, experiment 1. A string is B, T or P, a string of Reber's grammar, the
same T or P again, E. The second T or P is what needs memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from asrkit.lab.tasks.task import Run, Score, Sequences, Task, class_losses, spread_evenly

SYMBOLS = "BTSXPVE"
_TESTED = 256
# State -> symbol -> next state; a string begins in state 0 and ends in state 6.
_GRAMMAR: tuple[dict[str, int], ...] = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 7},
    {"P": 4, "V": 7},
    {},
    {"E": 6},
)


def draw_string(generator: torch.Generator) -> tuple[str, list[str]]:
    """Draw a string and, for each of its symbols, those that might have stood in its place."""

    def choose(symbols: str) -> str:
        if len(symbols) == 1:
            return symbols
        return symbols[int(torch.randint(len(symbols), (1,), generator=generator))]

    around = choose("TP")
    symbols, possible = ["B", around], ["B", "TP"]
    state = 0
    while _GRAMMAR[state]:
        possible.append("".join(_GRAMMAR[state]))
        symbols.append(choose(possible[-1]))
        state = _GRAMMAR[state][symbols[-1]]
    return "".join([*symbols, around, "E"]), [*possible, around, "E"]


def encode(symbols: str) -> Tensor:
    """Give the numbers of the symbols, (T,) int64."""
    return torch.tensor([SYMBOLS.index(symbol) for symbol in symbols])


def encode_sets(sets: list[str]) -> Tensor:
    """Write sets of symbols as (T, 7) of True and False."""
    return torch.tensor([[symbol in each for symbol in SYMBOLS] for each in sets])


def all_foreseen(outputs: Tensor, possible: Tensor) -> Tensor:
    """Whether every possible symbol has a higher output than every impossible one, (T, N)."""
    lowest = outputs.masked_fill(~possible, torch.inf).amin(-1)
    highest = outputs.masked_fill(possible, -torch.inf).amax(-1)
    return lowest > highest


class ReberTask(Task):
    """Inputs: the symbols, each a unit of its own; outputs: the next one."""

    num_inputs = num_outputs = len(SYMBOLS)
    mean_frames = 12.0
    title = "embedded Reber grammar"
    criterion = f"every prediction right in all of {_TESTED} new strings"

    def draw(self, batch_size: int, generator: torch.Generator) -> Iterator[Sequences]:
        """Draw batches of strings, shorter ones padded."""
        while True:
            strings = [encode(draw_string(generator)[0]) for _ in range(batch_size)]
            inputs = pad_sequence([F.one_hot(s[:-1], len(SYMBOLS)) for s in strings])
            targets = pad_sequence([s[1:] for s in strings])
            valid = pad_sequence([torch.ones(len(s) - 1) for s in strings])
            yield Sequences(inputs.to(torch.float32), targets, spread_evenly(valid), batch_size)

    def frame_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy with the symbol that came."""
        return class_losses(outputs, targets)

    def test(self, run: Run, generator: torch.Generator) -> Score:
        """Count the strings in which something impossible was predicted at some point."""
        drawn = [draw_string(generator) for _ in range(_TESTED)]
        numbers = [F.one_hot(encode(string[:-1]), len(SYMBOLS)) for string, _ in drawn]
        possible = pad_sequence([encode_sets(sets[1:]) for _, sets in drawn])
        outputs, _ = run(pad_sequence(numbers).to(torch.float32), None)
        padding = ~possible.any(-1)
        wrong = int((~(all_foreseen(outputs, possible) | padding)).any(0).sum())
        return Score(wrong / _TESTED, f"{wrong} of {_TESTED} strings wrong")
