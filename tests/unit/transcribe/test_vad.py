"""Our way of running Silero's detector gives what its package gives, only sooner."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from numpy.typing import NDArray

from asrkit.data.audio import read_audio
from asrkit.transcribe.vad import FRAME_S, SileroVad

CORPUS = Path(__file__).resolve().parents[3] / "recipes" / "mini" / "corpus" / "audio"
SILENCE = np.zeros(16000, np.float32)


@pytest.fixture(scope="module")
def speech() -> NDArray[np.float32]:
    """Two commands with a second of silence before, between and after."""
    files = sorted((CORPUS / "test_recorded").glob("*.ogg"))[:2]
    first, second = (read_audio(path, 16000).samples for path in files)
    return np.concatenate([SILENCE, first, SILENCE, second, SILENCE])


def hear(samples: NDArray[np.float32], rate_hz: int = 16000) -> NDArray[np.float32]:
    return SileroVad(rate_hz).hear(samples, last=True)


def test_the_probabilities_are_those_of_the_package(speech: NDArray[np.float32]) -> None:
    ours = hear(speech)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import silero_vad

        theirs = silero_vad.load_silero_vad()
    torch.set_num_threads(1)
    frames = torch.from_numpy(speech[: len(speech) // 512 * 512]).view(-1, 512)
    with torch.inference_mode():
        expected = np.array([theirs(frame, 16000).item() for frame in frames])
    np.testing.assert_allclose(ours[: len(expected)], expected, atol=1e-5)
    assert len(ours) == len(expected) + (len(speech) % 512 > 0)


def test_it_tells_speech_from_silence(speech: NDArray[np.float32]) -> None:
    probabilities = hear(speech)
    seconds = np.arange(len(probabilities)) * FRAME_S
    assert probabilities[seconds < 0.9].max() < 0.1
    assert probabilities[seconds > len(speech) / 16000 - 0.7].max() < 0.1
    assert np.median(probabilities) > 0.9
    noise = np.random.default_rng(0).normal(scale=0.1, size=80000).astype(np.float32)
    assert hear(noise).max() < 0.1


@pytest.mark.parametrize("size", [100, 511, 16000])
def test_blocks_change_nothing(speech: NDArray[np.float32], size: int) -> None:
    vad = SileroVad(16000)
    parts = [vad.hear(speech[first : first + size]) for first in range(0, len(speech), size)]
    parts.append(vad.hear(speech[:0], last=True))
    np.testing.assert_allclose(np.concatenate(parts), hear(speech), atol=1e-5)


def test_every_frame_that_has_begun_is_heard_at_the_end() -> None:
    for num_samples, num_frames in [(0, 0), (1, 1), (512, 1), (513, 2), (512 * 1500, 1500)]:
        assert len(hear(np.zeros(num_samples, np.float32))) == num_frames


def test_another_rate(speech: NDArray[np.float32]) -> None:
    narrow = soxr.resample(speech, 16000, 8000, "HQ")
    of_narrow, of_wide = hear(narrow, 8000), hear(speech)
    assert len(of_narrow) == pytest.approx(len(of_wide), abs=1)
    is_same = (of_narrow[: len(of_wide)] > 0.5) == (of_wide[: len(of_narrow)] > 0.5)
    assert is_same.mean() > 0.95


def test_torch_keeps_its_threads() -> None:
    from asrkit.transcribe import vad

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        vad._load_network.cache_clear()
        SileroVad(16000)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
