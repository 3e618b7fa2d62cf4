"""Align recordings to their texts, one result each, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrkit.ctc import alignment
from asrkit.data.audio import read_audio
from asrkit.data.tokens import TokenTable
from asrkit.decode.hypothesis import TimedToken, TimedWord
from asrkit.errors import AsrkitError, UsageError
from asrkit.model_file import Recognizer
from asrkit.transcribe.align_inputs import Recording, Unreadable
from asrkit.transcribe.reading import TokenReading, reading_of
from asrkit.transcribe.spelling import SpelledText

_SLOW_WORD_S, _DOUBTFUL = 3.0, 0.3
"""Longer words and a lower mean confidence are those of texts that are not what is said."""


@dataclass(frozen=True)
class AlignedRecording:
    """Where a text is said.

    Attributes
    ----------
    recording : Recording
    duration_s : float
    conversion : str
        How the audio was changed to suit the model; empty if it was not.
    spelled : SpelledText
        The text as it is written, and what was done to spell it.
    unit : {"char", "phone", "bpe"}
        Of the tokens.
    words : tuple of TimedWord
        As they are written, from the start of their first token to the end of their last.
        `probability` is the mean of the tokens'.
    tokens : tuple of TimedToken
        Of the model, or phones if its search reads them. `probability` is the mean posterior over
        the frames of the token.
    log_prob : float
        Of the best path, in nats.
    """

    recording: Recording
    duration_s: float
    conversion: str
    spelled: SpelledText
    unit: str
    words: tuple[TimedWord, ...]
    tokens: tuple[TimedToken, ...]
    log_prob: float

    @property
    def doubt(self) -> str:
        """What suggests that the text is not what is said, to be told the user; or nothing."""
        slow = [word for word in self.words if word.end_s - word.start_s > _SLOW_WORD_S]
        if slow:
            first = slow[0]
            return (
                f"words that last more than {_SLOW_WORD_S:g} s: {len(slow)} (the first: "
                f"{first.word}, {first.end_s - first.start_s:.1f} s); does the text hold all that "
                "is said?"
            )
        confidence = sum(word.probability for word in self.words) / len(self.words)
        if confidence < _DOUBTFUL:
            return f"mean confidence {confidence:.2f}; is the text what is said in this recording?"
        return ""


@dataclass(frozen=True)
class TimedText:
    """Words and tokens of a text and when they are said; as in `AlignedRecording`."""

    words: tuple[TimedWord, ...]
    tokens: tuple[TimedToken, ...]
    log_prob: float


@dataclass(frozen=True)
class AlignFailure:
    """A recording that could not be aligned, and why."""

    label: str
    message: str


def align_recordings(
    recognizer: Recognizer, recordings: Iterable[Recording | Unreadable]
) -> Iterator[AlignedRecording | AlignFailure]:
    """Align each recording to its text; a failure of one is its result.

    Times count from where the recording starts. CTC emits a token when it is sure of it, not from
    where its sound begins to where it ends: expect words to seem a little short.

    Raises
    ------
    UsageError
        If the model cannot align.
    TokenError, LanguageModelError
        If the files that tell it pronunciations cannot be read.
    """
    reading = reading_of(recognizer)
    for recording in recordings:
        if isinstance(recording, Unreadable):
            yield AlignFailure(recording.label, recording.message)
            continue
        try:
            yield _align(reading, recording)
        except UsageError:
            raise
        except AsrkitError as error:
            # Some open with the path, which is often the label.
            message = str(error).removeprefix(f"{recording.label}: ")
            yield AlignFailure(recording.label, f"{recording.label}: {message}")


def _align(reading: TokenReading, recording: Recording) -> AlignedRecording:
    model = reading.model
    spelled = reading.spell(recording.text)
    audio = read_audio(
        recording.audio_path, model.sample_rate_hz, recording.offset_s, recording.duration_s
    )
    duration_s = len(audio.samples) / audio.sample_rate_hz
    log_probs = reading.hear(audio.samples, recording.speaker)
    timed = time_text(spelled, reading.table, log_probs, model.frame_s, duration_s)
    return AlignedRecording(
        recording,
        duration_s,
        audio.conversion,
        spelled,
        reading.table.unit,
        timed.words,
        timed.tokens,
        timed.log_prob,
    )


def time_text(
    spelled: SpelledText,
    tokens: TokenTable,
    log_probs: NDArray[np.float32],
    frame_s: float,
    duration_s: float,
) -> TimedText:
    """Find when a text is said in a recording that a model has heard.

    Parameters
    ----------
    spelled
        With the tokens of the model, or its phones.
    tokens
        All V of them.
    log_probs
        (T, V).
    frame_s
        Seconds from one frame to the next.
    duration_s
        Of the recording.

    Raises
    ------
    FeasibilityError, DataError
        As `ctc.alignment.align`.
    """
    path = alignment.align(log_probs, spelled.labels)
    starts_s = (path.starts * frame_s).tolist()
    # The last frame may reach beyond the end, where several feature frames make one.
    ends_s = (path.ends * frame_s).clip(max=duration_s).tolist()
    return TimedText(
        words=tuple(
            TimedWord(
                word,
                starts_s[first],
                ends_s[stop - 1],
                float(path.probabilities[first:stop].mean()),
            )
            for word, (first, stop) in zip(spelled.words, spelled.bounds, strict=True)
        ),
        tokens=tuple(
            TimedToken(tokens.symbols[label], start_s, end_s, probability)
            for label, start_s, end_s, probability in zip(
                spelled.labels, starts_s, ends_s, path.probabilities.tolist(), strict=True
            )
        ),
        log_prob=path.log_prob,
    )
