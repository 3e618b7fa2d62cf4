"""Cut a recording of any length at its pauses, in memory that does not grow with its length.

Everything is counted in the frames of the voice activity detector, 32 ms each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrkit.transcribe.vad import FRAME_S, Vad

MAX_SEGMENT_S = 30.0
"""A recording up to this long is one segment, silence included; no segment is longer."""
_SPEECH_PROB = 0.15
"""From here on a frame counts as speech: low, since what is taken for silence may be left out."""
_MAX_FRAMES = int(MAX_SEGMENT_S / FRAME_S)
_PAD_FRAMES = round(0.25 / FRAME_S)
"""Of a pause, so much stays with the speech on either side; what is between is not recognised."""
_GAP_FRAMES = round(2.0 / FRAME_S)
"""A pause this long ends a segment, however short that is."""
# Where else a segment may end: at the longest pause between a first and a second frame, if that has
# a third number of frames. The first of these that holds such a pause decides.
_ENDINGS = (
    (round(8.0 / FRAME_S), round(20.0 / FRAME_S), round(0.2 / FRAME_S)),
    (round(4.0 / FRAME_S), _MAX_FRAMES, 1),
)


@dataclass(frozen=True, eq=False)
class Stretch:
    """A part of a recording that is to be recognised by itself."""

    start: int
    """The sample of the recording with which it begins."""
    samples: NDArray[np.float32]


def cut_at_pauses(
    blocks: Iterable[NDArray[np.float32]], sample_rate_hz: int, start_vad: Callable[[int], Vad]
) -> Iterator[Stretch]:
    """Cut a recording into stretches of at most `MAX_SEGMENT_S`, at pauses wherever there are any.

    A recording that is no longer than that is given whole, if it is not digital silence. In a
    longer one, a stretch ends at the first pause of two seconds; else at the longest after 8 to
    20 s; else at the longest after 4 to 30 s; and where nobody pauses, where speech is least likely
    and the sound is weakest. Of a pause between two stretches 0.25 s on either side are kept, the
    rest is left out.

    Parameters
    ----------
    blocks
        The recording's samples in order, (S,) each.
    sample_rate_hz
        Of the samples.
    start_vad
        Makes a detector for a recording of a rate; asked only if the recording is long.

    Returns
    -------
    iterator of Stretch
        In order, without overlap; each as soon as its end is known. None if nobody speaks.
    """
    source = iter(blocks)
    known, ended = _read_ahead(source, round(MAX_SEGMENT_S * sample_rate_hz))
    if ended:
        if known.any():
            yield Stretch(0, known)
        return
    recording = _Recording(known, source, sample_rate_hz, start_vad(sample_rate_hz))
    end = 0
    while (speech := recording.find_speech(end)) is not None:
        start = max(end, speech - _PAD_FRAMES)
        probabilities, energies, is_rest = recording.hear(start, _MAX_FRAMES)
        end = start + _find_end(probabilities, energies, is_rest)
        yield recording.cut(start, end)


def _read_ahead(
    blocks: Iterator[NDArray[np.float32]], num_samples: int
) -> tuple[NDArray[np.float32], bool]:
    """Read until there are more samples than this; say whether the recording ended before."""
    parts, total = [np.zeros(0, np.float32)], 0
    for block in blocks:
        parts.append(block)
        total += len(block)
        if total > num_samples:
            return np.concatenate(parts), False
    return np.concatenate(parts), True


class _Recording:
    """The part of a recording that has been read and not yet been cut off."""

    def __init__(
        self,
        known: NDArray[np.float32],
        blocks: Iterator[NDArray[np.float32]],
        sample_rate_hz: int,
        vad: Vad,
    ) -> None:
        self._blocks, self._vad = blocks, vad
        self._frame_samples = FRAME_S * sample_rate_hz
        self._samples, self._first_sample = known, 0
        self._probabilities, self._first_frame = vad.hear(known), 0
        self._ended = False

    def find_speech(self, frame: int) -> int | None:
        """Find the first frame of speech from this one on."""
        while True:
            is_speech = self._probabilities[frame - self._first_frame :] >= _SPEECH_PROB
            if is_speech.any():
                return frame + int(is_speech.argmax())
            frame += len(is_speech)
            self._forget(frame - _PAD_FRAMES)
            if self._ended:
                return None
            self._read()

    def hear(
        self, start: int, num_frames: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], bool]:
        """Give the frames' probabilities and energies, and whether these are all that is left."""
        while not self._ended and self._num_known() - start <= num_frames:
            self._read()
        stop = min(start + num_frames, self._num_known())
        probabilities = self._probabilities[start - self._first_frame : stop - self._first_frame]
        edges = np.array([self._sample_of(frame) for frame in range(start, stop + 1)])
        edges -= self._first_sample
        samples = self._samples[edges[0] : edges[-1]]
        # The last frame of a recording may hold less than a frame, or nothing.
        samples = np.pad(samples, (0, edges[-1] - edges[0] - len(samples)))
        energies = np.add.reduceat(np.square(samples), edges[:-1] - edges[0])
        return probabilities, energies, stop == self._num_known()

    def cut(self, start: int, end: int) -> Stretch:
        """Give the samples of some frames, and forget what lies before their end."""
        first = self._sample_of(start)
        stop = self._sample_of(end) - self._first_sample
        samples = self._samples[first - self._first_sample : stop].copy()
        self._forget(end)
        return Stretch(first, samples)

    def _read(self) -> None:
        block = next(self._blocks, None)
        self._ended = block is None
        if block is None:
            block = np.zeros(0, np.float32)
        self._samples = np.concatenate([self._samples, block])
        heard = self._vad.hear(block, last=self._ended)
        self._probabilities = np.concatenate([self._probabilities, heard])

    def _forget(self, frame: int) -> None:
        """Drop what lies before a frame."""
        frame = max(frame, self._first_frame)
        self._probabilities = self._probabilities[frame - self._first_frame :]
        self._samples = self._samples[self._sample_of(frame) - self._first_sample :]
        self._first_frame, self._first_sample = frame, self._sample_of(frame)

    def _num_known(self) -> int:
        return self._first_frame + len(self._probabilities)

    def _sample_of(self, frame: int) -> int:
        return round(frame * self._frame_samples)


