"""Cut timed words into cues, the texts that subtitles show one after the other.

Of all ways to cut within the limits the cheapest is found by dynamic programming, as a paragraph is
broken into lines by Knuth and Plass (Breaking paragraphs into lines, 1981).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from asrkit.decode.hypothesis import TimedWord

MAX_LINE = 42
"""Characters in a line; a cue has two lines at most."""
MIN_MS, MAX_MS = 1000, 7000
"""How long a cue is on screen."""
_EMPTY_MS = 700
"""An empty cue is as bad as a pause of this length within a cue."""


@dataclass(frozen=True, slots=True)
class Cue:
    """What is on screen from `start_ms` to before `end_ms`: one line or two."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A word, or a part of one that is too long for a line."""

    text: str
    start_ms: int
    end_ms: int


def make_cues(words: Iterable[TimedWord]) -> list[Cue]:
    """Cut words into cues of at most two lines of 42 characters, on screen for 1 to 7 s.

    Cuts fall into pauses, and fill cues evenly. Two lines of a cue are as equal as can be. No cues
    overlap.

    - A cue appears with its first word and goes with its last. If that is sooner than after 1 s, it
      stays for 1 s, but only until the next cue appears. Cues that are shorter for that reason are
      as few as can be. After the last word a cue may outlast the recording.
    - A word that lasts longer than 7 s is shown for its first 7 s.
    - A word of more than 42 characters is cut into as few parts as can be, about equal and without
      a hyphen, since languages that are written without spaces have such words. Its parts share
      its time by their characters. White space within a word separates words.

    Parameters
    ----------
    words
        In order of time; one that starts no later than the one before is taken to start 1 ms later.
    """
    pieces = list(_cut_long_words(words))
    cues = []
    for first, stop in _cut_into_cues(pieces):
        start_ms = pieces[first].start_ms
        end_ms = min(max(pieces[stop - 1].end_ms, start_ms + MIN_MS), start_ms + MAX_MS)
        if stop < len(pieces):
            end_ms = min(end_ms, pieces[stop].start_ms)
        cues.append(Cue(start_ms, end_ms, _break([piece.text for piece in pieces[first:stop]])))
    return cues


def _cut_long_words(words: Iterable[TimedWord]) -> Iterator[_Piece]:
    earliest_ms = 0
    for word in words:
        parts = [part for one in word.word.split() for part in _cut_evenly(one)]
        ms_per_character = 1000 * (word.end_s - word.start_s) / max(1, sum(map(len, parts)))
        position_ms = 1000 * word.start_s
        for part in parts:
            start_ms = max(earliest_ms, round(position_ms))
            position_ms += len(part) * ms_per_character
            yield _Piece(part, start_ms, max(start_ms, round(position_ms)))
            earliest_ms = start_ms + 1


def _cut_evenly(word: str) -> list[str]:
    num_parts = -(-len(word) // MAX_LINE)
    size = -(-len(word) // num_parts)
    return [word[k : k + size] for k in range(0, len(word), size)]


def _cut_into_cues(pieces: Sequence[_Piece]) -> Iterator[tuple[int, int]]:
    """Give the first piece of each cue and the one after its last.

    The first aim are few cues that are on screen for less than their time. Beyond that, each cut
    gains the pause that it falls into, and each cue costs the square of the share of two lines that
    it leaves empty.
    """
    end = len(pieces)
    # Where pieces begin in the text: from one to another there are that many characters, less one.
    offsets = [0]
    for piece in pieces:
        offsets.append(offsets[-1] + len(piece.text) + 1)
    line_stops = [bisect_right(offsets, offset + MAX_LINE + 1) - 1 for offset in offsets]
    best = [(0, 0.0)] * (end + 1)  # of the pieces from here on: short cues, and cost
    stops = [end] * end
    for first in reversed(range(end)):
        start_ms = pieces[first].start_ms
        choices = []
        for stop in range(first + 1, line_stops[line_stops[first]] + 1):
            if stop > first + 1 and pieces[stop - 1].end_ms - start_ms > MAX_MS:
                break
            num_short, cost = best[stop]
            empty = 1 - (offsets[stop] - offsets[first] - 1) / (2 * MAX_LINE)
            cost += _EMPTY_MS * empty**2
            if stop < end:
                num_short += pieces[stop].start_ms - start_ms < MIN_MS
                cost -= max(0, pieces[stop].start_ms - pieces[stop - 1].end_ms)
            choices.append(((num_short, cost), stop))
        best[first], stops[first] = min(choices)
    first = 0
    while first < end:
        yield first, stops[first]
        first = stops[first]


def _break(texts: Sequence[str]) -> tuple[str, ...]:
    whole = " ".join(texts)
    if len(whole) <= MAX_LINE:
        return (whole,)
    breaks = [(" ".join(texts[:k]), " ".join(texts[k:])) for k in range(1, len(texts))]
    return min(breaks, key=lambda lines: max(map(len, lines)))
