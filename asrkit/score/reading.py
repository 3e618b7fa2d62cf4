"""Read references and hypotheses, keyed by utterance id, from the files that people have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asrkit.errors import ScoreError
from asrkit.score.formats.icefall import looks_like_icefall, parse_icefall
from asrkit.score.formats.json_lines import looks_like_json, parse_json_lines
from asrkit.score.formats.kaldi import (
    looks_like_per_utt,
    parse_per_utt,
    parse_text,
    starts_with_id,
)
from asrkit.score.formats.lines import Entry, Line, read_lines, without_comments
from asrkit.score.formats.speechbrain import looks_like_speechbrain, parse_speechbrain
from asrkit.score.formats.table import read_table_entries
from asrkit.score.formats.time_marks import Segment, entries_of_segments, parse_ctm, parse_stm
from asrkit.score.formats.trn import looks_like_trn, parse_trn


@dataclass(frozen=True, slots=True)
class Transcripts:
    """Texts and, where the file says so, speakers, each keyed by utterance id."""

    texts: dict[str, str] = field(default_factory=dict)
    speakers: dict[str, str] = field(default_factory=dict)
    segments: Sequence[Segment] = ()
    """Of STM: where the utterances lie in recordings."""
    alternatives: bool = False
    """Whether the format has alternatives, `{ a / b }`: trn and STM do."""
    has_both_sides: bool = False
    """Whether the file holds references and hypotheses."""


def read_transcripts(path: Path, references: Transcripts | None = None) -> Transcripts:
    """Read one transcript an utterance.

    The format is taken from the extension (or the name: Kaldi has files called `stm` and `ctm`),
    else from the content:

    - JSONL (`.jsonl`, `.json`): an object a line with `utt_id`, `text` and, optionally, `speaker`;
      other keys are ignored. Manifests and hypothesis files are such.
    - trn (`.trn`): `words (utt_id)`. ESPnet's `ref.trn` and `hyp.trn` are such.
    - STM (`.stm`): `recording channel speaker start end words`. Each segment is an utterance.
    - CTM (`.ctm`): `recording channel start duration word`. The words are given to the segments of
      the references if those are in STM; else each recording is an utterance.
    - CSV and TSV (`.csv`, `.tsv`): with a header that names columns for the id and the text.
    - Results of icefall (`recogs-*.txt`), SpeechBrain (`wer_*.txt`) and Kaldi (`per_utt`), which
      hold references and hypotheses both.
    - Kaldi `text`: `utt_id words`. So are `scoring_kaldi/*.txt` and what ESPnet calls `text`. Every
      id must be recognisable as one: it holds an underscore, or two digits and a letter or hyphen.

    Blank lines are skipped, and of trn, STM and CTM lines that begin with `;;`. A file of plain
    lines is refused: pairing lines by position gives a wrong rate, and no sign of it, once a line
    is missing or moved.

    Parameters
    ----------
    path
        The file.
    references
        What the hypotheses are to be scored against, if it is hypotheses that are read. It decides
        which side of a file with both is taken, and what the utterances of a CTM are.

    Raises
    ------
    ScoreError
        Naming the file and line: no recognised format, a malformed line, an id twice, no
        utterances, not UTF-8.
    UsageError
        If the file cannot be read.
    """
    lines = read_lines(path)
    filled = [line for line in lines if line.text.strip()]
    if not filled:
        raise ScoreError(f"{path}: holds no utterances; expected at least one")
    format_name = _choose_format(path, filled)
    segments = parse_stm(without_comments(filled)) if format_name == "stm" else []
    match format_name:
        case "stm":
            entries = entries_of_segments(segments)
        case "ctm":
            of_references = references.segments if references else ()
            entries = parse_ctm(without_comments(filled), of_references)
        case "table":
            entries = read_table_entries(path)
        case "trn":
            entries = parse_trn(without_comments(filled))
        case "speechbrain":
            entries = parse_speechbrain(lines)
        case _:
            entries = _PARSERS[format_name](filled)
    texts, speakers, has_both_sides = _collect(entries, takes_hypotheses=references is not None)
    if not texts:
        raise ScoreError(f"{path}: holds no utterances; expected at least one")
    return Transcripts(texts, speakers, segments, format_name in ("trn", "stm"), has_both_sides)


_PARSERS: Mapping[str, Callable[[Iterable[Line]], Iterator[Entry]]] = {
    "json": parse_json_lines,
    "kaldi": parse_text,
    "per_utt": parse_per_utt,
    "icefall": parse_icefall,
}
_EXTENSIONS = {
    ".jsonl": "json",
    ".json": "json",
    ".trn": "trn",
    ".stm": "stm",
    ".ctm": "ctm",
    ".csv": "table",
    ".tsv": "table",
}


def _choose_format(path: Path, filled: Sequence[Line]) -> str:
    extension = path.suffix.lower() or f".{path.name.lower()}"
    if extension in _EXTENSIONS:
        return _EXTENSIONS[extension]
    if looks_like_json(filled[0]):
        return "json"
    if looks_like_icefall(filled[0]):
        return "icefall"
    if looks_like_speechbrain(filled[0]):
        return "speechbrain"
    if looks_like_per_utt(filled):
        return "per_utt"
    return _choose_by_id(path, filled)


def _choose_by_id(path: Path, filled: Sequence[Line]) -> str:
    """Tell Kaldi text from trn by where ids stand, and both from text without ids."""
    without_id = [line for line in filled if not starts_with_id(line)]
    may_be_trn = all(map(looks_like_trn, without_comments(filled)))
    if without_id and not may_be_trn:
        raise ScoreError(
            f"{without_id[0].where}: {without_id[0].text.strip()!r} has no utterance id; expected "
            "JSONL with utt_id and text, Kaldi text ('id words', with ids such as an4_12 or "
            "1089-134686-0000), trn ('words (id)'), or .stm, .ctm, .csv or .tsv by their names. "
            "Lines are never paired by position: one line missing or moved shifts all pairs after "
            "it, and the rate is wrong with no sign of it"
        )
    if may_be_trn and not without_id:
        raise ScoreError(
            f"{path}: could be Kaldi text or trn; name it .trn if the ids stand in parentheses at "
            "the end of the lines, else write JSONL"
        )
    return "trn" if may_be_trn else "kaldi"


def _collect(
    entries: Iterable[Entry], takes_hypotheses: bool
) -> tuple[dict[str, str], dict[str, str], bool]:
    """Key texts and speakers by utterance; tell whether there are hypotheses beside references."""
    texts: dict[str, str] = {}
    speakers: dict[str, str] = {}
    first_seen: dict[str, str] = {}
    has_both_sides = False
    for entry in entries:
        if entry.utt_id in first_seen:
            raise ScoreError(
                f"{entry.where}: utterance {entry.utt_id} appears again; its first transcript is "
                f"at {first_seen[entry.utt_id]}; expected one an utterance, remove the other"
            )
        first_seen[entry.utt_id] = entry.where
        _check_characters(entry)
        texts[entry.utt_id] = entry.text
        if entry.hypothesis is not None:
            has_both_sides = True
            if takes_hypotheses:
                texts[entry.utt_id] = entry.hypothesis
        if entry.speaker:
            speakers[entry.utt_id] = entry.speaker
    return texts, speakers, has_both_sides


def _check_characters(entry: Entry) -> None:
    """Refuse lone surrogates, halves of characters, which JSON can write and nothing can print."""
    try:
        "".join((entry.utt_id, entry.text, entry.speaker, entry.hypothesis or "")).encode()
    except UnicodeEncodeError as error:
        raise ScoreError(
            f"{entry.where}: holds {error.object[error.start : error.end]!r}, half a character; "
            "expected text; write it again from its source"
        ) from None
