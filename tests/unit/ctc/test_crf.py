from __future__ import annotations

import math
from itertools import groupby, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asrkit.ctc.crf import ctc_crf_excess, log_normalizer, sweep_by_frames, trigram_log_probs
from asrkit.ctc.crf_loops import forward_backward
from asrkit.ctc.loss import ctc_nll


def random_log_probs(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(*shape, generator=generator, dtype=torch.float64)).log_softmax(-1)


def random_trigram(size: int, seed: int = 0) -> Tensor:
    trigram = random_log_probs(size, size, size, seed=seed).exp()
    trigram[1:, 0] = 0  # nothing comes before the start
    return trigram


def paths_of(log_probs: Tensor) -> dict[tuple[int, ...], float]:
    """Give the probability of each label sequence, from all V**T paths of (T, V)."""
    num_frames, size = log_probs.shape
    probs: dict[tuple[int, ...], float] = {}
    for path in product(range(size), repeat=num_frames):
        labels = tuple(token for token, _ in groupby(path) if token)
        prob = math.exp(sum(float(log_probs[t, token]) for t, token in enumerate(path)))
        probs[labels] = probs.get(labels, 0.0) + prob
    return probs


def prior_of(labels: tuple[int, ...], trigram: Tensor) -> float:
    spoken = (0, 0, *labels, 0)
    return math.prod(
        float(trigram[each]) for each in zip(spoken, spoken[1:], spoken[2:], strict=False)
    )


@settings(max_examples=40, deadline=None)
@given(num_frames=st.integers(0, 5), size=st.integers(2, 4), seed=st.integers(0, 999))
def test_equals_the_sum_over_all_paths(num_frames: int, size: int, seed: int) -> None:
    log_probs, trigram = random_log_probs(num_frames, size, seed=seed), random_trigram(size, seed)
    expected = sum(prob * prior_of(labels, trigram) for labels, prob in paths_of(log_probs).items())
    found = log_normalizer(log_probs[None], torch.tensor([num_frames]), trigram)
    assert float(found) == pytest.approx(math.log(expected), abs=1e-10)


def test_the_shares_of_all_label_sequences_sum_to_one() -> None:
    log_probs, trigram = random_log_probs(1, 4, 3), random_trigram(3)
    total = 0.0
    for labels in paths_of(log_probs[0]):
        padded, lens = torch.tensor([labels], dtype=torch.int64), torch.tensor([len(labels)])
        of_all = (log_probs, torch.tensor([4]), padded, lens)
        total += float((-ctc_nll(*of_all) - ctc_crf_excess(*of_all, trigram)).exp())
    assert total == pytest.approx(1, abs=1e-10)


def test_a_model_of_one_sequence_leaves_nothing_to_tell_apart() -> None:
    # The trigram allows 1 2 only; its share of the sum is then 1, whatever the network says.
    trigram = torch.zeros(3, 3, 3, dtype=torch.float64)
    trigram[0, 0, 1] = trigram[0, 1, 2] = trigram[1, 2, 0] = 1
    of_all = (
        random_log_probs(1, 6, 3),
        torch.tensor([6]),
        torch.tensor([[1, 2]]),
        torch.tensor([2]),
    )
    assert float(ctc_nll(*of_all) + ctc_crf_excess(*of_all, trigram)) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loops_and_frames_agree(dtype: torch.dtype) -> None:
    size, lens = 7, torch.tensor([40, 23, 1, 0])
    probs = random_log_probs(4, 40, size).exp().to(dtype)
    trigram = random_trigram(size).to(dtype)
    follows = trigram.transpose(0, 1).contiguous()
    ends = follows[:, :, 0].clone()
    follows[:, :, 0] = 0
    total, occupied = sweep_by_frames(probs, lens, follows, ends)
    for number, length in enumerate(lens.tolist()):
        log_total, shares = forward_backward(
            probs[number, :length].numpy(), follows.numpy(), ends.numpy()
        )
        assert log_total == pytest.approx(float(total[number]), rel=1e-5)
        torch.testing.assert_close(torch.from_numpy(shares), occupied[number, :length])
        assert not occupied[number, length:].any()
    torch.testing.assert_close(occupied[0].sum(dim=1), torch.ones(40, dtype=dtype))


def test_gradient() -> None:
    log_probs, trigram = random_log_probs(3, 5, 4).requires_grad_(), random_trigram(4)
    lens = torch.tensor([5, 2, 0])
    assert torch.autograd.gradcheck(lambda each: log_normalizer(each, lens, trigram), log_probs)


def test_ten_thousand_frames_do_not_vanish() -> None:
    log_probs, trigram = random_log_probs(1, 10_000, 3), random_trigram(3)
    lens = torch.tensor([10_000])
    exact = float(log_normalizer(log_probs, lens, trigram))
    assert exact < -1000
    assert float(log_normalizer(log_probs.float(), lens, trigram)) == pytest.approx(exact, rel=1e-5)


def test_frames_that_are_surely_blank_cost_nothing() -> None:
    trigram = random_trigram(3)
    certain = torch.tensor([1.0, 0.0, 0.0]).log().repeat(1, 10_000, 1)
    found = log_normalizer(certain, torch.tensor([10_000]), trigram)
    assert float(found) == pytest.approx(math.log(trigram[0, 0, 0]), abs=1e-5)


def test_frames_and_labels_beyond_the_end_are_not_read() -> None:
    log_probs, trigram = random_log_probs(1, 5, 3), random_trigram(3)
    labels, lens = torch.tensor([[2, 1, 2]]), (torch.tensor([3]), torch.tensor([1]))
    alone = ctc_crf_excess(log_probs[:, :3], lens[0], labels[:, :1], lens[1], trigram)
    padded = ctc_crf_excess(log_probs, lens[0], labels, lens[1], trigram)
    assert torch.equal(alone, padded)


def test_probability_of_label_sequences() -> None:
    trigram = random_trigram(3)
    labels, lens = torch.tensor([[1, 2, 2], [2, 0, 0], [0, 0, 0]]), torch.tensor([3, 1, 0])
    expected = [math.log(prior_of(each, trigram)) for each in [(1, 2, 2), (2,), ()]]
    assert trigram_log_probs(labels, lens, trigram).tolist() == pytest.approx(expected)
