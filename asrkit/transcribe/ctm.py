"""Words with times as CTM, which NIST's sclite and Kaldi read."""

from __future__ import annotations

from collections.abc import Iterable

from asrkit.decode.hypothesis import TimedWord

_CHANNEL = "1"


def format_ctm(utt_id: str, words: Iterable[TimedWord]) -> str:
    """Give a line a word: utterance, channel, start and duration in seconds, word, confidence.

    White space, which separates the columns, becomes `_` in the id. No words give no lines.
    """
    name = "_".join(utt_id.split())
    lines = []
    for word in words:
        # The end is rounded, not the duration, so that neighbours neither overlap nor part.
        start_s = round(word.start_s, 3)
        duration_s = round(word.end_s, 3) - start_s
        text = "_".join(word.word.split())
        times = f"{start_s:.3f} {duration_s:.3f}"
        lines.append(f"{name} {_CHANNEL} {times} {text} {word.probability:.4f}\n")
    return "".join(lines)
