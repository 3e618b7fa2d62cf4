"""CTC prefix beam search: the likeliest labellings, each summed over its alignments.

A labelling has many alignments: `a` is `a-`, `-a` and `aa` in two frames. The search goes through
the frames once and holds, for each of the best prefixes, the probability of all its alignments so
far, in two parts: those that end in blank and those that end in its last token. The parts matter
when that token comes again: after itself it only goes on, after a blank it is a new one.

It computes with probabilities, not their logarithms: sums are then sums. They are scaled by powers
of two, which rounds nothing, so that those of the best prefix stay near 1; a prefix that is e^-600
times as likely as the best is as good as impossible. Three things make it fast:

- Prefixes stay in the order of their probabilities, which a frame changes little: they are sorted
  by insertion, and in most frames, those of blanks, nothing moves at all.
- Growths need no sorting. By one token, a better prefix grows into a likelier one; so each token
  gives a sorted list, and the beam is the best of these lists and of the prefixes that stay, merged
  until it is full. The rest is never looked at, and nothing is lost by that.
- Only what reaches the beam becomes a node of the prefix tree. A table finds the node of a prefix
  that comes back, whose descendants may never have left.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from asrkit.data.tokens import TokenTable
from asrkit.decode.beam_kernel import labels_of, search
from asrkit.decode.best_path import find_best_path
from asrkit.decode.hypothesis import Hypothesis
from asrkit.decode.pruning import SearchLimits
from asrkit.errors import DataError


def beam_search(
    log_probs: Tensor,
    tokens: TokenTable,
    frame_s: float,
    limits: SearchLimits,
    nbest: int = 1,
) -> list[Hypothesis]:
    """Find the likeliest labellings of one utterance.

    Parameters
    ----------
    log_probs : Tensor, shape (T, V)
        Valid frames of one utterance, on any device; float32 or float64, computed in float64.
        T = 0 gives the empty hypothesis, whose probability is 1.
    tokens : TokenTable
    frame_s : float
        Seconds from one frame to the next.
    limits : SearchLimits
    nbest : int
        Hypotheses wanted, at most `limits.beam_size`; there are fewer if fewer are possible.

    Returns
    -------
    list of Hypothesis
        Best first. `log_prob` is the labelling's log-probability: exact if the beam held every
        prefix and no frame was skipped, else a lower bound. Times and token probabilities are those
        of the best alignment of the labelling. Equally likely labellings come in the order of their
        token ids, lowest first. Where equally likely prefixes compete for the last place of the
        beam, those already in it win, then those that grew by their last token again, then by a
        likelier token, then by one with a lower id, then those that grew from a better prefix.

    Raises
    ------
    DataError
        If in a frame nothing is possible, or it holds what is no log-probability.

    Notes
    -----
    Hannun, Maas, Jurafsky, Ng, "First-pass large vocabulary continuous speech recognition using
    bi-directional recurrent DNNs" (arXiv:1408.2873), algorithm 1, without its language model.
    Memory grows at most as `T * beam_size`, time as `T * beam_size * V`; both are far below where
    the model is sure.
    """
    frames = as_frames(log_probs)
    labellings = search_prefixes(
        frames,
        limits,
        nbest,
    )
    return to_hypotheses(labellings, frames, tokens, frame_s)


def to_hypotheses(
    labellings: Iterable[tuple[NDArray[np.int32], float]],
    frames: NDArray[np.floating],
    tokens: TokenTable,
    frame_s: float,
) -> list[Hypothesis]:
    """Place the tokens of labellings in time, each by its best alignment with the frames (T, V)."""
    return [
        Hypothesis.from_path(
            find_best_path(frames, labels, log_prob), frames, tokens, frame_s, log_prob
        )
        for labels, log_prob in labellings
    ]


def as_frames(log_probs: Tensor) -> NDArray[np.floating]:
    """Give log-probabilities to numba: in memory of the CPU, float32 or float64, contiguous."""
    cpu = log_probs.detach().cpu().contiguous()
    frames: NDArray[np.floating] = (cpu if cpu.is_floating_point() else cpu.double()).numpy()
    return frames


def search_prefixes(
    frames: NDArray[np.floating],
    limits: SearchLimits,
    nbest: int = 1,
) -> list[tuple[NDArray[np.int32], float]]:
    """Find the likeliest labellings, shape (L,) each, and their log-probabilities.

    Parameters and order as for `beam_search`; `frames` is (T, V), contiguous.
    """
    parents, last_tokens, nodes, found = search(frames, limits.beam_size, limits.pruning)
    if len(nodes) == 0:
        raise DataError(
            "decode: the model's output is not finite; expected log-probabilities; the audio or "
            "the model's weights are damaged"
        )
    # The beam is sorted, but not among equals.
    ties = min(nbest, len(nodes))
    while ties < len(nodes) and found[ties] == found[ties - 1]:
        ties += 1
    labellings = [
        (labels_of(parents, last_tokens, node), log_prob)
        for node, log_prob in zip(nodes[:ties].tolist(), found[:ties].tolist(), strict=True)
    ]
    if ties > 1:
        labellings.sort(key=lambda labelling: (-labelling[1], labelling[0].tolist()))
    return labellings[:nbest]
