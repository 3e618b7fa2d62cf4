from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asrkit.decode.beam import search_prefixes
from asrkit.decode.beam_torch import beam_search_batch
from asrkit.decode.pruning import SearchLimits
from asrkit.errors import DataError


def random_log_probs(shape: tuple[int, ...], seed: int, peaked: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    if peaked:  # five frames of six are blank beyond doubt, as a trained model's are
        scores[..., 0] += 12 * (torch.rand(shape[:-1], generator=generator) < 5 / 6)
    return scores.log_softmax(-1)


def assert_equals_beam(
    log_probs: Tensor,
    out_lens: Tensor,
    limits: SearchLimits,
) -> None:
    found = beam_search_batch(log_probs, out_lens, limits, nbest=limits.beam_size)
    assert len(found) == len(log_probs)
    for labellings, padded, length in zip(found, log_probs, out_lens.tolist(), strict=True):
        frames = padded[:length].contiguous().numpy()
        expected = search_prefixes(frames, limits, nbest=limits.beam_size)
        assert [labels.tolist() for labels, _ in labellings] == [
            labels.tolist() for labels, _ in expected
        ]
        assert [log_prob for _, log_prob in labellings] == pytest.approx(
            [log_prob for _, log_prob in expected], rel=1e-12, abs=1e-12
        )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 9999),
    vocab_size=st.integers(2, 8),
    limits=st.builds(
        SearchLimits,
        beam_size=st.integers(1, 12),
        token_min_log_prob=st.sampled_from([-math.inf, -6.9, -3.0, -0.01]),
        max_frame_tokens=st.integers(0, 3),
        blank_skip_prob=st.sampled_from([1.0, 0.99, 0.6]),
        beam_threshold=st.sampled_from([0.0, 0.1, 1.0, 4.0]),
    ),
    peaked=st.booleans(),
)
def test_equals_the_search_of_one_utterance(
    seed: int,
    vocab_size: int,
    limits: SearchLimits,
    peaked: bool,
) -> None:
    log_probs = random_log_probs((3, 24, vocab_size), seed, peaked)
    assert_equals_beam(log_probs, torch.tensor([24, 0, 11]), limits)


def test_equals_it_on_long_peaked_outputs_of_many_tokens() -> None:
    log_probs = random_log_probs((2, 300, 60), seed=1, peaked=True).float()
    assert_equals_beam(log_probs, torch.tensor([300, 250]), SearchLimits(16, -6.9))


def test_probabilities_below_the_smallest_number_are_kept_apart() -> None:
    # Each frame takes 60 nats: together far below what float64 holds.
    log_probs = random_log_probs((1, 40, 5), seed=2) - 60.0
    assert_equals_beam(log_probs, torch.tensor([40]), SearchLimits(8, -100.0))


def test_a_prefix_comes_back_after_it_has_left_the_beam() -> None:
    # Its descendants never leave: they must merge with what it grows into when it is back.
    found = 0
    for seed in range(40):
        log_probs = random_log_probs((1, 30, 3), seed)
        assert_equals_beam(log_probs, torch.tensor([30]), SearchLimits(3))
        (labellings,) = beam_search_batch(log_probs, torch.tensor([30]), SearchLimits(3), nbest=3)
        spelled = {tuple(labels.tolist()) for labels, _ in labellings}
        found += len(spelled)
        assert len(spelled) == len(labellings)
    assert found > 40


def test_equally_likely_prefixes_keep_the_order_of_the_search_of_one() -> None:
    log_probs = torch.full((1, 6, 4), math.log(0.25), dtype=torch.float64)
    for beam_size in range(1, 9):
        assert_equals_beam(log_probs, torch.tensor([6]), SearchLimits(beam_size))


def test_the_batch_and_what_follows_an_utterance_change_nothing() -> None:
    log_probs = random_log_probs((4, 20, 6), seed=3)
    out_lens = torch.tensor([20, 7, 0, 13])
    together = beam_search_batch(log_probs, out_lens, SearchLimits(8, -5.0), nbest=4)
    damaged = log_probs.clone()
    for index, length in enumerate(out_lens.tolist()):
        damaged[index, length:] = math.nan
    for index, length in enumerate(out_lens.tolist()):
        alone = beam_search_batch(
            damaged[index, None, : length + 3],
            out_lens[index, None],
            SearchLimits(8, -5.0),
            nbest=4,
        )
        assert len(alone[0]) == len(together[index])
        for (labels, log_prob), (same_labels, same_log_prob) in zip(
            alone[0], together[index], strict=True
        ):
            assert labels.tolist() == same_labels.tolist()
            assert log_prob == pytest.approx(same_log_prob, abs=1e-12)


def test_no_frames_and_no_utterances() -> None:
    ((labelling,),) = beam_search_batch(
        torch.zeros(1, 0, 4), torch.tensor([0]), SearchLimits(4, -5.0)
    )
    assert (labelling[0].tolist(), labelling[1]) == ([], 0.0)
    none = torch.zeros(0, dtype=torch.int64)
    assert beam_search_batch(torch.zeros(0, 5, 4), none, SearchLimits(4, -5.0)) == []


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_a_damaged_frame_is_an_error(value: float) -> None:
    log_probs = random_log_probs((2, 5, 4), seed=4)
    log_probs[1, 2] = value
    with pytest.raises(DataError, match="not finite"):
        beam_search_batch(log_probs, torch.tensor([5, 5]), SearchLimits(4, -5.0))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_finds_the_same() -> None:
    log_probs = random_log_probs((5, 60, 12), seed=5, peaked=True).float()
    out_lens = torch.tensor([60, 31, 0, 1, 59])
    expected = beam_search_batch(log_probs, out_lens, SearchLimits(8, -6.9), nbest=8)
    found = beam_search_batch(log_probs.cuda(), out_lens.cuda(), SearchLimits(8, -6.9), nbest=8)
    for labellings, same in zip(found, expected, strict=True):
        assert [labels.tolist() for labels, _ in labellings] == [
            labels.tolist() for labels, _ in same
        ]
        assert [log_prob for _, log_prob in labellings] == pytest.approx(
            [log_prob for _, log_prob in same], abs=1e-9
        )
