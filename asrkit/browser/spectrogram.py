"""A spectrogram as a small greyscale PNG."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from asrkit.data.audio import Audio

_WINDOW_S = 0.02
_SHIFT_S = 0.01
_MAX_COLUMNS = 8000
"""Browsers draw no image much wider; a longer recording has wider columns."""
_ROWS = 128
_RANGE_DB = 65.0
_PREEMPHASIS = 0.97
_LEVELS = 32
"""Of grey: steps of 2 dB, which the eye takes for smooth and which compress well."""


def spectrogram_png(audio: Audio) -> bytes:
    """Draw the power over time and frequency, white for 65 dB below the loudest, black for that.

    Columns are evenly spaced from the start to the end of the audio, rows from half the sampling
    rate down to 0 Hz. Digital silence is white.
    """
    return _greyscale_png(_grey(_power(audio)))


def _power(audio: Audio) -> NDArray[np.float64]:
    """Give the power, (rows, columns): rows upwards in frequency."""
    samples = audio.samples.astype(np.float64)
    num_columns = min(_MAX_COLUMNS, max(1, round(len(samples) / audio.sample_rate_hz / _SHIFT_S)))
    length = max(2, round(_WINDOW_S * audio.sample_rate_hz))
    # At least as many frequencies as rows.
    n_fft = max(2 * _ROWS, 1 << (length - 1).bit_length())
    emphasised = np.append(samples[:1], samples[1:] - _PREEMPHASIS * samples[:-1])
    padded = np.pad(emphasised, length)
    middles = (np.arange(num_columns) + 0.5) * (len(samples) / num_columns)
    starts = (middles + length / 2).astype(np.int64)
    window = np.hanning(length)
    edges = np.linspace(0, n_fft // 2, _ROWS + 1).astype(np.int64)[:-1]
    columns = []
    for first in range(0, num_columns, 1024):
        at = starts[first : first + 1024, None] + np.arange(length)
        power = np.abs(np.fft.rfft(padded[at] * window, n_fft)) ** 2
        columns.append(np.add.reduceat(power[:, : n_fft // 2], edges, axis=1))
    return np.concatenate(columns).T


def _grey(power: NDArray[np.float64]) -> NDArray[np.uint8]:
    loudest = float(power.max())
    if loudest == 0.0:
        return np.full(power.shape, 255, dtype=np.uint8)
    floor = loudest * 10.0 ** (-_RANGE_DB / 10.0)
    share = 1.0 + 10.0 * np.log10(np.maximum(power, floor) / loudest) / _RANGE_DB
    darkness = np.round(share * (_LEVELS - 1)) / (_LEVELS - 1)
    upwards: NDArray[np.uint8] = np.round(255.0 * (1.0 - darkness)).astype(np.uint8)
    return upwards[::-1]


def _greyscale_png(pixels: NDArray[np.uint8]) -> bytes:
    """Write rows of 8-bit grey, the first on top, as PNG (ISO/IEC 15948)."""
    height, width = pixels.shape
    unfiltered = np.zeros((height, 1), dtype=np.uint8)  # a byte a row says how it is filtered
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(np.hstack([unfiltered, pixels]).tobytes(), 9)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
