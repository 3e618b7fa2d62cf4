"""What a network hears of each phone, kept so that text can be made into what it would hear."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.nn.utils.rnn import pad_sequence

from asrkit.ctc.alignment import align
from asrkit.data.tokens import TokenTable

_ENOUGH = 3
"""So many sounds of a phone between two others are enough to choose from those alone."""


class Sounds:
    """Stretches of phone posteriors, one a phone of real speech, to be put together anew.

    The idea is that of unit selection (Hunt & Black, ICASSP 1996), with posteriors in place of
    waveforms: a phone is drawn from those that stood between the same neighbours, where there are
    some, or after the same one, or anywhere.

    Parameters
    ----------
    heard : sequence of Tensor, each (T, P)
        Log-posteriors of utterances; the blank is 0.
    spoken : sequence of sequence of int
        The phones of each, at least one, which fit into its frames.

    Attributes
    ----------
    num_sounds : int
        How many of real speech there are.
    mean_posterior : float
        Of the phones in their frames: how well the network heard them.
    """

    def __init__(self, heard: Sequence[Tensor], spoken: Sequence[Sequence[int]]) -> None:
        size = heard[0].shape[1]
        contexts: list[tuple[int, int, int]] = []
        lens: list[int] = []
        posteriors: list[float] = []
        for log_probs, phones in zip(heard, spoken, strict=True):
            alignment = align(log_probs.double().numpy(), phones)
            # A sound reaches halfway to its neighbours; the first and last reach to the ends.
            middles = (alignment.ends[:-1] + alignment.starts[1:] + 1) // 2
            borders = [0, *middles.tolist(), len(log_probs)]
            lens += [end - begin for begin, end in pairwise(borders)]
            contexts += _contexts(phones)
            posteriors += alignment.probabilities.tolist()
        self.num_sounds = len(lens)
        self.mean_posterior = float(np.mean(posteriors))
        # So that each phone has one: itself for a frame, and a blank.
        certain = one_hot(torch.arange(size), size).float()
        blank = certain[TokenTable.blank_id]
        made_up = torch.stack([certain, blank.expand_as(certain)], dim=1).flatten(0, 1)
        self._probs = torch.cat([*(each.float().exp() for each in heard), made_up])
        self._lens = torch.tensor(lens + [2] * size)
        self._starts = self._lens.cumsum(0) - self._lens
        nowhere = [(-1, phone, -1) for phone in range(size)]
        keys = _keys(torch.tensor(contexts + nowhere), size)
        self._levels = [_Level(each) for each in keys]
        self._size = size

    def make_up(self, phones: Tensor, phone_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Draw what the network might hear of phones, with torch's own generator.

        Parameters
        ----------
        phones : Tensor, shape (N, L), int64
        phone_lens : Tensor, shape (N,), int64
            At least 1 each.

        Returns
        -------
        probs : Tensor, shape (N, T, P)
            Posteriors; 0 beyond the ends.
        lens : Tensor, shape (N,), int64
            Frames.
        """
        rows = [
            row[:length] for row, length in zip(phones.tolist(), phone_lens.tolist(), strict=True)
        ]
        contexts = torch.tensor([each for row in rows for each in _contexts(row)])
        draws = torch.rand(len(contexts), dtype=torch.float64)
        chosen = torch.full_like(draws, -1, dtype=torch.int64)
        for level, keys in zip(self._levels, _keys(contexts, self._size), strict=True):
            fewest = 1 if level is self._levels[-1] else _ENOUGH
            chosen = torch.where(chosen < 0, level.draw(keys, draws, fewest), chosen)
        lens = self._lens[chosen]
        shift = self._starts[chosen] - (lens.cumsum(0) - lens)
        frames = self._probs[shift.repeat_interleave(lens) + torch.arange(int(lens.sum()))]
        out_lens = torch.stack([each.sum() for each in torch.split(lens, phone_lens.tolist())])
        made_up = pad_sequence(list(torch.split(frames, out_lens.tolist())), batch_first=True)
        return made_up.to(phones.device), out_lens.to(phones.device)


class _Level:
    """Sounds by a key of their contexts."""

    def __init__(self, keys: Tensor) -> None:
        self.order = torch.argsort(keys, stable=True)
        self.keys, self.counts = torch.unique_consecutive(keys[self.order], return_counts=True)
        self.firsts = self.counts.cumsum(0) - self.counts

    def draw(self, keys: Tensor, draws: Tensor, fewest: int) -> Tensor:
        """Choose a sound for each key by a number in [0, 1); -1 where there are too few."""
        place = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        counts = self.counts[place]
        sound = self.order[self.firsts[place] + (draws * counts).long()]
        return torch.where((self.keys[place] == keys) & (counts >= fewest), sound, -1)


def _contexts(phones: Sequence[int]) -> list[tuple[int, int, int]]:
    """Give each phone with its neighbours, the blank's id at the ends."""
    edge = TokenTable.blank_id
    return list(zip([edge, *phones[:-1]], phones, [*phones[1:], edge], strict=True))


def _keys(contexts: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Give keys of (K, 3) contexts: of all three, of the phone and the one before, of the phone."""
    before, phone, after = contexts.unbind(dim=1)
    pair = before * size + phone
    return pair * size + after, pair, phone.contiguous()
