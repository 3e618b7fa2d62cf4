"""Open audio files with libsndfile, and refuse those it would read wrongly without a word."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import soundfile

from asrkit.data.container import examine, tells_mp3_length
from asrkit.errors import AudioError

# libsndfile's number of frames where the header leaves it open.
_UNKNOWN_LENGTH = 2**63 - 1
DECODING_ERRORS = (soundfile.LibsndfileError, ValueError)
"""ValueError: in a damaged MP3 soundfile finds itself behind the end, and reads -1 frames."""
# Programs disagree on the length of an MP3, over the delay of its encoder, by up to two frames.
MP3_SLACK_FRAMES = 2 * 1152
MIN_RATE_HZ, MAX_RATE_HZ = 1000, 1_000_000
"""Beyond these a header is damaged, and a small file would be resampled to gigabytes."""
# An MP3 may end in tags; more than this left unread is sound.
_MP3_MAX_TAG_BYTES = 16384


@contextmanager
def open_sound_file(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a file that is whole as far as its header and last page tell.

    Raises
    ------
    AudioError
        If it is missing, a directory, unreadable, not audio, empty, truncated, does not give its
        length, or gives a rate that no sound has.
    """
    source = _check_container(path)
    try:
        file = soundfile.SoundFile(source)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: its name ends in .raw
        raise AudioError(_not_audio(path)) from error
    with file:
        if file.format == "RAW":  # libsndfile takes any file called .au, .gsm or .vox for sound
            raise AudioError(_not_audio(path))
        if file.frames <= 0:
            raise AudioError(f"{path}: holds no samples; record it again or leave it out")
        if file.frames == _UNKNOWN_LENGTH:
            raise AudioError(
                f"{path}: a {file.format} file whose header does not give its length; convert it, "
                "e.g. with `sox IN OUT.wav`"
            )
        if not MIN_RATE_HZ <= file.samplerate <= MAX_RATE_HZ:
            raise AudioError(
                f"{path}: a sample rate of {file.samplerate} Hz; expected {MIN_RATE_HZ} to "
                f"{MAX_RATE_HZ}; the header is damaged, copy or download the file again"
            )
        if file.format == "MP3":
            _check_mp3_length(path)
        yield file


def _check_container(path: Path) -> str | bytes | io.BytesIO:
    """Refuse what is not a whole file; return what libsndfile shall open."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(f"{path}: is a directory; expected an audio file")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(f"{path}: is a device or pipe; expected an audio file")
        if status.st_size == 0:
            raise AudioError(f"{path}: is empty, 0 bytes; copy or download it again")
        with path.open("rb") as file:
            container = examine(file, status.st_size)
            if container.unfilled_size_at is not None:
                return _fill_in_size(file, container.unfilled_size_at)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # NUL, or half a character
        raise AudioError(f"{str(path)!r}: cannot be the name of a file: {error}") from error
    if container.shortfall:
        raise AudioError(f"{path}: truncated: {container.shortfall}; copy or download it again")
    # A path and not the open file: libsndfile would call back into Python for each few kilobytes
    # and wait for the interpreter's lock, ten times slower and more while another thread is busy.
    return os.fsencode(path) if os.name == "posix" else str(path)


def _fill_in_size(file: BinaryIO, position: int) -> io.BytesIO:
    """Copy a WAV file into memory with its data size set to `to the end`."""
    file.seek(0)
    content = io.BytesIO(file.read())
    content.seek(position)
    content.write(b"\xff\xff\xff\xff")
    content.seek(0)
    return content


def _check_mp3_length(path: Path) -> None:
    """Refuse an MP3 whose length is a wrong guess: of some, most of the sound would go unread."""
    with path.open("rb") as raw:
        if tells_mp3_length(raw):
            return
        raw.seek(0)
        try:
            with soundfile.SoundFile(raw) as file:
                file.seek(max(0, file.frames - MP3_SLACK_FRAMES - 1))
                is_too_long = len(file.read(1)) == 0
                file.seek(file.frames)
                is_too_short = path.stat().st_size - raw.tell() > _MP3_MAX_TAG_BYTES
        except DECODING_ERRORS as error:
            raise damaged(path, error) from error
    if is_too_long or is_too_short:
        raise AudioError(
            f"{path}: an MP3 that does not tell its length, which cannot be guessed as its bit "
            "rate varies; convert it, e.g. with `sox IN OUT.wav`"
        )


def damaged(path: Path, error: Exception) -> AudioError:
    """Give the error to be raised for one of `DECODING_ERRORS`."""
    what = str(error).rstrip(".")
    return AudioError(f"{path}: truncated or damaged: {what}; copy or download it again")


def _not_audio(path: Path) -> str:
    return (
        f"{path}: is not audio in a known format; expected WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF, "
        "AU or uncompressed NIST SPHERE; convert it, e.g. with `ffmpeg -i IN OUT.wav`"
    )
