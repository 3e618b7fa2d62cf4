"""Results of SpeechBrain: `wer_*.txt`, totals followed by the alignment of each utterance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from asrkit.errors import ScoreError
from asrkit.score.formats.alignment_rows import entry_of_rows
from asrkit.score.formats.lines import Entry, Line

_RULE = "=" * 80
_SEPARATOR = " ; "
_HEADER = re.compile(
    r"(?P<utt_id>\S.*), %WER \S+ \[ \d+ / \d+, (?P<I>\d{1,9}) ins, (?P<D>\d{1,9}) del, "
    r"(?P<S>\d{1,9}) sub \]"
)


def looks_like_speechbrain(line: Line) -> bool:
    """Tell the line of totals that such a file begins with."""
    return line.text.startswith("%WER ")


def parse_speechbrain(lines: Sequence[Line]) -> Iterator[Entry]:
    """Read the alignments that `ErrorRateStats.write_stats` writes.

    Tokens are those that were aligned: those of a file of character error rates are characters,
    with `_` for a space.

    Parameters
    ----------
    lines
        All of the file: a row of an alignment may be blank.

    Raises
    ------
    ScoreError
        If there are no alignments, or one is damaged.
    """
    found = False
    number = 0
    while number < len(lines) - 1:
        number += 1
        line, before = lines[number], lines[number - 1]
        match = _HEADER.fullmatch(line.text.rstrip())
        if match is None or before.text.rstrip() != _RULE:
            continue
        found = True
        rows = [_cells(row) for row in lines[number + 1 : number + 4]]
        if len(rows) < 3:
            raise ScoreError(
                f"{line.where}: the file ends within utterance {match['utt_id']}; expected a row "
                "of the reference, one of operations and one of the hypothesis"
            )
        ref, ops, hyp = rows
        expected = {op: int(match[op]) for op in "IDS"}
        yield entry_of_rows(line.where, match["utt_id"], ref, hyp, ops, expected)
        number += 3
    if not found:
        raise ScoreError(
            f"{lines[0].where}: totals without alignments hold no transcripts; expected what "
            "SpeechBrain's ErrorRateStats.write_stats writes"
        )


def _cells(row: Line) -> list[str]:
    # A blank row is one empty cell: no words, or the empty word that an empty hypothesis was split
    # into and that SpeechBrain counts. Neither is a word here.
    return [cell.strip() for cell in row.text.split(_SEPARATOR)]
