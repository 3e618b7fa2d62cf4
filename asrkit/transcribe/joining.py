"""Hypotheses of the parts of a recording as one of the whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from asrkit.data.bpe import WORD_START
from asrkit.decode.hypothesis import Hypothesis, TimedToken, WordSpan


def shifted(hypothesis: Hypothesis, offset_s: float) -> Hypothesis:
    """Give a hypothesis, and its alternatives, with all times later by some seconds."""
    if not offset_s:
        return hypothesis
    return replace(
        hypothesis,
        tokens=tuple(
            replace(token, start_s=token.start_s + offset_s, end_s=token.end_s + offset_s)
            for token in hypothesis.tokens
        ),
        alternatives=tuple(shifted(each, offset_s) for each in hypothesis.alternatives),
    )


def joined(parts: Sequence[Hypothesis]) -> Hypothesis:
    """Join hypotheses that follow each other in time.

    Texts are joined by a space, which but for phones is a token between the tokens of two parts;
    log-probabilities and scores are summed. A single part stays what it is; of several,
    alternatives are left out: those of the whole would be all their combinations.

    Parameters
    ----------
    parts
        At least one, all of one search; times count from the start of the whole.
    """
    if len(parts) == 1:
        return parts[0]
    spoken = [part for part in parts if part.tokens]
    tokens: list[TimedToken] = []
    read: list[WordSpan] = []
    for part in spoken:
        if tokens and part.unit != "phone":
            space = " " if part.unit == "char" else WORD_START
            tokens.append(TimedToken(space, tokens[-1].end_s, part.tokens[0].start_s, 1.0))
        first = len(tokens)
        tokens += part.tokens
        read += [WordSpan(s.word, first + s.first, first + s.stop) for s in part.read or ()]
    return Hypothesis(
        text=" ".join(text for part in spoken if (text := part.text.strip())),
        unit=parts[0].unit,
        tokens=tuple(tokens),
        log_prob=sum(part.log_prob for part in parts),
        score=_sum(part.score for part in parts),
        lm_log_prob=_sum(part.lm_log_prob for part in parts),
        read=tuple(read) if any(part.read is not None for part in parts) else None,
    )


def _sum(values: Iterable[float | None]) -> float | None:
    """Sum what a search has given for every part, or None."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
