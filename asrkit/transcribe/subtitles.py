"""Cues as SubRip (.srt) and WebVTT (.vtt), which video players read."""

from __future__ import annotations

from collections.abc import Iterable

from asrkit.transcribe.cues import Cue


def format_srt(cues: Iterable[Cue]) -> str:
    """Give the cues, numbered from 1; no cues give an empty text, a valid file.

    SubRip has no way to escape: `<i>` in a cue is italics to many players.
    """
    return "".join(
        f"{number}\n{_span(cue, ',')}\n{_text(cue)}\n" for number, cue in enumerate(cues, start=1)
    )


def format_vtt(cues: Iterable[Cue]) -> str:
    """Give a header and the cues, with `&`, `<` and `>` escaped; no cues give the header alone."""
    return "WEBVTT\n" + "".join(f"\n{_span(cue, '.')}\n{_escape(_text(cue))}" for cue in cues)


def _span(cue: Cue, point: str) -> str:
    return f"{_clock(cue.start_ms, point)} --> {_clock(cue.end_ms, point)}"


def _clock(milliseconds: int, point: str) -> str:
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{thousandths:03}"


def _text(cue: Cue) -> str:
    return "".join(f"{line}\n" for line in cue.lines)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
