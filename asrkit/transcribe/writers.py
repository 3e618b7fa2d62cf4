"""Write transcripts and alignments: one function a format."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import NamedTuple

from asrkit.decode.hypothesis import TimedToken, TimedWord
from asrkit.transcribe.align import AlignedRecording
from asrkit.transcribe.ctm import format_ctm
from asrkit.transcribe.cues import make_cues
from asrkit.transcribe.pipeline import Segment, Transcript
from asrkit.transcribe.stm import format_stm
from asrkit.transcribe.subtitles import format_srt, format_vtt
from asrkit.transcribe.textgrid import format_textgrid

Writer = Callable[[Transcript], str]
AlignmentWriter = Callable[[AlignedRecording], str]


def to_txt(transcript: Transcript) -> str:
    """Give the text and a newline."""
    return transcript.hypothesis.text + "\n"


def to_json(transcript: Transcript) -> str:
    """Give one line of JSON: text, tokens, words and segments; `utt_id` is the file's name."""
    content = {
        "utt_id": transcript.source.name.as_posix(),
        "audio_filepath": transcript.source.label,
        "duration": round(transcript.duration_s, 6),
        **transcript.hypothesis.to_json(),
        "words": [asdict(word) for word in transcript.hypothesis.words],
        "segments": [_segment(segment) for segment in transcript.segments],
    }
    return json.dumps(content, ensure_ascii=False) + "\n"


def _segment(segment: Segment) -> dict[str, object]:
    content: dict[str, object] = {
        "start_s": round(segment.start_s, 6),
        "end_s": round(segment.end_s, 6),
        "text": segment.hypothesis.text,
    }
    if segment.hypothesis.alternatives:  # which a recording of several segments has not
        content["alternatives"] = [other.to_json() for other in segment.hypothesis.alternatives]
    return content


def to_tsv(transcript: Transcript) -> str:
    """Give a line a segment, start and end in milliseconds and the text, with a header."""
    rows = [("start", "end", "text")]
    for segment in transcript.segments:
        start, end = (str(round(1000 * time_s)) for time_s in (segment.start_s, segment.end_s))
        rows.append((start, end, " ".join(segment.hypothesis.text.split())))
    return "".join("\t".join(row) + "\n" for row in rows)


def to_stm(transcript: Transcript) -> str:
    """Give a line of STM a segment; the utterance is the file's name."""
    return format_stm(transcript.source.name.as_posix(), transcript.segments)


def aligned_to_json(aligned: AlignedRecording) -> str:
    """Give one line of JSON, with a transcript's keys but segments; numbers rounded."""
    content = {
        "utt_id": aligned.recording.utt_id,
        "audio_filepath": str(aligned.recording.audio_path),
        "duration": round(aligned.duration_s, 6),
        "text": aligned.spelled.text,
        "unit": aligned.unit,
        "tokens": [_rounded(token) for token in aligned.tokens],
        "log_prob": aligned.log_prob,
        "words": [_rounded(word) for word in aligned.words],
    }
    return json.dumps(content, ensure_ascii=False) + "\n"


def _rounded(timed: TimedToken | TimedWord) -> dict[str, object]:
    return {
        key: round(value, 6) if isinstance(value, float) else value
        for key, value in asdict(timed).items()
    }


def to_srt(result: Transcript | AlignedRecording) -> str:
    """Give SubRip subtitles."""
    return format_srt(make_cues(_timed(result).words))


def to_vtt(result: Transcript | AlignedRecording) -> str:
    """Give WebVTT subtitles."""
    return format_vtt(make_cues(_timed(result).words))


def to_ctm(result: Transcript | AlignedRecording) -> str:
    """Give a line of CTM a word; the utterance of a transcript is the file's name."""
    utt_id, words, _ = _timed(result)
    return format_ctm(utt_id, words)


def to_textgrid(result: Transcript | AlignedRecording) -> str:
    """Give a TextGrid of words and tokens."""
    _, words, tokens = _timed(result)
    return format_textgrid(result.duration_s, words, tokens)


class _Timed(NamedTuple):
    """What transcripts and alignments have in common."""

    utt_id: str
    words: Sequence[TimedWord]
    tokens: Sequence[TimedToken]


def _timed(result: Transcript | AlignedRecording) -> _Timed:
    if isinstance(result, AlignedRecording):
        return _Timed(result.recording.utt_id, result.words, result.tokens)
    hypothesis = result.hypothesis
    return _Timed(result.source.name.as_posix(), hypothesis.words, hypothesis.tokens)


WRITERS: dict[str, Writer] = {
    "txt": to_txt,
    "json": to_json,
    "srt": to_srt,
    "vtt": to_vtt,
    "tsv": to_tsv,
    "ctm": to_ctm,
    "stm": to_stm,
    "textgrid": to_textgrid,
}
ALIGNMENT_WRITERS: dict[str, AlignmentWriter] = {
    "json": aligned_to_json,
    "srt": to_srt,
    "vtt": to_vtt,
    "ctm": to_ctm,
    "textgrid": to_textgrid,
}
ONE_A_FILE = frozenset({"srt", "vtt", "tsv", "textgrid"})
"""Formats whose files have no place for a second recording."""


def suffix_of(format_name: str) -> str:
    """Give the suffix that files of a format have, without a dot."""
    return {"textgrid": "TextGrid"}.get(format_name, format_name)
