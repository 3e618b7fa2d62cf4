"""Transcribe files in batches; results come in the order of the files, whatever the batches.

Recordings are cut into segments, and segments of all files are recognised together, those of
similar length in one batch.
"""

from __future__ import annotations

import ctypes
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from asrkit.data.audio import Audio, open_audio
from asrkit.data.dataset import collate
from asrkit.data.manifest import Utterance
from asrkit.decode.hypothesis import Hypothesis, TimedWord
from asrkit.errors import AudioError, DataError
from asrkit.inference import recognize
from asrkit.model_file import Recognizer
from asrkit.settings import DecodeSettings
from asrkit.transcribe.inputs import Source
from asrkit.transcribe.joining import joined, shifted
from asrkit.transcribe.segments import cut_at_pauses
from asrkit.transcribe.vad import SileroVad, Vad

DEFAULT_BATCH_S = 120.0
_BLOCK_FRAMES = 1 << 19
"""Read at once, at the file's own rate."""
_BATCHES_AHEAD = 4
"""So many batches' worth of segments are read before they are sorted by length."""


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording that was recognised by itself. All times are of the recording."""

    start_s: float
    end_s: float
    hypothesis: Hypothesis


@dataclass(frozen=True)
class Transcript:
    """What was recognised in a file."""

    source: Source
    duration_s: float
    conversion: str
    """How the audio was changed to suit the model; empty if it was not."""
    hypothesis: Hypothesis
    """Of the whole recording: the segments' joined by a space. Alternatives, if asked for, are
    those of a recording that is one segment; of a longer one, the segments have them."""
    segments: tuple[Segment, ...]
    """In order of time; none if nobody speaks."""

    @property
    def text(self) -> str:
        """What is said."""
        return self.hypothesis.text

    @property
    def words(self) -> tuple[TimedWord, ...]:
        """What is said, word by word, with times in the recording and probabilities."""
        return self.hypothesis.words


@dataclass(frozen=True)
class Failure:
    """A file that could not be transcribed, and why."""

    source: Source
    message: str


@dataclass(eq=False)
class _Part:
    """A segment on its way."""

    start_s: float
    end_s: float
    end_before_s: float
    """Where the one before it ends, or 0."""
    hypothesis: Hypothesis | None = None


@dataclass(eq=False)
class _Recording:
    """A file on its way."""

    source: Source
    sample_rate_hz: int
    conversion: str = ""
    num_samples: int = 0
    is_read: bool = False
    failure: str = ""
    parts: list[_Part] = field(default_factory=list)

    def counted(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        for block in blocks:
            self.num_samples += len(block)
            yield block


_Waiting = tuple[_Recording, _Part, NDArray[np.float32]]


def transcribe(
    recognizer: Recognizer,
    sources: Iterable[Source],
    settings: DecodeSettings,
    max_batch_s: float = DEFAULT_BATCH_S,
    nbest: int = 1,
    *,
    start_vad: Callable[[int], Vad] = SileroVad,
    on_progress: Callable[[Source, float], None] | None = None,
) -> Iterator[Transcript | Failure]:
    """Transcribe every source, one result each, in order.

    Files are read block by block and may be of any length: what is held in memory is some batches.

    Parameters
    ----------
    recognizer
        A trained model.
    sources
        Audio files of any rate and channel count.
    settings
        How to decode.
    max_batch_s
        A batch holds at most this many seconds, padding included, or one segment. It changes speed
        and memory, never a result.
    nbest
        Hypotheses of each segment: the best has the others as its alternatives.
    start_vad
        Makes what tells speech from silence, for a long recording of the model's rate.
    on_progress
        Called with a source and how many more seconds of it have been recognised, or passed over
        since nobody speaks. Silence at its end is not told.
    """
    rate_hz = recognizer.model.sample_rate_hz
    recordings: deque[_Recording] = deque()
    waiting: list[_Waiting] = []
    waiting_s = 0.0

    def recognize_waiting() -> None:
        for batch in _make_batches(waiting, max_batch_s):
            _recognize(recognizer, batch, settings, nbest)
            _trim_heap()
            if on_progress:
                for recording, part, _ in batch:
                    on_progress(recording.source, part.end_s - part.end_before_s)
        waiting.clear()

    for source in sources:
        recording = _Recording(source, rate_hz)
        recordings.append(recording)
        for part, samples in _read(recording, start_vad):
            waiting.append((recording, part, samples))
            waiting_s += part.end_s - part.start_s
            if waiting_s >= _BATCHES_AHEAD * max_batch_s:
                recognize_waiting()
                waiting_s = 0.0
                yield from _take_finished(recordings, recognizer)
            if recording.failure:
                break
        yield from _take_finished(recordings, recognizer)
    recognize_waiting()
    yield from _take_finished(recordings, recognizer)


def _trim_heap() -> None:
    """Give freed memory back to the system; glibc's heap otherwise grows with every odd batch."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None:
        trim(0)


