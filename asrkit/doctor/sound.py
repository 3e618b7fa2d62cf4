"""What is measured of an utterance's samples while they are read, in memory that does not grow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FRAME = 512
_WINDOW = np.hanning(_FRAME).astype(np.float32)
_LEVELS_DB = 130
"""Levels are counted from minus this to 0 dB of full scale, in steps of 1 dB."""
_FULL_SCALE = 0.999
_FLAT_TOP = 0.99
_LOUD = 0.1
"""Below this share of full scale equal neighbours are 16-bit rounding, not clipping."""
_VERY_LOUD_DB, _UNRELATED = -12.0, 0.3
"""Speech whose frames exceed this level is voiced: its neighbouring samples correlate by 0.6 or
more. Where they do not by this much, its bytes are misread."""
_LOWEST_HZ = 100.0
"""Hum and drift below say nothing of the width of the band."""


@dataclass(frozen=True, slots=True)
class Sound:
    """An utterance's samples in figures.

    Attributes
    ----------
    sample_rate_hz
        Of the file.
    offset
        Mean of the samples, as a share of full scale.
    clipped_share
        Share of the samples that lie in flat tops: at full scale, or equal to their neighbour at
        the very peak.
    loud_db, quiet_db
        Levels of full scale that 1 % of the frames exceed, and that 5 % stay below; frames have 512
        samples.
    band_hz
        Frequency above which there is less than 1e-5 (-50 dB) of the energy.
    unrelated_share
        Share of the frames that are very loud, and in which a sample tells nothing of the next.
    """

    sample_rate_hz: int
    offset: float
    clipped_share: float
    loud_db: float
    quiet_db: float
    band_hz: float
    unrelated_share: float


class SoundMeter:
    """Measures samples that come block by block."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0.0
        self._peak = 0.0
        self._clipped = 0
        self._levels = np.zeros(_LEVELS_DB + 1, dtype=np.int64)
        self._unrelated = 0
        self._spectrum = np.zeros(_FRAME // 2 + 1)
        self._sample_rate_hz = 0

    def hear(self, samples: NDArray[np.float32], sample_rate_hz: int) -> None:
        """Take the next block (S,), S a multiple of 512 in all blocks but the last."""
        self._sample_rate_hz = sample_rate_hz
        self._count += len(samples)
        self._sum += float(samples.sum(dtype=np.float64))
        self._count_clipped(samples)
        if self._count < _FRAME:  # a scrap is one frame
            samples = np.pad(samples, (0, _FRAME - len(samples)))
        frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
        # A drift is no sound, and would hide the silence around it.
        frames = frames - frames.mean(axis=1, keepdims=True)
        power = np.square(frames).mean(axis=1)
        levels = 10 * np.log10(np.maximum(power, 1e-13)) + _LEVELS_DB
        self._levels += np.bincount(
            np.clip(levels.round(), 0, _LEVELS_DB).astype(np.int64), minlength=_LEVELS_DB + 1
        )
        is_loud = levels > _VERY_LOUD_DB + _LEVELS_DB  # few are
        related = np.abs((frames[is_loud, :-1] * frames[is_loud, 1:]).sum(axis=1))
        self._unrelated += int((related < _UNRELATED * _FRAME * power[is_loud]).sum())
        spectrum = np.fft.rfft(frames[::2] * _WINDOW)  # half of them tell as much
        self._spectrum += (spectrum.real**2 + spectrum.imag**2).sum(axis=0, dtype=np.float64)

    def _count_clipped(self, samples: NDArray[np.float32]) -> None:
        size = np.abs(samples)
        peak = float(size.max(initial=0.0))
        if peak > self._peak:
            if self._peak < _FLAT_TOP * peak:
                self._clipped = 0  # what looked like a top was none
            self._peak = peak
        is_high = size >= max(_FLAT_TOP * self._peak, _LOUD)
        is_flat = is_high[:-1] & is_high[1:] & (samples[:-1] == samples[1:])
        is_full = size >= _FULL_SCALE
        is_flat |= is_full[:-1] & is_full[1:] & (samples[:-1] * samples[1:] > 0)
        self._clipped += int(is_flat.sum())

    def result(self) -> Sound:
        """Give the figures of all that was heard, one sample at least."""
        num_frames = max(1, int(self._levels.sum()))
        cumulated = np.cumsum(self._levels) / num_frames
        loud, quiet = (int(np.searchsorted(cumulated, share)) for share in (0.99, 0.05))
        return Sound(
            self._sample_rate_hz,
            self._sum / self._count,
            self._clipped / self._count,
            float(loud - _LEVELS_DB),
            float(quiet - _LEVELS_DB),
            self._band_hz(),
            self._unrelated / num_frames,
        )

    def _band_hz(self) -> float:
        bin_hz = self._sample_rate_hz / _FRAME
        energy = self._spectrum.copy()
        energy[: round(_LOWEST_HZ / bin_hz) + 1] = 0.0
        total = energy.sum()
        if not total:
            return 0.0
        above = np.cumsum(energy[::-1])[::-1]
        return float(np.flatnonzero(above > 1e-5 * total)[-1] * bin_hz)
