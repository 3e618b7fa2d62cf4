"""Beam search of a transducer: the likeliest labellings, each summed over its alignments.

The search goes through the frames once and holds the best prefixes, each with the probability of
all alignments that led to it. In a frame it goes in rounds: in round r every alignment has emitted
exactly r labels in this frame. A round ends its prefixes by a blank, which adds to what earlier
rounds have ended with the same prefix, and grows them by one label each for the round to come.
Every alignment is counted in exactly one round of each frame: if nothing is pruned, the result is
the exact probability of each labelling, over alignments of at most `MAX_LABELS_PER_FRAME` labels a
frame. All prefixes of a round are computed together.

It departs from algorithm 1 of Graves, Sequence Transduction with Recurrent Neural Networks, 2012,
which takes one prefix after the other and sums over prefixes of prefixes beforehand, but prunes by
the same rule: a frame is done when the beam is full of prefixes that are likelier than any that
could still grow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asrkit.data.tokens import TokenTable
from asrkit.decode.hypothesis import Hypothesis
from asrkit.decode.prefix_tree import ROOT, PrefixTree
from asrkit.decode.transducer import (
    BLANK,
    MAX_LABELS_PER_FRAME,
    State,
    Transducer,
    align_labels,
    join,
)

CAPACITY_IN_FRAMES = 8
"""There is room for all prefixes that so many frames can grow at most."""


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Prefixes, all different, each with the log-probability of its alignments."""

    nodes: list[int]
    log_probs: NDArray[np.float64]


def beam_transducer_search(
    frames: Tensor,
    transducer: Transducer,
    tokens: TokenTable,
    frame_s: float,
    beam_size: int,
    token_min_log_prob: float,
    nbest: int = 1,
) -> list[Hypothesis]:
    """Find the likeliest labellings of one utterance.

    Parameters
    ----------
    frames : Tensor, shape (T, J)
        What the joint layer hears from each valid frame. T = 0 gives the empty hypothesis, whose
        probability is 1.
    transducer : Transducer
    tokens : TokenTable
        Of V symbols.
    frame_s : float
        Seconds from one frame to the next.
    beam_size : int
        Prefixes kept from frame to frame, and in each round of a frame, at least 1.
    token_min_log_prob : float
        Prefixes grow only by tokens at least this likely after them in a frame; `-inf` never
        prunes.
    nbest : int
        Hypotheses wanted, at most `beam_size`; there are fewer if fewer are possible.

    Returns
    -------
    list of Hypothesis
        Best first. `log_prob` is the labelling's log-probability, a lower bound where prefixes were
        pruned. Times and token probabilities are those of its best alignment. Equally likely
        labellings come in the order of their token ids.
    """
    tree = PrefixTree()
    predictions = Predictions(transducer, tree, beam_size)
    beam = Prefixes([ROOT], np.zeros(1))
    for frame in frames:
        predictions.make_room(beam.nodes)
        beam = _advance(beam, tree, predictions, frame, beam_size, token_min_log_prob)
    labellings = [tree.labels(node) for node in beam.nodes]
    best = sorted(zip((-beam.log_probs).tolist(), labellings, strict=True))[:nbest]
    return [
        align_labels(labels, -negative, frames, transducer, tokens, frame_s)
        for negative, labels in best
    ]


