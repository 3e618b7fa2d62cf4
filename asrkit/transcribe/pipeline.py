"""Transcribe files in batches; results come in the order of the files, whatever the batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrkit.data.audio import Audio, read_audio
from asrkit.data.dataset import collate
from asrkit.data.manifest import Utterance
from asrkit.decode.hypothesis import Hypothesis
from asrkit.errors import AudioError, DataError
from asrkit.inference import recognize
from asrkit.model_file import Recognizer
from asrkit.settings import DecodeSettings
from asrkit.transcribe.inputs import Source


@dataclass(frozen=True)
class Transcript:
    """What was recognised in a file."""

    source: Source
    duration_s: float
    conversion: str
    """How the audio was changed to suit the model; empty if it was not."""
    hypothesis: Hypothesis


@dataclass(frozen=True)
class Failure:
    """A file that could not be transcribed, and why."""

    source: Source
    message: str


def transcribe(
    recognizer: Recognizer,
    sources: Sequence[Source],
    settings: DecodeSettings,
    max_batch_s: float,
    nbest: int = 1,
) -> Iterator[Transcript | Failure]:
    """Transcribe every source, one result each, in order.

    Parameters
    ----------
    recognizer
        A trained model.
    sources
        Audio files of any rate and channel count.
    settings
        How to decode.
    max_batch_s
        A batch holds at most this many seconds, padding included, or one file. It changes speed
        and memory, never a result.
    nbest
        Hypotheses of each source: the best has the others as its alternatives.
    """
    waiting: list[tuple[Source, Audio | AudioError]] = []
    longest_s, num_audios = 0.0, 0
    for source in sources:
        audio = _read(source.path, recognizer.model.sample_rate_hz)
        if isinstance(audio, Audio):
            duration_s = _duration_s(audio)
            if num_audios and (num_audios + 1) * max(longest_s, duration_s) > max_batch_s:
                yield from _transcribe_batch(recognizer, waiting, settings, nbest)
                waiting, longest_s, num_audios = [], 0.0, 0
            longest_s, num_audios = max(longest_s, duration_s), num_audios + 1
        waiting.append((source, audio))
    yield from _transcribe_batch(recognizer, waiting, settings, nbest)


def _read(path: Path, sample_rate_hz: int) -> Audio | AudioError:
    try:
        return read_audio(path, sample_rate_hz)
    except AudioError as error:
        return error


def _transcribe_batch(
    recognizer: Recognizer,
    items: Sequence[tuple[Source, Audio | AudioError]],
    settings: DecodeSettings,
    nbest: int,
) -> Iterator[Transcript | Failure]:
    audios = [(source, audio) for source, audio in items if isinstance(audio, Audio)]
    hypotheses = iter(_recognize(recognizer, audios, settings, nbest) if audios else ())
    for source, audio in items:
        if isinstance(audio, AudioError):
            # It opens with the path, which for standard input is that of a temporary copy.
            yield Failure(source, source.label + str(audio).removeprefix(str(source.path)))
            continue
        hypothesis = next(hypotheses)
        if isinstance(hypothesis, DataError):
            yield Failure(source, f"{source.label}: {hypothesis}")
        else:
            yield Transcript(source, _duration_s(audio), audio.conversion, hypothesis)


def _recognize(
    recognizer: Recognizer,
    audios: Sequence[tuple[Source, Audio]],
    settings: DecodeSettings,
    nbest: int,
) -> list[Hypothesis | DataError]:
    """Recognise a batch; if that fails, one by one, to tell the bad file from the others."""
    utterances = [
        Utterance(source.label, source.path, _duration_s(audio), "") for source, audio in audios
    ]
    batch = collate(utterances, [audio for _, audio in audios], None)
    try:
        return [*recognize(recognizer.model, batch, recognizer.tokens, settings, nbest)]
    except DataError as error:
        if len(audios) == 1:
            return [error]
    return [result for item in audios for result in _recognize(recognizer, [item], settings, nbest)]


def _duration_s(audio: Audio) -> float:
    return len(audio.samples) / audio.sample_rate_hz
