"""Audio files as mono samples of one rate."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from asrkit.data.sound_file import (
    DECODING_ERRORS,
    MP3_SLACK_FRAMES,
    damaged,
    open_sound_file,
)
from asrkit.errors import AudioError

# A segment may end this much after its file does, and then ends with it: times in corpora are
# rounded. Kaldi's extract-segments tolerates as much.
MAX_OVERSHOOT_S = 0.5
# Whatever is made of samples below it is finite; full scale is 1, 32768 or 2^31.
_MAX_SAMPLE = 1e12
# Of all channels: limits the memory taken by those that are not kept, however many are declared.
_BLOCK_SAMPLES = 1 << 22
# A digest keeps nothing of a block.
_DIGEST_FRAMES = 1 << 18


@dataclass(frozen=True, eq=False, slots=True)
class Audio:
    """Sound as the models take it.

    Attributes
    ----------
    samples : array, shape (S,), float32
        One channel, full scale is [-1, 1]; S >= 1 and all are finite.
    sample_rate_hz : int
    conversion : str
        What was done to the file's own samples, e.g. `44100 Hz stereo -> 16000 Hz mono`; empty if
        nothing was.
    """

    samples: NDArray[np.float32]
    sample_rate_hz: int
    conversion: str = ""


def read_audio(
    path: Path, sample_rate_hz: int, offset_s: float = 0.0, duration_s: float | None = None
) -> Audio:
    """Read a file, or a segment of it, as mono samples at a given rate.

    Reads what libsndfile reads: WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF, AU, NIST SPHERE and more.
    Channels are averaged; another rate is converted by soxr at its high quality. Only the segment
    is read and decoded, whatever the length of the file; in Ogg Vorbis libsndfile finds its start
    to within a block, some milliseconds.

    Parameters
    ----------
    path : Path
    sample_rate_hz : int
        Rate of the samples that are returned.
    offset_s : float
        Where the segment starts, in seconds.
    duration_s : float or None
        How long it is, in seconds; None reads to the end. A segment that ends up to 0.5 s after
        the file is cut to the file's end.

    Raises
    ------
    AudioError
        If the file is missing, a directory, unreadable, not audio, empty, truncated, holds NaN or
        infinity, or does not contain the segment.
    """
    with open_audio(path, sample_rate_hz, offset_s, duration_s) as stream:
        samples = np.empty(0, dtype=np.float32)
        for block in stream.blocks(_BLOCK_SAMPLES):
            samples = _append(samples, block)
        return Audio(samples, sample_rate_hz, stream.conversion)


class AudioStream:
    """A file, or a segment of it, to be read once, block by block, as `read_audio` gives it.

    Attributes
    ----------
    sample_rate_hz : int
        Of the samples that are given.
    duration_s : float
        As the file's header tells it, in seconds; an MP3 may differ by 0.1 s.
    conversion : str
        As that of `Audio`.
    """

    def __init__(
        self, path: Path, file: soundfile.SoundFile, num_frames: int, sample_rate_hz: int
    ) -> None:
        self._path, self._file, self._num_frames = path, file, num_frames
        self.sample_rate_hz = sample_rate_hz
        self.duration_s = num_frames / file.samplerate
        self.conversion = ""
        if (file.samplerate, file.channels) != (sample_rate_hz, 1):
            layout = {1: "mono", 2: "stereo"}.get(file.channels, f"{file.channels} channels")
            self.conversion = f"{file.samplerate} Hz {layout} -> {sample_rate_hz} Hz mono"

    def blocks(self, num_frames: int) -> Iterator[NDArray[np.float32]]:
        """Read so many of the file's frames at a time; the samples do not depend on how many.

        Raises
        ------
        AudioError
            As `read_audio`; what came before the damage has been given by then.
        """
        given = 0
        for block in self._resampled(num_frames):
            given += len(block)
            yield block
        if not given:
            raise AudioError(f"{self._path}: the segment is too short to give one sample")

    def _resampled(self, num_frames: int) -> Iterator[NDArray[np.float32]]:
        if self.sample_rate_hz == self._file.samplerate:
            yield from self._mono(num_frames)
            return
        # Block by block: the result is that of all at once, and that is never held.
        resampler = soxr.ResampleStream(
            self._file.samplerate, self.sample_rate_hz, 1, "float32", quality="HQ"
        )
        for block in self._mono(num_frames):
            yield resampler.resample_chunk(block)
        yield resampler.resample_chunk(np.empty(0, dtype=np.float32), last=True)

    def _mono(self, num_frames: int) -> Iterator[NDArray[np.float32]]:
        """Read what there is at the file's own rate; raise if that is less than there should be."""
        missing = self._num_frames
        at_once = max(1, min(num_frames, _BLOCK_SAMPLES // self._file.channels))
        try:
            while missing:
                block = _read_block(self._path, self._file, min(at_once, missing))
                if not len(block):
                    break
                missing -= len(block)
                yield block
        except DECODING_ERRORS as error:
            raise damaged(self._path, error) from error
        slack = MP3_SLACK_FRAMES if self._file.format == "MP3" else 0
        if missing > min(slack, self._num_frames - 1):
            raise AudioError(
                f"{self._path}: truncated: {missing} of its {self._file.frames} frames cannot be "
                "read; copy or download it again"
            )


@contextmanager
def open_audio(
    path: Path,
    sample_rate_hz: int | None = None,
    offset_s: float = 0.0,
    duration_s: float | None = None,
) -> Iterator[AudioStream]:
    """Open a file to read it block by block, in memory that does not grow with its length.

    Parameters and errors are those of `read_audio`; without a rate it is the file's own. Damage
    that only decoding shows is found when the blocks are read.
    """
    with open_sound_file(path) as file:
        start, count = _locate(path, file, offset_s, duration_s)
        if start:
            try:
                file.seek(start)
            except DECODING_ERRORS as error:
                raise damaged(path, error) from error
        yield AudioStream(path, file, count, sample_rate_hz or file.samplerate)


def audio_duration_s(path: Path) -> float:
    """Read the duration of a file, in seconds, from its header.

    Raises
    ------
    AudioError
        As `read_audio`, except for damage that only decoding shows.
    """
    with open_sound_file(path) as file:
        return float(file.frames / file.samplerate)


def audio_digest(
    path: Path,
    offset_s: float = 0.0,
    duration_s: float | None = None,
    hear: Callable[[NDArray[np.float32], int], None] | None = None,
) -> str:
    """Give a short hash of the decoded samples: the same for a WAV file and its FLAC.

    `hear` is given the same samples, block by block, and their rate in Hz, so that who wants to
    know more of them need not read the file again.

    Raises
    ------
    AudioError
        As `read_audio`.
    """
    with open_audio(path, None, offset_s, duration_s) as stream:
        salt = f"{stream.sample_rate_hz} Hz".encode()
        digest = hashlib.blake2b(digest_size=16, salt=salt)
        for block in stream.blocks(_DIGEST_FRAMES):
            digest.update(np.ascontiguousarray(block).data)
            if hear is not None:
                hear(block, stream.sample_rate_hz)
        return digest.hexdigest()


def _append(samples: NDArray[np.float32], block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Extend samples, in place where the system can: a long file is never held twice."""
    if not len(samples):
        return block
    if not samples.flags.owndata:
        samples = samples.copy()
    position = len(samples)
    samples.resize(position + len(block), refcheck=False)
    samples[position:] = block
    return samples


def _locate(
    path: Path, file: soundfile.SoundFile, offset_s: float, duration_s: float | None
) -> tuple[int, int]:
    """Find the first frame and the number of frames of a segment."""
    start = round(offset_s * file.samplerate)
    if not 0 <= start < file.frames:
        raise AudioError(
            f"{path}: a segment starts at {offset_s} s but the file is "
            f"{file.frames / file.samplerate} s long; correct its offset"
        )
    if duration_s is None:
        return start, file.frames - start
    end = start + round(duration_s * file.samplerate)
    if end <= start or end > file.frames + MAX_OVERSHOOT_S * file.samplerate:
        raise AudioError(
            f"{path}: a segment from {offset_s} s lasts {duration_s} s but the file is "
            f"{file.frames / file.samplerate} s long; correct its duration"
        )
    return start, min(end, file.frames) - start


def _read_block(path: Path, file: soundfile.SoundFile, num_frames: int) -> NDArray[np.float32]:
    """Read up to so many frames and average their channels."""
    block: NDArray[np.float32]
    if file.subtype == "PCM_16":
        # Several times faster than to let libsndfile convert, and equal to the last bit.
        block = file.read(num_frames, dtype="int16", always_2d=True) * np.float32(2.0**-15)
    else:
        block = file.read(num_frames, dtype="float32", always_2d=True)
        if block.size and not -_MAX_SAMPLE < block.min() <= block.max() < _MAX_SAMPLE:
            raise AudioError(
                f"{path}: holds NaN or infinite samples, or such beyond {_MAX_SAMPLE:g}; expected "
                "full scale to be 1; write it anew"
            )
    return block[:, 0] if file.channels == 1 else block.mean(axis=1)
