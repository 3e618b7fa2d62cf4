"""Transcripts as Kaldi has them: `text` (of its data and of `scoring_kaldi/`), and `per_utt`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from asrkit.errors import ScoreError
from asrkit.score.formats.alignment_rows import entry_of_rows
from asrkit.score.formats.lines import Entry, Line

_COUNT = re.compile(r"\d{1,9}")
_ROWS = ["ref", "hyp", "op", "#csid"]


def starts_with_id(line: Line) -> bool:
    """Tell a line whose first word is recognisable as an id.

    Plain text starts with a word, a number, `ni3` or `AH0`; a trn line without words with `(`. An
    id holds an underscore, or two digits and a letter or hyphen.
    """
    first = line.text.split(maxsplit=1)[0]
    if first.startswith("("):
        return False
    num_digits = sum(character.isdigit() for character in first)
    has_others = any(character.isalpha() or character == "-" for character in first)
    return "_" in first or (num_digits >= 2 and has_others)


def parse_text(lines: Iterable[Line]) -> Iterator[Entry]:
    """Read `utt_id words` lines."""
    for line in lines:
        utt_id, *text = line.text.split(maxsplit=1)
        yield Entry(line.where, utt_id, " ".join(text).strip())


def looks_like_per_utt(lines: Sequence[Line]) -> bool:
    """Tell the first utterance of what `wer_per_utt_details.pl` writes."""
    return [line.text.split()[1:2] for line in lines[: len(_ROWS)]] == [[row] for row in _ROWS]


def parse_per_utt(lines: Iterable[Line]) -> Iterator[Entry]:
    """Read `wer_details/per_utt`: four lines an utterance, `utt_id ref`, `hyp`, `op` and `#csid`.

    Raises
    ------
    ScoreError
        If an utterance lacks a line, or its lines do not fit each other.
    """
    for utt_id, own in groupby(lines, key=lambda line: line.text.split(maxsplit=1)[0]):
        block = list(own)
        where = block[0].where
        cells = [line.text.split()[1:] for line in block]
        if [row[:1] for row in cells] != [[row] for row in _ROWS]:
            raise ScoreError(
                f"{where}: utterance {utt_id} has the lines "
                f"{', '.join(' '.join(row[:1]) for row in cells)}; expected "
                f"{', '.join(_ROWS)}, each once, as wer_per_utt_details.pl writes them"
            )
        ref, hyp, ops, counts = (row[1:] for row in cells)
        if len(counts) != 4 or not all(map(_COUNT.fullmatch, counts)):
            raise ScoreError(
                f"{block[3].where}: {' '.join(counts)!r}; expected the numbers of right words, "
                "substitutions, insertions and deletions"
            )
        expected = {op: int(number) for op, number in zip("CSID", counts, strict=True)}
        yield entry_of_rows(where, utt_id, ref, hyp, ops, expected)
