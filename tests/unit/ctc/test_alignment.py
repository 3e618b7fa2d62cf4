"""Forced alignment against torchaudio's, and what that cannot do."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchaudio.functional import forced_align

from asrkit.ctc import alignment
from asrkit.ctc.alignment import align
from asrkit.ctc.feasibility import frames_needed
from asrkit.errors import DataError, FeasibilityError


def draw_log_probs(seed: int, num_frames: int, vocab_size: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.log(rng.dirichlet(np.full(vocab_size, 0.3), num_frames) + 1e-12)


def speak(
    seed: int, num_frames: int, num_labels: int, first_frame: int = 0, vocab_size: int = 30
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Say labels, one in twenty badly, in single frames: log_probs, labels, their frames."""
    rng = np.random.default_rng(seed)
    frames = np.sort(rng.choice(np.arange(first_frame, num_frames), num_labels, replace=False))
    labels = rng.integers(1, vocab_size, num_labels)
    scores = rng.normal(0, 1.5, (num_frames, vocab_size)).astype(np.float32)
    scores[:, 0] += 9
    heard = np.where(rng.random(num_labels) < 0.05, rng.integers(1, vocab_size, num_labels), labels)
    scores[frames, 0] -= 9
    scores[frames, heard] += 9
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True), labels, frames


def path_of(aligned: alignment.Alignment, labels: list[int], num_frames: int) -> NDArray[np.int64]:
    path = np.zeros(num_frames, dtype=np.int64)
    for start, end, label in zip(aligned.starts, aligned.ends, labels, strict=True):
        path[start:end] = label
    return path


def score(log_probs: NDArray, path: NDArray[np.int64]) -> float:
    return float(log_probs[np.arange(len(path)), path].sum())


@pytest.fixture
def any_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drop cells from the first frame on, however short the audio."""
    monkeypatch.setattr(alignment, "_UNLIMITED_CELLS", 0)


@given(
    seed=st.integers(0, 2**32),
    labels=st.lists(st.integers(1, 3), min_size=1, max_size=9),
    spare=st.integers(0, 12),
    block=st.integers(1, 9),
    unlimited=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_as_likely_as_torchaudios(seed, labels, spare, block, unlimited) -> None:
    num_frames = frames_needed(labels) + spare
    log_probs = draw_log_probs(seed, num_frames, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment, "_BLOCK_FRAMES", block)
        patch.setattr(alignment, "_UNLIMITED_CELLS", 10**9 if unlimited else 0)
        aligned = align(log_probs, labels)
    theirs, _ = forced_align(torch.from_numpy(log_probs)[None], torch.tensor([labels]), blank=0)
    best = score(log_probs, theirs[0].numpy())
    assert aligned.log_prob == pytest.approx(best)
    path = path_of(aligned, labels, num_frames)
    assert score(log_probs, path) == pytest.approx(best)
    assert (aligned.ends > aligned.starts).all()
    gaps = aligned.starts[1:] - aligned.ends[:-1]
    assert (gaps >= np.equal(labels[1:], labels[:-1])).all()  # a blank between equals


@pytest.mark.usefixtures("any_limit")
@pytest.mark.parametrize("first_frame", [0, 2000])
def test_limits_change_nothing(first_frame: int, monkeypatch: pytest.MonkeyPatch) -> None:
    log_probs, labels, frames = speak(1, 5000, 900, first_frame)
    limits = []
    forward = alignment._forward

    def watch(*arguments):
        limits.append(arguments[-1])
        return forward(*arguments)

    monkeypatch.setattr(alignment, "_forward", watch)
    limited = align(log_probs, labels.tolist())
    assert len(limits) > 1  # the first was too low, which showed
    assert np.isfinite(limits).all()
    theirs, _ = forced_align(torch.from_numpy(log_probs)[None], torch.from_numpy(labels)[None])
    assert (path_of(limited, labels.tolist(), 5000) == theirs[0].numpy()).all()
    assert (limited.starts == frames).mean() > 0.97


@pytest.mark.usefixtures("any_limit")
def test_text_that_misses_some_of_the_audio() -> None:
    log_probs, labels, frames = speak(2, 6000, 1200)
    told = np.r_[labels[:400], labels[700:]]
    aligned = align(log_probs, told.tolist())
    untold = np.r_[frames[:400], frames[700:]]
    assert (aligned.starts == untold).mean() > 0.9
    theirs, _ = forced_align(torch.from_numpy(log_probs)[None], torch.from_numpy(told)[None])
    assert (path_of(aligned, told.tolist(), 6000) == theirs[0].numpy()).all()


def test_an_hour_takes_little_memory() -> None:
    log_probs, labels, frames = speak(3, 120_000, 30_000, first_frame=20_000)
    align(log_probs[:100], [1])  # compiled
    tracemalloc.start()
    aligned = align(log_probs, labels.tolist())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6  # all 7 billion cells at 2 bits would be 1.8 GB
    assert (aligned.starts == frames).mean() > 0.97


def test_probabilities_are_means_over_runs() -> None:
    probs = np.array([[0.7, 0.3, 0.0], [0.1, 0.9, 0], [0.4, 0.6, 0], [1, 0, 0], [0, 0.5, 0.5]])
    with np.errstate(divide="ignore"):
        aligned = align(np.log(probs), [1, 2])
    assert aligned.starts.tolist() == [1, 4]
    assert aligned.ends.tolist() == [3, 5]
    assert aligned.probabilities.tolist() == pytest.approx([0.75, 0.5])
    assert aligned.log_prob == pytest.approx(np.log(0.7 * 0.9 * 0.6 * 1 * 0.5))


def test_float32_and_float64_agree() -> None:
    log_probs = draw_log_probs(0, 30, 5).astype(np.float32)
    single, double = (align(log_probs.astype(kind), [1, 2, 2]) for kind in ("f4", "f8"))
    assert single.log_prob == pytest.approx(double.log_prob, abs=1e-4)
    assert (single.starts == double.starts).all()


def test_no_labels_and_no_frames() -> None:
    nothing = align(np.zeros((0, 3)), [])
    assert (len(nothing.starts), nothing.log_prob) == (0, 0.0)
    silent = align(np.log(np.full((4, 2), 0.5)), [])
    assert len(silent.starts) == len(silent.probabilities) == 0
    assert silent.log_prob == pytest.approx(4 * np.log(0.5))


def test_exactly_enough_frames_and_one_too_few() -> None:
    log_probs = draw_log_probs(0, 6, 3)
    aligned = align(log_probs, [1, 1, 2, 2])
    assert aligned.starts.tolist() == [0, 2, 3, 5]
    with pytest.raises(
        FeasibilityError,
        match="4 tokens with 2 repeats need 6 frames but the model yields 5; the text is too long",
    ):
        align(log_probs[:5], [1, 1, 2, 2])


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
def test_damaged_frames_are_refused(value: float) -> None:
    log_probs = draw_log_probs(0, 6, 3)
    log_probs[4] = value
    with pytest.raises(DataError, match="frame 4 of the model's output is not finite"):
        align(log_probs, [1])


@pytest.mark.usefixtures("any_limit")
def test_impossible_labels_are_refused() -> None:
    log_probs = draw_log_probs(0, 6, 3)
    log_probs[:, 2] = -np.inf
    with pytest.raises(DataError, match="gives every path of the labels a probability of 0"):
        align(log_probs, [1, 2])
