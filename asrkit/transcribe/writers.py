"""Write transcripts and alignments: one function a format."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

from asrkit.decode.hypothesis import TimedToken, TimedWord
from asrkit.transcribe.align import AlignedRecording
from asrkit.transcribe.ctm import format_ctm
from asrkit.transcribe.pipeline import Transcript
from asrkit.transcribe.textgrid import format_textgrid

Writer = Callable[[Transcript], str]
AlignmentWriter = Callable[[AlignedRecording], str]


def to_txt(transcript: Transcript) -> str:
    """Give the text and a newline."""
    return transcript.hypothesis.text + "\n"


def to_json(transcript: Transcript) -> str:
    """Give one line of JSON with text, words and tokens; `utt_id` is the file's name."""
    content = {
        "utt_id": transcript.source.name.as_posix(),
        "audio_filepath": transcript.source.label,
        "duration": round(transcript.duration_s, 6),
        **transcript.hypothesis.to_json(),
        "words": [asdict(word) for word in transcript.hypothesis.words],
    }
    return json.dumps(content, ensure_ascii=False) + "\n"


def to_ctm(transcript: Transcript) -> str:
    """Give a line of CTM a word; the utterance is the file's name."""
    return format_ctm(transcript.source.name.as_posix(), transcript.hypothesis.words)


def to_textgrid(transcript: Transcript) -> str:
    """Give a TextGrid of words and tokens."""
    hypothesis = transcript.hypothesis
    return format_textgrid(transcript.duration_s, hypothesis.words, hypothesis.tokens)


def aligned_to_json(aligned: AlignedRecording) -> str:
    """Give one line of JSON, with the keys of a transcript's; times and probabilities rounded."""
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


def aligned_to_ctm(aligned: AlignedRecording) -> str:
    """Give a line of CTM a word."""
    return format_ctm(aligned.recording.utt_id, aligned.words)


def aligned_to_textgrid(aligned: AlignedRecording) -> str:
    """Give a TextGrid of words and tokens."""
    return format_textgrid(aligned.duration_s, aligned.words, aligned.tokens)


def _rounded(timed: TimedToken | TimedWord) -> dict[str, object]:
    return {
        key: round(value, 6) if isinstance(value, float) else value
        for key, value in asdict(timed).items()
    }


WRITERS: dict[str, Writer] = {
    "txt": to_txt,
    "json": to_json,
    "ctm": to_ctm,
    "textgrid": to_textgrid,
}
ALIGNMENT_WRITERS: dict[str, AlignmentWriter] = {
    "json": aligned_to_json,
    "ctm": aligned_to_ctm,
    "textgrid": aligned_to_textgrid,
}


def suffix_of(format_name: str) -> str:
    """Give the suffix that files of a format have, without a dot."""
    return {"textgrid": "TextGrid"}.get(format_name, format_name)
