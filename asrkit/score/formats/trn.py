"""Transcripts as NIST's trn: `words (utt_id)`. ESPnet's `ref.trn` and `hyp.trn` are such."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from asrkit.errors import ScoreError
from asrkit.score.formats.lines import Entry, Line

_LINE = re.compile(r"(?:(?P<text>.*)\s)?\((?P<utt_id>[^\s()]+)\)")


def looks_like_trn(line: Line) -> bool:
    """Tell a line that ends in something between parentheses."""
    return _LINE.fullmatch(line.text.strip()) is not None


def parse_trn(lines: Iterable[Line]) -> Iterator[Entry]:
    """Read a transcript a line, with the id in parentheses at its end.

    The speaker is what stands before the first `-` or `_` of the id, as for sclite's `-i spu_id`;
    an id without them names none.

    Raises
    ------
    ScoreError
        If a line has no id.
    """
    for line in lines:
        match = _LINE.fullmatch(line.text.strip())
        if match is None:
            raise ScoreError(f"{line.where}: {line.text.strip()!r}; expected 'words (utt_id)'")
        speaker, *rest = re.split("[-_]", match["utt_id"], maxsplit=1)
        yield Entry(
            line.where,
            match["utt_id"],
            (match["text"] or "").strip(),
            speaker if rest else "",
        )
