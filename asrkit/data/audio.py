"""Audio files as mono samples of one rate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from asrkit.data.sound_file import MP3_SLACK_FRAMES, open_sound_file
from asrkit.errors import AudioError

# A segment may end this much after its file does, and then ends with it: times in corpora are
# rounded. Kaldi's extract-segments tolerates as much.
MAX_OVERSHOOT_S = 0.5
# Limits the memory taken by the channels that are not kept.
_BLOCK_FRAMES = 1 << 22


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
    samples, file_rate_hz, num_channels = _read_mono(path, offset_s, duration_s, sample_rate_hz)
    if file_rate_hz == sample_rate_hz and num_channels == 1:
        return Audio(samples, sample_rate_hz)
    if samples.size == 0:
        raise AudioError(f"{path}: the segment is too short to give one sample")
    layout = {1: "mono", 2: "stereo"}.get(num_channels, f"{num_channels} channels")
    return Audio(samples, sample_rate_hz, f"{file_rate_hz} Hz {layout} -> {sample_rate_hz} Hz mono")


def audio_duration_s(path: Path) -> float:
    """Read the duration of a file, in seconds, from its header.

    Raises
    ------
    AudioError
        As `read_audio`, except for damage that only decoding shows.
    """
    with open_sound_file(path) as file:
        return float(file.frames / file.samplerate)


def audio_digest(path: Path, offset_s: float = 0.0, duration_s: float | None = None) -> str:
    """Give a short hash of the decoded samples: the same for a WAV file and its FLAC.

    Raises
    ------
    AudioError
        As `read_audio`.
    """
    samples, file_rate_hz, _ = _read_mono(path, offset_s, duration_s)
    salt = f"{file_rate_hz} Hz".encode()
    return hashlib.blake2b(samples.data, digest_size=16, salt=salt).hexdigest()


def _read_mono(
    path: Path, offset_s: float, duration_s: float | None, rate_hz: int | None = None
) -> tuple[NDArray[np.float32], int, int]:
    """Read a segment at a rate, or the file's own; give also the latter and the channels."""
    with open_sound_file(path) as file:
        start, count = _locate(path, file, offset_s, duration_s)
        resampler = None
        if rate_hz not in (None, file.samplerate):
            # Block by block: the result is that of all at once, and that is never held.
            resampler = soxr.ResampleStream(file.samplerate, rate_hz, 1, "float32", quality="HQ")
        samples = np.empty(0, dtype=np.float32)
        missing = count
        try:
            if start:
                file.seek(start)
            while missing:
                block = _read_block(path, file, min(_BLOCK_FRAMES, missing))
                if not len(block):
                    break
                missing -= len(block)
                samples = _append(samples, resampler.resample_chunk(block) if resampler else block)
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{path}: truncated or damaged: {error.error_string} Copy or download it again"
            ) from error
        slack = MP3_SLACK_FRAMES if file.format == "MP3" else 0
        if missing > min(slack, count - 1):
            raise AudioError(
                f"{path}: truncated: {missing} of its {file.frames} frames cannot be read; copy or "
                "download it again"
            )
        if resampler:
            rest = resampler.resample_chunk(np.empty(0, dtype=np.float32), last=True)
            samples = _append(samples, rest)
        return samples, file.samplerate, file.channels


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
        if not np.isfinite(block).all():
            raise AudioError(f"{path}: holds NaN or infinite samples; write it anew")
    return block[:, 0] if file.channels == 1 else block.mean(axis=1)
