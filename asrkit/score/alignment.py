"""Levenshtein alignment of a reference with a hypothesis."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Operation = Literal["hit", "sub", "del", "ins", "forgiven"]

_DIAGONAL, _DELETION, _INSERTION = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Edit:
    """One column of an alignment; `ref` is None in an insertion, `hyp` in a deletion.

    A `forgiven` column is a deletion that is no error.
    """

    op: Operation
    ref: str | None
    hyp: str | None


def align(ref: Sequence[str], hyp: Sequence[str], optional: Collection[str] = ()) -> list[Edit]:
    """Align two token sequences with the fewest substitutions, deletions and insertions.

    Each of the three costs one. Among the alignments with the fewest errors, those with the fewest
    substitutions (so the most hits) are taken, which makes the number of each kind of edit a
    property of the two sequences: `a b` against `b c` is a deletion, a hit and an insertion, not
    two substitutions. Where several such alignments remain, the path is read from the end and
    takes a hit or substitution before a deletion, and a deletion before an insertion: `a a`
    against `a` deletes the first `a`.

    Deleting an `optional` token of the reference is no error. It is done only where it makes the
    errors fewer: among the alignments with the fewest errors, those that forgive the fewest
    deletions go before those with the fewest substitutions. NIST's sclite with `-D` forgives
    likewise, but weighs: 4 for a substitution, 3 for a deletion or insertion, 2 for a forgiven
    deletion. The alignment of the least weight may hold more errors than the fewest.

    Parameters
    ----------
    ref, hyp
        R and H tokens; either may be empty.
    optional
        Tokens that the hypothesis may lack.

    Returns
    -------
    list of Edit
        In order; its `ref` tokens spell the reference and its `hyp` tokens the hypothesis.

    Notes
    -----
    Time and memory grow with R times H; the table takes one byte a cell.
    """
    is_optional = np.array([token in optional for token in ref], dtype=bool)
    moves = _best_moves(*_as_numbers(ref, hyp), is_optional)
    edits: list[Edit] = []
    i, j = len(ref), len(hyp)
    while i or j:
        move = moves[i, j]
        if move == _DIAGONAL:
            i, j = i - 1, j - 1
            edits.append(Edit("hit" if ref[i] == hyp[j] else "sub", ref[i], hyp[j]))
        elif move == _DELETION:
            i -= 1
            edits.append(Edit("forgiven" if is_optional[i] else "del", ref[i], None))
        else:
            j -= 1
            edits.append(Edit("ins", None, hyp[j]))
    edits.reverse()
    return edits


def _as_numbers(
    ref: Sequence[str], hyp: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    numbers: dict[str, int] = {}
    first, second = (
        np.array([numbers.setdefault(token, len(numbers)) for token in tokens], dtype=np.int64)
        for tokens in (ref, hyp)
    )
    return first, second


def _best_moves(
    ref: NDArray[np.int64], hyp: NDArray[np.int64], is_optional: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Fill the (R + 1, H + 1) table of the last move on the best path to each cell."""
    num_ref, num_hyp = len(ref), len(hyp)
    # A forgiven deletion outweighs all substitutions, and an error all forgiven deletions: a single
    # integer orders (errors, forgiven deletions, substitutions).
    forgiven_cost = min(num_ref, num_hyp) + 1
    error_cost = forgiven_cost * (int(is_optional.sum()) + 1)
    deletion_costs = np.where(is_optional, forgiven_cost, error_cost)
    insertion_costs = error_cost * np.arange(num_hyp + 1)

    moves = np.full((num_ref + 1, num_hyp + 1), _INSERTION, dtype=np.uint8)
    moves[1:, 0] = _DELETION
    above = insertion_costs
    for i in range(1, num_ref + 1):
        by_diagonal = above[:-1] + np.where(hyp == ref[i - 1], 0, error_cost + 1)
        by_deletion = above + deletion_costs[i - 1]
        row = by_deletion.copy()
        np.minimum(row[1:], by_diagonal, out=row[1:])
        # Insertions run along the row: the running minimum takes any number of them at once.
        row = np.minimum.accumulate(row - insertion_costs) + insertion_costs
        moves[i, 1:][row[1:] == by_deletion[1:]] = _DELETION
        moves[i, 1:][row[1:] == by_diagonal] = _DIAGONAL
        above = row
    return moves
