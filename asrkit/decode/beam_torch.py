"""CTC prefix beam search of a whole batch at once, in torch operations only.

It finds what `asrkit.decode.beam` finds, by the same arithmetic, on whatever device the
log-probabilities are: on a GPU all utterances and prefixes advance together, frame by frame. As
there, probabilities are scaled by powers of two. A prefix is known by a hash of its tokens
and by that of the prefix one token shorter, so two comparisons tell whether one prefix of the beam
grows into another. For two different prefixes to share one of 64 bits there must be some 10^9 of
them in an utterance; a beam of 100 makes 10^5 in a thousand frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asrkit.data.tokens import TokenTable
from asrkit.decode.pruning import Pruning, SearchLimits
from asrkit.errors import DataError

BLANK = TokenTable.blank_id

_NEGLIGIBLE = 1e-290
_RESCALE_BELOW = 2.0**-64
_NO_PREFIX, _ROOT, _DEAD = 0, 1, 2
"""Hashes: of what is before the empty prefix, of that prefix, of an empty place of the beam."""


@dataclass(frozen=True, slots=True)
class Beams:
    """K prefixes of each of N utterances, best first; shape (N, K) each.

    `in_blank` and `in_token` are the probabilities of a prefix's alignments by how they end, to be
    multiplied by e^`log_scales`, shape (N,). Where both are 0 there are fewer than K.
    """

    prefixes: Tensor
    parents: Tensor
    last: Tensor
    in_blank: Tensor
    in_token: Tensor
    log_scales: Tensor

    @property
    def log_probs(self) -> Tensor:
        """Log-probability of each prefix, shape (N, K)."""
        return (self.in_blank + self.in_token).log() + self.log_scales[:, None]

    @classmethod
    def of_nothing(cls, num_utts: int, device: torch.device) -> Beams:
        """Begin with the empty prefix, which is certain."""
        ids = torch.zeros(num_utts, 1, dtype=torch.int64, device=device)
        none = torch.zeros(num_utts, 1, dtype=torch.float64, device=device)
        return cls(ids + _ROOT, ids + _NO_PREFIX, ids + BLANK, none + 1, none, none[:, 0])

    def rescaled(self) -> Beams:
        """Bring the best prefix of each utterance near 1, where it has become small."""
        best = self.in_blank[:, 0] + self.in_token[:, 0]
        exponents = torch.frexp(best).exponent.where(best < _RESCALE_BELOW, 0)
        scales = torch.ldexp(torch.ones_like(best), -exponents)[:, None]
        return replace(
            self,
            in_blank=self.in_blank * scales,
            in_token=self.in_token * scales,
            log_scales=self.log_scales + exponents.double() * math.log(2.0),
        )


@torch.no_grad()
def beam_search_batch(
    log_probs: Tensor,
    out_lens: Tensor,
    limits: SearchLimits,
    nbest: int = 1,
) -> list[list[tuple[NDArray[np.int32], float]]]:
    """Find the likeliest labellings of each utterance of a batch.

    Parameters
    ----------
    log_probs : Tensor, shape (N, T, V)
        On any device; computed in float64.
    out_lens : Tensor, shape (N,), int64
        Valid frames of each utterance; the others are never read.
    limits, nbest
        As for `asrkit.decode.beam.beam_search`.

    Returns
    -------
    list of list of (labels, log_prob)
        For each utterance what `asrkit.decode.beam.search_prefixes` gives, with the same order
        among equals; log-probabilities agree to float64 rounding.

    Raises
    ------
    DataError
        If in a valid frame nothing is possible, or it holds what is no log-probability.

    Notes
    -----
    For each frame it takes memory for `N * beam_size * C` numbers, C the most tokens that pass the
    limits in one utterance.
    """
    num_utts, num_frames, _ = log_probs.shape
    pruning = limits.pruning
    out_lens = out_lens.to(log_probs.device)
    beams = Beams.of_nothing(num_utts, log_probs.device)
    came_from: list[Tensor] = []
    grown_by: list[Tensor] = []
    for t in range(num_frames):
        frame, skipped = _read_frame(log_probs[:, t], out_lens > t, pruning.skip_log_prob)
        tokens, token_probs = _candidates(frame, pruning)
        beams, rows, labels = _advance(
            beams, frame.exp(), tokens, token_probs, limits.beam_size, pruning.least_share
        )
        beams = replace(beams, log_scales=beams.log_scales + skipped).rescaled()
        came_from.append(rows)
        grown_by.append(labels)
    return _trace_back(beams.log_probs, came_from, grown_by, nbest)


def _read_frame(frame: Tensor, is_valid: Tensor, skip_above: float) -> tuple[Tensor, Tensor]:
    """Return log-probabilities (N, V) as float64, and those of blanks that are taken apart (N,).

    After the end of an utterance comes nothing but certain blanks: they change no score. So do
    frames to be skipped, apart from how likely their blanks are.
    """
    frame = frame.double()
    blank = frame[:, BLANK]
    is_skipped = is_valid & (blank > skip_above)
    is_blank = ~is_valid | is_skipped
    skipped = blank.where(is_skipped, 0.0)
    frame = frame.masked_fill(is_blank[:, None], -torch.inf)
    frame[:, BLANK].masked_fill_(is_blank, 0.0)
    return frame, skipped


def _candidates(frame: Tensor, pruning: Pruning) -> tuple[Tensor, Tensor]:
    """Return tokens (N, C) by which prefixes may grow, likeliest first, and their probabilities.

    Where an utterance has fewer, blanks of probability 0 follow. NaN passes every limit, to be
    found.
    """
    # The likeliest token is never pruned, or a narrow beam could end in nothing.
    limit = frame.amax(dim=1, keepdim=True).clamp(max=pruning.token_min_log_prob)
    is_out = (frame < limit) | (frame == -torch.inf)
    is_out[:, BLANK] = True
    count = int((~is_out).sum(dim=1).amax()) if len(frame) else 0
    if pruning.max_frame_tokens > 0:
        count = min(count, pruning.max_frame_tokens)
    sorted_log_probs, tokens = frame.masked_fill(is_out, -torch.inf).sort(
        dim=1, descending=True, stable=True
    )
    probs = sorted_log_probs[:, :count].exp()
    return tokens[:, :count].masked_fill(probs == 0.0, BLANK), probs


def _advance(
    beams: Beams,
    frame: Tensor,
    tokens: Tensor,
    token_probs: Tensor,
    beam_size: int,
    least_share: float,
) -> tuple[Beams, Tensor, Tensor]:
    """Account for one frame of probabilities (N, V).

    Returns the beams, the rows they came from and the tokens they grew by, which are blank where a
    prefix stayed what it was.
    """
    num_utts, num_rows = beams.last.shape
    num_tokens = tokens.shape[1]
    total = beams.in_blank + beams.in_token

    # A prefix stays what it is: by a blank, or by its last token going on (never at the root).
    last_probs = frame.gather(1, beams.last)
    in_blank = total * frame[:, BLANK, None]
    in_token = beams.in_token * last_probs

    # A prefix may grow into one that the beam holds already: these are one and the same.
    comes_from = beams.parents[:, :, None] == beams.prefixes[:, None, :]
    is_held, parent_rows = comes_from.any(dim=2), comes_from.byte().argmax(dim=2)
    after_itself = beams.last.gather(1, parent_rows) == beams.last
    before = beams.in_blank.gather(1, parent_rows).where(after_itself, total.gather(1, parent_rows))
    in_token = in_token + (before * last_probs).where(is_held, 0.0)
    in_token = in_token.masked_fill(in_token < _NEGLIGIBLE, 0.0)

    # It grows by a token: (N, C + 2, K). Its last token comes first, which it needs a blank for;
    # then the candidates; then a place that takes what is to be forgotten.
    ranks = torch.full_like(frame, num_tokens, dtype=torch.int64)
    ranks.scatter_(1, tokens, torch.arange(num_tokens, device=tokens.device).expand_as(tokens))
    ranks[:, BLANK] = num_tokens
    of_last = ranks.gather(1, beams.last)
    growths = total.new_zeros((num_utts, num_tokens + 2, num_rows))
    growths[:, 0] = (beams.in_blank * last_probs).where(of_last < num_tokens, 0.0)
    growths[:, 1:-1] = token_probs[:, :, None] * total[:, None, :]
    growths = growths.flatten(1)
    columns = torch.arange(num_rows, device=tokens.device)
    growths.scatter_(1, (of_last + 1) * num_rows + columns, 0.0)
    held = (of_last + 1).masked_fill(after_itself, 0) * num_rows + parent_rows
    growths.scatter_(1, held.where(is_held, (num_tokens + 1) * num_rows), 0.0)

    scores = torch.cat([in_blank + in_token, growths], dim=1)
    best, kept = _best(scores, beam_size)
    rows, places = kept % num_rows, kept // num_rows
    stays = places == 0
    last = beams.last.gather(1, rows)
    blank = tokens.new_full((num_utts, 1), BLANK)
    grown_by = torch.cat([blank, blank, tokens, blank], dim=1).gather(1, places)
    grown_by = last.where(places == 1, grown_by)

    prefixes = beams.prefixes.gather(1, rows)
    advanced = Beams(
        prefixes=prefixes.where(stays, _hash_grown(prefixes, grown_by)),
        parents=beams.parents.gather(1, rows).where(stays, prefixes),
        last=last.where(stays, grown_by),
        in_blank=in_blank.gather(1, rows).where(stays, 0.0),
        in_token=in_token.gather(1, rows).where(stays, best),
        log_scales=beams.log_scales,
    )
    # An empty place could be taken for the prefix whose growth was forgotten.
    is_dead = best <= (best[:, :1] * least_share).clamp(min=_NEGLIGIBLE)
    advanced.prefixes.masked_fill_(is_dead, _DEAD)
    advanced.parents.masked_fill_(is_dead, _NO_PREFIX)
    advanced.in_blank.masked_fill_(is_dead, 0.0)
    advanced.in_token.masked_fill_(is_dead, 0.0)
    return advanced, rows.int(), grown_by.int()


def _best(scores: Tensor, beam_size: int) -> tuple[Tensor, Tensor]:
    """Return the highest scores (N, K) and their places; among equals the first places win."""
    ordered, places = scores.sort(dim=1, descending=True, stable=True)
    return ordered[:, :beam_size], places[:, :beam_size]


def _hash_grown(prefixes: Tensor, tokens: Tensor) -> Tensor:
    """Return the hashes of prefixes with a token more; the constants are those of SplitMix64."""
    mixed = prefixes + (tokens + 1) * -0x61C8864680B583EB
    mixed = (mixed ^ (mixed >> 30)) * -0x40A7B892E31B1A47
    mixed = (mixed ^ (mixed >> 27)) * -0x6B2FB644ECCEEE15
    return mixed ^ (mixed >> 31)


def _trace_back(
    scores: Tensor, came_from: list[Tensor], grown_by: list[Tensor], nbest: int
) -> list[list[tuple[NDArray[np.int32], float]]]:
    """Spell the best prefixes (N, K); equally likely ones come in the order of their token ids."""
    if not scores[:, :1].isfinite().all():
        raise DataError(
            "decode: the model's output is not finite; expected log-probabilities; the audio or "
            "the model's weights are damaged"
        )
    rows = torch.arange(scores.shape[1], device=scores.device).expand(scores.shape)
    paths = torch.full((len(came_from), *scores.shape), BLANK, dtype=torch.int32)
    paths = paths.to(scores.device)
    for t in reversed(range(len(came_from))):
        paths[t] = grown_by[t].gather(1, rows)
        rows = came_from[t].gather(1, rows).long()
    found = []
    for path, of_beam in zip(paths.cpu().numpy().swapaxes(0, 1), scores.tolist(), strict=True):
        last_wanted = of_beam[: min(nbest, len(of_beam))][-1]
        labellings = [
            (path[:, row][path[:, row] != BLANK], log_prob)
            for row, log_prob in enumerate(of_beam)
            if -math.inf < log_prob and log_prob >= last_wanted
        ]
        labellings.sort(key=lambda labelling: (-labelling[1], labelling[0].tolist()))
        found.append(labellings[:nbest])
    return found
