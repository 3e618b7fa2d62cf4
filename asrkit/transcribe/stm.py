"""Segments as STM, which NIST's sclite reads as a reference."""

from __future__ import annotations

from collections.abc import Iterable

from asrkit.transcribe.ctm import CHANNEL, one_column
from asrkit.transcribe.pipeline import Segment


def format_stm(utt_id: str, segments: Iterable[Segment]) -> str:
    """Give a line a segment: utterance, channel, speaker, start and end in seconds, text.

    The speaker is not known: each utterance counts as one of its own, by the name that it has in
    CTM. A segment in which nothing was recognised has a line too. No segments give no lines.
    """
    name = one_column(utt_id)
    lines = []
    for segment in segments:
        words = segment.hypothesis.text.split()
        # Not every reader knows the label that may stand before the text, so it stands only where
        # the first word would be taken for one.
        label = ["<O>"] if words and words[0].startswith("<") else []
        times = [f"{segment.start_s:.3f}", f"{segment.end_s:.3f}"]
        lines.append(" ".join([name, CHANNEL, name, *times, *label, *words]) + "\n")
    return "".join(lines)
