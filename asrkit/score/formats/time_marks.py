"""NIST's formats with times: segments of recordings (STM) and words (CTM).

Words are given to segments as NIST's sclite does it (`segment_hyp_for_utt` in stm2ctm.c of the NIST
Scoring Toolkit): a segment takes the words whose middle lies before its end, as far as no segment
before it took them, and the last one of a channel takes the rest. So no word is lost: one between
two segments counts in the later. Unlike sclite by default, segments before the first word and after
the last one are kept: their words count as deleted.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from asrkit.errors import ScoreError
from asrkit.score.formats.lines import Entry, Line

_IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"


class Channel(NamedTuple):
    """One channel of a recording."""

    recording: str
    channel: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A line of STM."""

    where: str
    channel: Channel
    speaker: str
    start_s: float
    end_s: float
    text: str

    @property
    def utt_id(self) -> str:
        """Recording, channel, start and end, as in `sw02001-A-0.100-2.030`."""
        return "-".join([*self.channel, f"{self.start_s:.3f}", f"{self.end_s:.3f}"])

    @property
    def is_ignored(self) -> bool:
        """Whether what is said in it is not scored, in reference and hypothesis."""
        return _IGNORED in self.text.upper().split()


class _Word(NamedTuple):
    where: str
    start_s: float
    middle_s: float
    text: str


def parse_stm(lines: Sequence[Line]) -> list[Segment]:
    """Read `recording channel speaker start end [<label>] words` lines.

    What stands before the words and begins with `<` is a label, and left out.

    Raises
    ------
    ScoreError
        If a line is malformed.
    """
    return [_parse_segment(line) for line in lines]


def _parse_segment(line: Line) -> Segment:
    fields = [*line.text.split(maxsplit=5), *[""] * 6]
    recording, channel, speaker, start, end, text = fields[:6]
    start_s, end_s, text = _seconds(start), _seconds(end), text.strip()
    if start_s is None or end_s is None or not 0 <= start_s < end_s:
        raise ScoreError(
            f"{line.where}: {line.text.strip()[:60]!r}; expected 'recording channel speaker start "
            "end words', the start >= 0 and the end after it, in seconds"
        )
    if text.startswith("<"):
        _, *words = text.split(maxsplit=1)
        text = "".join(words)
    return Segment(line.where, Channel(recording, channel), speaker, start_s, end_s, text)


def entries_of_segments(segments: Sequence[Segment]) -> Iterator[Entry]:
    """Take each segment for an utterance, but those that are not scored."""
    for segment in segments:
        if not segment.is_ignored:
            yield Entry(segment.where, segment.utt_id, segment.text, segment.speaker)


def parse_ctm(lines: Sequence[Line], segments: Sequence[Segment]) -> Iterator[Entry]:
    """Read `recording channel start duration word [confidence]` lines.

    Parameters
    ----------
    lines
        In any order: words are sorted by their start.
    segments
        Of the reference, to which the words are given. If there are none, each recording is an
        utterance. A recording without a word in the file gives no utterance.

    Raises
    ------
    ScoreError
        If a line is malformed; if a word is of a recording or channel of which there is no segment;
        if, without segments, a recording has words on several channels.
    """
    words: defaultdict[Channel, list[_Word]] = defaultdict(list)
    for line in lines:
        channel, word = _parse_word(line)
        words[channel].append(word)
    for own in words.values():
        own.sort(key=lambda word: word.start_s)
    return _by_segment(words, segments) if segments else _by_recording(words)


def _parse_word(line: Line) -> tuple[Channel, _Word]:
    match line.text.split():
        case [recording, channel, start, duration, text, *confidence] if len(confidence) <= 1:
            start_s, duration_s = _seconds(start), _seconds(duration)
            if start_s is not None and duration_s is not None and duration_s >= 0:
                word = _Word(line.where, start_s, start_s + duration_s / 2, text)
                return Channel(recording, channel), word
    raise ScoreError(
        f"{line.where}: {line.text.strip()[:60]!r}; expected 'recording channel start duration "
        "word', perhaps with a confidence, times in seconds; alternatives (`*` for times) belong "
        "into references, as { a / b } of STM or trn"
    )


def _by_segment(
    words: Mapping[Channel, Sequence[_Word]], segments: Sequence[Segment]
) -> Iterator[Entry]:
    segments_of: defaultdict[Channel, list[Segment]] = defaultdict(list)
    for segment in segments:
        segments_of[segment.channel].append(segment)
    for channel, own_words in words.items():
        if channel not in segments_of:
            known = sorted(c.channel for c in segments_of if c.recording == channel.recording)
            has = f"only channels {', '.join(known)} of it" if known else "no such recording"
            raise ScoreError(
                f"{own_words[0].where}: recording {channel.recording}, channel {channel.channel}: "
                f"the references have {has}; rename it as there, or remove its words"
            )
        left = deque(own_words)
        own = sorted(segments_of[channel], key=lambda segment: (segment.start_s, segment.end_s))
        for segment in own:
            taken = []
            while left and (segment is own[-1] or left[0].middle_s < segment.end_s):
                taken.append(left.popleft().text)
            if not segment.is_ignored:
                yield Entry(segment.where, segment.utt_id, " ".join(taken), segment.speaker)


def _by_recording(words: Mapping[Channel, Sequence[_Word]]) -> Iterator[Entry]:
    first: dict[str, str] = {}
    for channel, own in words.items():
        other = first.setdefault(channel.recording, channel.channel)
        if other != channel.channel:
            raise ScoreError(
                f"{own[0].where}: recording {channel.recording} has words on channels {other} and "
                f"{channel.channel}; expected one, as the references are not in STM, which tells "
                "channels apart; score each channel by itself, or give an STM"
            )
        yield Entry(own[0].where, channel.recording, " ".join(word.text for word in own))


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