def _read(
    recording: _Recording, start_vad: Callable[[int], Vad]
) -> Iterator[tuple[_Part, NDArray[np.float32]]]:
    """Cut a file into parts; whatever is wrong with it ends in its `failure`."""
    source, rate_hz = recording.source, recording.sample_rate_hz
    try:
        with open_audio(source.path, rate_hz) as stream:
            recording.conversion = stream.conversion
            blocks = recording.counted(stream.blocks(_BLOCK_FRAMES))
            for stretch in cut_at_pauses(blocks, rate_hz, start_vad):
                stop = stretch.start + len(stretch.samples)
                end_before_s = recording.parts[-1].end_s if recording.parts else 0.0
                part = _Part(stretch.start / rate_hz, stop / rate_hz, end_before_s)
                recording.parts.append(part)
                yield part, stretch.samples
    except AudioError as error:
        # It opens with the path, which for standard input is that of a temporary copy.
        recording.failure = source.label + str(error).removeprefix(str(source.path))
    recording.is_read = True


def _make_batches(waiting: Sequence[_Waiting], max_batch_s: float) -> Iterator[list[_Waiting]]:
    """Put segments of similar length together; those of a file that has failed are left out."""
    batch: list[_Waiting] = []
    for each in sorted(waiting, key=lambda item: len(item[2])):
        recording, _, samples = each
        if recording.failure:
            continue
        longest_s = len(samples) / recording.sample_rate_hz
        if batch and (len(batch) + 1) * longest_s > max_batch_s:
            yield batch
            batch = []
        batch.append(each)
    if batch:
        yield batch


def _recognize(
    recognizer: Recognizer, batch: Sequence[_Waiting], settings: DecodeSettings, nbest: int
) -> None:
    """Recognise a batch; if that fails, one by one, to tell the bad file from the others."""
    utterances = [
        Utterance(recording.source.label, recording.source.path, part.end_s - part.start_s, "")
        for recording, part, _ in batch
    ]
    rate_hz = recognizer.model.sample_rate_hz
    padded = collate(utterances, [Audio(samples, rate_hz) for _, _, samples in batch], None)
    try:
        found = recognize(recognizer.model, padded, recognizer.table(settings), settings, nbest)
    except DataError as error:
        if len(batch) > 1:
            for each in batch:
                _recognize(recognizer, [each], settings, nbest)
        else:
            (recording, _, _) = batch[0]
            recording.failure = f"{recording.source.label}: {error}"
        return
    for (_, part, _), hypothesis in zip(batch, found, strict=True):
        part.hypothesis = shifted(hypothesis, part.start_s)


def _take_finished(
    recordings: deque[_Recording], recognizer: Recognizer
) -> Iterator[Transcript | Failure]:
    """Give and drop the results of the first files, as far as they are complete."""
    while recordings and (result := _result(recordings[0], recognizer)) is not None:
        recordings.popleft()
        yield result


def _result(recording: _Recording, recognizer: Recognizer) -> Transcript | Failure | None:
    """Put together what has become of a file; None if there is more to come."""
    if recording.failure:
        return Failure(recording.source, recording.failure)
    segments = tuple(
        Segment(part.start_s, part.end_s, part.hypothesis)
        for part in recording.parts
        if part.hypothesis is not None
    )
    if not recording.is_read or len(segments) < len(recording.parts):
        return None
    nothing = Hypothesis("", recognizer.tokens.unit, (), 0.0)
    whole = joined([segment.hypothesis for segment in segments] or [nothing])
    duration_s = recording.num_samples / recording.sample_rate_hz
    return Transcript(recording.source, duration_s, recording.conversion, whole, segments)
