"""The spectrogram, read back from its PNG by another program's reader."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray

from asrkit.browser.spectrogram import spectrogram_png
from asrkit.data.audio import Audio


def draw(samples: NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
    """Darkness, 0 to 1: rows from high to low frequency, columns in time."""
    png = spectrogram_png(Audio(samples.astype(np.float32), rate_hz))
    return 1.0 - matplotlib.image.imread(io.BytesIO(png))


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_a_tone_is_dark_where_and_when_it_is(rate_hz: int) -> None:
    time_s = np.arange(rate_hz) / rate_hz
    tone_hz = 0.3 * rate_hz / 2
    darkness = draw(np.sin(2 * np.pi * tone_hz * time_s) * (time_s > 0.5), rate_hz)
    assert darkness.shape == (128, 100)
    assert darkness.max() == 1.0
    assert not darkness[:, :48].any()
    row = darkness[:, 75].argmax()
    assert 1 - (row + 0.5) / 128 == pytest.approx(0.3, abs=0.01)
    assert (darkness[row, 52:] > 0.9).all()


def test_silence_is_white() -> None:
    assert not draw(np.zeros(1600), 16000).any()


@pytest.mark.parametrize("num_samples", [1, 100, 16000 * 100])
def test_any_length(num_samples: int) -> None:
    rng = np.random.default_rng(0)
    num_columns = min(8000, max(1, round(num_samples / 160)))
    assert draw(rng.normal(size=num_samples), 16000).shape == (128, num_columns)


def test_same_bytes() -> None:
    audio = Audio(np.random.default_rng(0).normal(size=4000).astype(np.float32), 16000)
    assert spectrogram_png(audio) == spectrogram_png(audio)
