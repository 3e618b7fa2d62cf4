"""Alignment of a reference with a hypothesis: the fewest errors, or as NIST's sclite does it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asrkit.score.network import WordNetwork

Operation = Literal["hit", "sub", "del", "ins", "forgiven"]
AlignmentRule = Literal["levenshtein", "sclite"]

_Row = NDArray[Any]

_DIAGONAL, _DELETION, _INSERTION = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Edit:
    """One column of an alignment; `ref` is None in an insertion, `hyp` in a deletion.

    A `forgiven` column is a deletion that is no error.
    """

    op: Operation
    ref: str | None
    hyp: str | None


def align(
    ref: Sequence[str] | WordNetwork,
    hyp: Sequence[str],
    optional: Collection[str] = (),
    rule: AlignmentRule = "levenshtein",
) -> list[Edit]:
    """Align a reference with a hypothesis.

    `levenshtein` finds the fewest substitutions, deletions and insertions: each costs one, and so
    the number of errors is that of Kaldi's compute-wer and of jiwer. Among the alignments with the
    fewest errors, those that forgive the fewest deletions are taken, and of these those with the
    fewest substitutions (so the most hits), which makes the number of each kind of edit a property
    of the two sequences: `a b` against `b c` is a deletion, a hit and an insertion, not two
    substitutions.

    `sclite` finds the least weight: 4 for a substitution, 3 for a deletion or insertion, 2 for a
    forgiven deletion, 0.001 for an alternative that says nothing. That may be more errors than the
    fewest: three deletions and three insertions (18) go before five substitutions (20).

    Where several such alignments remain, the path is read from the end, and takes a hit or
    substitution before an insertion, an insertion before a deletion, and an alternative before
    those after it: `a a` against `a` deletes the first `a`.

    Parameters
    ----------
    ref
        Tokens, or a network of them with alternatives; R tokens in all, and R may be 0.
    hyp
        H tokens; H may be 0.
    optional
        Tokens of `ref` whose deletion is forgiven; a network says itself which they are.
    rule
        What the best alignment is.

    Returns
    -------
    list of Edit
        In order; its `ref` tokens spell the reference (one way through the network) and its `hyp`
        tokens the hypothesis.

    Notes
    -----
    Time and memory grow with R times H; the table takes one byte a cell. Alternatives multiply
    nothing: each of their tokens is a row of the table as any other.

    `sclite` is what sclite of the NIST Scoring Toolkit 2.4 does, with its option -D if there are
    optional words: the weights are in `wwd_WORD` of its word.c, the search in its net_dp.c. It adds
    them up in float32, and so does this, for the rounding of 0.001 decides between alignments that
    would weigh the same.
    """
    network = ref if isinstance(ref, WordNetwork) else WordNetwork.of_tokens(ref, optional)
    table = _Table(network, hyp, _weigh(network, len(hyp), rule))
    edits: list[Edit] = []
    j = len(hyp)
    number = table.word_before(len(network.ends_of) - 1, j)
    while j or number is not None:
        move = _INSERTION if number is None else table.moves[number, j]
        if number is None or move == _INSERTION:
            j -= 1
            edits.append(Edit("ins", None, hyp[j]))
            continue
        word = network.words[number]
        if move == _DIAGONAL:
            j -= 1
            edits.append(Edit("hit" if word.token == hyp[j] else "sub", word.token, hyp[j]))
        elif word.token is not None:
            edits.append(Edit("forgiven" if word.is_optional else "del", word.token, None))
        number = table.word_before(word.node, j)
    edits.reverse()
    return edits


class _Weights(NamedTuple):
    substitution: np.number
    error: np.number
    """Of a deletion or an insertion."""
    forgiven: np.number
    nothing: np.number


def _weigh(network: WordNetwork, num_hyp: int, rule: AlignmentRule) -> _Weights:
    if rule == "sclite":
        if any(word.token is None for word in network.words):
            return _Weights(*np.array([4, 3, 2, 0.001], np.float32))
        return _Weights(*np.array([4, 3, 2, 0], np.int64))
    # A forgiven deletion outweighs all substitutions, and an error all forgiven deletions: a single
    # integer orders (errors, forgiven deletions, substitutions).
    forgiven = min(len(network.words), num_hyp) + 1
    error = forgiven * (sum(word.is_optional for word in network.words) + 1)
    return _Weights(*np.array([error + 1, error, forgiven, 0], np.int64))


def _insert(row: _Row, weight: np.number) -> _Row:
    """Let insertions run along a row: any number of them may come before a column."""
    if row.dtype == np.int64:
        insertions = weight * np.arange(len(row))
        shortest: _Row = np.minimum.accumulate(row - insertions) + insertions
        return shortest
    # One after the other, for the sake of the rounding.
    sums = accumulate(row, lambda before, here: min(here, before + weight))
    return np.fromiter(sums, row.dtype, len(row))


class _Table:
    """The last move on the best path to each word and column, and the best word before each node.

    Attributes
    ----------
    moves
        Row of each word by the number of hypothesis tokens used, (R, H + 1).
    """

    def __init__(self, network: WordNetwork, hyp: Sequence[str], weights: _Weights) -> None:
        dtype = weights.error.dtype
        numbers: dict[str | None, int] = {}
        hyp_numbers = np.array([numbers.setdefault(token, len(numbers)) for token in hyp], np.int64)
        last_use = {word.node: number for number, word in enumerate(network.words)}
        self._ends_of = network.ends_of
        self._choices: dict[int, NDArray[np.int64]] = {}
        self.moves = np.full((len(network.words), len(hyp) + 1), _DELETION, np.uint8)

        at_node: dict[int, _Row] = {0: weights.error * np.arange(len(hyp) + 1, dtype=dtype)}
        at_end_of: dict[int, _Row] = {}
        for number, word in enumerate(network.words):
            if word.node not in at_node:
                at_node[word.node] = self._join(word.node, at_end_of)
            before = at_node[word.node]
            if last_use[word.node] == number:
                del at_node[word.node]
            if word.token is None:
                deletion = weights.nothing
            else:
                deletion = weights.forgiven if word.is_optional else weights.error
            is_error = hyp_numbers != numbers.get(word.token, -1)
            by_diagonal = before[:-1] + weights.substitution * is_error
            row = before + deletion
            np.minimum(row[1:], by_diagonal, out=row[1:])
            row = _insert(row, weights.error)
            moves = self.moves[number, 1:]
            moves[row[1:] == row[:-1] + weights.error] = _INSERTION
            moves[row[1:] == by_diagonal] = _DIAGONAL
            at_end_of[number] = row
        if network.words:
            self._join(len(network.ends_of) - 1, at_end_of)

    def word_before(self, node: int, column: int) -> int | None:
        """Return the last word on the best path to a node, None at the beginning."""
        ends = self._ends_of[node]
        if not ends:
            return None
        return ends[self._choices[node][column]] if len(ends) > 1 else ends[0]

    def _join(self, node: int, at_end_of: dict[int, _Row]) -> _Row:
        """Take the best of the words that end in a node, the first of equals."""
        first, *others = self._ends_of[node]
        best = at_end_of.pop(first)
        if others:
            best = best.copy()
            choice = self._choices[node] = np.zeros(len(best), np.int64)
            for i, end in enumerate(others, start=1):
                row = at_end_of.pop(end)
                choice[row < best] = i
                np.minimum(best, row, out=best)
        return best
