"""Results of icefall: `recogs-*.txt`, with reference and hypothesis of each utterance."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from asrkit.errors import ScoreError
from asrkit.score.formats.lines import Entry, Line

_LINE = re.compile(
    r"(?P<utt_id>\S.*?):\t(?P<key>ref|hyp|timestamp_ref|timestamp_hyp)=(?P<value>.*)"
)
_STRING = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_LIST = re.compile(rf"\[(?:{_STRING}(?:, {_STRING})*)?\]")
_LIST_BEGINS = re.compile(r"""\[['"\[\]]""")


def looks_like_icefall(line: Line) -> bool:
    """Tell the first line of an utterance, its reference."""
    match = _LINE.fullmatch(line.text.rstrip())
    return match is not None and match["key"] == "ref"


def parse_icefall(lines: Iterable[Line]) -> Iterator[Entry]:
    r"""Read what `store_transcripts` writes: `utt_id:\tref=['A', 'B']`, then `hyp=` likewise.

    A transcript may also stand there as it is, without brackets. Lines of time stamps are skipped.
    Tokens are those that were scored: characters, where icefall scored characters.

    Raises
    ------
    ScoreError
        If a line is malformed, or an utterance lacks one of its two.
    """
    transcripts = (found for line in lines for found in _read(line))
    for utt_id, own in groupby(transcripts, key=lambda found: found[0]):
        block = list(own)
        if [key for _, key, _, _ in block] != ["ref", "hyp"]:
            raise ScoreError(
                f"{block[0][3].where}: utterance {utt_id} has the lines "
                f"{', '.join(key for _, key, _, _ in block)}; expected ref and hyp, each once"
            )
        (_, _, reference, line), (_, _, hypothesis, _) = block
        yield Entry(line.where, utt_id, reference, hypothesis=hypothesis)


def _read(line: Line) -> Iterator[tuple[str, str, str, Line]]:
    match = _LINE.fullmatch(line.text.rstrip())
    if match is None:
        raise ScoreError(
            f"{line.where}: {line.text.strip()[:60]!r}; expected the id, a colon, a tab, and ref= "
            "or hyp= with the transcript, as icefall's store_transcripts writes them"
        )
    if match["key"] in ("ref", "hyp"):
        yield match["utt_id"], match["key"], _text(match["value"], line), line


def _text(value: str, line: Line) -> str:
    if not _LIST_BEGINS.match(value):
        return value.strip()
    if not _LIST.fullmatch(value):
        raise ScoreError(
            f"{line.where}: {value[:60]!r}; expected a list of words in quotation marks, one list "
            "an utterance: of several talkers it is not known who is to be scored against whom"
        )
    try:
        return " ".join(ast.literal_eval(word) for word in re.findall(_STRING, value))
    except (SyntaxError, ValueError) as error:
        raise ScoreError(f"{line.where}: not Python's way to write words: {error}") from error