class Predictions:
    """What the prediction network says after each prefix, computed once while there is room.

    Parameters
    ----------
    transducer
        Asked for many prefixes at once.
    tree
        Of the prefixes.
    beam_size
        Prefixes in a round.
    """

    def __init__(self, transducer: Transducer, tree: PrefixTree, beam_size: int) -> None:
        self.transducer = transducer
        self.tree = tree
        self.most_in_a_frame = beam_size * (MAX_LABELS_PER_FRAME + 1)
        heard, state = transducer.begin()
        capacity = CAPACITY_IN_FRAMES * self.most_in_a_frame
        self._table: State = tuple(
            rows.new_empty(capacity, *rows.shape[1:]) for rows in (heard, *state)
        )
        self._row_of: dict[int, int] = {}
        self._store([ROOT], heard, state)

    def join(self, frame: Tensor, nodes: list[int]) -> NDArray[np.float64]:
        """Log-probabilities (K, V) of what comes next in a frame, (J,), after each prefix."""
        new = [node for node in nodes if node not in self._row_of]
        if new:
            parents = self._rows([self.tree.parents[node] for node in new])
            state = tuple(each.index_select(0, parents) for each in self._table[1:])
            labels = [self.tree.last_tokens[node] for node in new]
            device = self._table[0].device
            self._store(new, *self.transducer.extend(state, torch.tensor(labels, device=device)))
        heard = self._table[0].index_select(0, self._rows(nodes))
        return join(self.transducer, frame, heard)

    def make_room(self, nodes: list[int]) -> None:
        """Forget all other prefixes if the coming frame might need their rows."""
        if len(self._row_of) + self.most_in_a_frame <= len(self._table[0]):
            return
        rows = self._rows(nodes)
        kept = [each.index_select(0, rows) for each in self._table]
        self._row_of.clear()
        self._store(nodes, kept[0], tuple(kept[1:]))

    def _rows(self, nodes: list[int]) -> Tensor:
        rows = [self._row_of[node] for node in nodes]
        return torch.tensor(rows, device=self._table[0].device)

    def _store(self, nodes: list[int], heard: Tensor, state: State) -> None:
        first = len(self._row_of)
        for table, rows in zip(self._table, (heard, *state), strict=True):
            table[first : first + len(nodes)] = rows
        self._row_of.update(zip(nodes, range(first, first + len(nodes)), strict=True))


def _advance(
    beam: Prefixes,
    tree: PrefixTree,
    predictions: Predictions,
    frame: Tensor,
    beam_size: int,
    token_min_log_prob: float,
) -> Prefixes:
    """Account for one frame, shape (J,), and keep the best prefixes."""
    ended: dict[int, float] = {}
    growing = beam
    for emitted in range(MAX_LABELS_PER_FRAME + 1):
        following = predictions.join(frame, growing.nodes)
        by_blank = growing.log_probs + following[:, BLANK]
        for node, log_prob in zip(growing.nodes, by_blank.tolist(), strict=True):
            ended[node] = float(np.logaddexp(ended.get(node, -np.inf), log_prob))
        if emitted == MAX_LABELS_PER_FRAME:
            break
        grown = growing.log_probs[:, None] + following
        grown[following < token_min_log_prob] = -np.inf
        grown[:, BLANK] = -np.inf
        growing = _best_grown(growing, tree, grown, beam_size, _last_place(ended, beam_size))
        if not growing.nodes:
            break
    nodes, log_probs = list(ended), np.array(list(ended.values()))
    kept = np.argsort(-log_probs, kind="stable")[:beam_size]
    return Prefixes([nodes[index] for index in kept.tolist()], log_probs[kept])


def _last_place(ended: dict[int, float], beam_size: int) -> float:
    """Log-probability that a prefix must exceed to be among the best `beam_size`."""
    if len(ended) < beam_size:
        return -np.inf
    log_probs = np.fromiter(ended.values(), dtype=np.float64, count=len(ended))
    return float(np.partition(log_probs, -beam_size)[-beam_size])


def _best_grown(
    prefixes: Prefixes,
    tree: PrefixTree,
    grown: NDArray[np.float64],
    beam_size: int,
    last_place: float,
) -> Prefixes:
    """Best of the prefixes grown by a label, (K, V), that are likely enough for the beam."""
    scores = grown.ravel()
    possible = np.flatnonzero(scores > last_place)
    kept = possible[np.argsort(-scores[possible], kind="stable")[:beam_size]]
    parents, labels = np.divmod(kept, grown.shape[1])
    nodes = [
        tree.child(prefixes.nodes[parent], label)
        for parent, label in zip(parents.tolist(), labels.tolist(), strict=True)
    ]
    return Prefixes(nodes, scores[kept])
