"""Words with times as CTM, which NIST's sclite and Kaldi read."""

from __future__ import annotations

from collections.abc import Iterable

from asrkit.decode.hypothesis import TimedWord

CHANNEL = "1"


def format_ctm(utt_id: str, words: Iterable[TimedWord]) -> str:
    """Give a line a word: utterance, channel, start and duration in seconds, word, confidence.

    White space, which separates the columns, becomes `_` in the id. No words give no lines.
    """
    name = one_column(utt_id)
    lines = []
    for word in words:
        # The end is rounded, not the duration, so that neighbours neither overlap nor part.
        start_s = round(word.start_s, 3)
        duration_s = round(word.end_s, 3) - start_s
        times = f"{start_s:.3f} {duration_s:.3f}"
        lines.append(f"{name} {CHANNEL} {times} {one_column(word.word)} {word.probability:.4f}\n")
    return "".join(lines)


def one_column(text: str) -> str:
    """Give a text without white space, which would separate columns."""
    return "_".join(text.split())
