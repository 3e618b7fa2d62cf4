"""References and hypotheses out of alignments that other toolkits print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from asrkit.errors import ScoreError
from asrkit.score.formats.lines import Entry


def entry_of_rows(
    where: str,
    utt_id: str,
    ref: Sequence[str],
    hyp: Sequence[str],
    ops: Sequence[str],
    expected: Mapping[str, int],
) -> Entry:
    """Take the two transcripts from the rows of an alignment.

    Whether a cell stands for no word is taken from the row of operations, since any text may be a
    word.

    Parameters
    ----------
    ref, hyp
        Cells of the reference and the hypothesis.
    ops
        For each column `I` (insertion), `D` (deletion), `S` (substitution) or what stands for a
        word that is right.
    expected
        How often each of `I`, `D` and `S` is stated to occur.

    Raises
    ------
    ScoreError
        If the rows are of different lengths or do not hold what is stated: a word may have held the
        mark between columns, or the file is damaged.
    """
    found = Counter(ops)
    counted = {op: found[op] for op in expected}
    if not len(ref) == len(hyp) == len(ops) or counted != dict(expected):
        stated = ", ".join(f"{number} {op}" for op, number in expected.items())
        raise ScoreError(
            f"{where}: the alignment of {utt_id} has {len(ref)} cells of the reference, {len(hyp)} "
            f"of the hypothesis and {len(ops)} operations; expected the same number, and of "
            f"operations {stated}; score the transcripts it was made of instead"
        )
    return Entry(
        where,
        utt_id,
        _join(cell for cell, op in zip(ref, ops, strict=True) if op != "I"),
        hypothesis=_join(cell for cell, op in zip(hyp, ops, strict=True) if op != "D"),
    )


def _join(cells: Iterable[str]) -> str:
    return " ".join(filter(None, cells))