def _find_end(
    probabilities: NDArray[np.float32], energies: NDArray[np.float32], is_rest: bool
) -> int:
    """Say how many of these frames, of which the first are speech, make a segment."""
    pauses = _find_pauses(probabilities)
    gaps = [(a, b) for a, b in pauses if b - a >= _GAP_FRAMES]
    if gaps:
        return _end_within(*gaps[0], energies)
    if is_rest:
        last = pauses[-1] if pauses else (0, 0)
        end = len(probabilities)
        return min(end, last[0] + _PAD_FRAMES) if last[1] == end else end
    for first, stop, shortest in _ENDINGS:
        lengths = [min(b, stop) - max(a, first) for a, b in pauses]
        if lengths and max(lengths) >= shortest:
            return _end_within(*pauses[int(np.argmax(lengths))], energies)
    # Nobody pauses. Probabilities that are nearly the same shall not decide, energy does.
    first, stop, _ = _ENDINGS[-1]
    speech = np.round(probabilities[first - 1 : stop - 1] + probabilities[first:stop], 1)
    sound = energies[first - 1 : stop - 1] + energies[first:stop]
    return first + int(np.lexsort((sound, speech))[0])


def _find_pauses(probabilities: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Find the runs of frames without speech: the first frame, and that after the last."""
    is_pause = np.concatenate([[False], probabilities < _SPEECH_PROB, [False]])
    edges = np.flatnonzero(is_pause[1:] != is_pause[:-1]).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _end_within(first: int, stop: int, energies: NDArray[np.float32]) -> int:
    """End a segment in a pause: so much after it begins, or in a short one where it is quietest."""
    if stop - first >= 2 * _PAD_FRAMES:
        return first + _PAD_FRAMES
    middle = (first + stop) / 2
    ends = range(max(first, 1), min(stop, len(energies) - 1) + 1)
    return min(ends, key=lambda end: (energies[end - 1] + energies[end], abs(end - middle)))
