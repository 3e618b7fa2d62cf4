"""The transducer loss against a sum over all alignments, in float64."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from asrkit.nn.transducer import Joint
from asrkit.train import transducer_loss
from asrkit.train.transducer_loss import transducer_nll

WIDTH, VOCABULARY = 4, 4


def brute_force_nll(log_probs: Tensor, labels: list[int]) -> Tensor:
    """Sum over every way to deal the labels out to the frames; log_probs are (T, U + 1, V)."""
    num_frames, total = len(log_probs), []
    for emitted_in in itertools.combinations_with_replacement(range(num_frames), len(labels)):
        path = log_probs.new_zeros(())
        done = 0
        for t in range(num_frames):
            for _ in range(emitted_in.count(t)):
                path = path + log_probs[t, done, labels[done]]
                done += 1
            path = path + log_probs[t, done, 0]
        total.append(path)
    return -torch.stack(total).logsumexp(dim=0)


class Case:
    """A batch of random frames and labels, all of different lengths."""

    def __init__(self, sizes: list[tuple[int, int]], seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.joint = Joint(3, 3, WIDTH, VOCABULARY)
        torch.nn.init.normal_(self.joint.output.weight, std=2.0)
        num_frames, num_labels = (max(column) for column in zip(*sizes, strict=True))
        self.out_lens, self.label_lens = torch.tensor(sizes).unbind(1)
        self.labels = torch.randint(1, VOCABULARY, (len(sizes), num_labels))
        self.from_frames = torch.randn(len(sizes), num_frames, WIDTH, requires_grad=True)
        self.from_labels = torch.randn(len(sizes), num_labels + 1, WIDTH, requires_grad=True)

    @property
    def leaves(self) -> list[Tensor]:
        return [self.from_frames, self.from_labels, *self.joint.output.parameters()]

    def nll(self) -> Tensor:
        return transducer_nll(
            self.joint,
            self.from_frames,
            self.out_lens,
            self.from_labels,
            self.labels,
            self.label_lens,
        )

    def expected(self) -> Tensor:
        """The same in float64, one utterance after the other."""
        weights = {name: value.double() for name, value in self.joint.named_parameters()}
        rows = []
        for n, (num_frames, num_labels) in enumerate(
            zip(self.out_lens.tolist(), self.label_lens.tolist(), strict=True)
        ):
            frames = self.from_frames[n, :num_frames, None].double()
            said = self.from_labels[n, None, : num_labels + 1].double()
            labels = self.labels[n, :num_labels].tolist()
            rows.append(
                brute_force_nll(functional_call(self.joint, weights, (frames, said)), labels)
            )
        return torch.stack(rows)


SIZES = [
    [(1, 0)],
    [(1, 3)],
    [(4, 0)],
    [(3, 2)],
    [(4, 3), (2, 1), (1, 0), (3, 3), (1, 2)],
    [(1, 3), (5, 0)],
    [(2, 0), (3, 0)],
]


@pytest.mark.parametrize("sizes", SIZES)
def test_it_is_the_sum_over_all_alignments(sizes: list[tuple[int, int]]) -> None:
    case = Case(sizes)
    torch.testing.assert_close(case.nll().double(), case.expected(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sizes", SIZES)
def test_its_gradient_is_that_of_the_sum(sizes: list[tuple[int, int]]) -> None:
    case = Case(sizes)
    weights = torch.arange(1.0, len(sizes) + 1)  # utterances count differently
    found = torch.autograd.grad((case.nll() * weights).sum(), case.leaves)
    expected = torch.autograd.grad((case.expected() * weights).sum(), case.leaves)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("at_once", [1, 100, 300])
def test_in_pieces_it_is_the_same(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    case = Case(SIZES[4])
    whole = case.nll()
    whole_gradient = torch.autograd.grad(whole.sum(), case.leaves)
    shapes = []
    joined_nll = transducer_loss._joined_nll

    def spy(joint: Joint, frames: Tensor, *others: Tensor) -> Tensor:
        shapes.append((len(frames), frames.shape[1], others[1].shape[1]))
        return joined_nll(joint, frames, *others)

    monkeypatch.setattr(transducer_loss, "_joined_nll", spy)
    monkeypatch.setattr(transducer_loss, "MAX_JOINED", at_once)
    pieces = case.nll()
    in_forward = list(shapes)
    gradient = torch.autograd.grad(pieces.sum(), case.leaves)
    assert len(in_forward) > 1
    assert len(shapes) == 2 * len(in_forward)  # computed again for the gradient
    assert all(n == 1 or n * t * u * WIDTH <= at_once for n, t, u in in_forward)
    assert sum(n for n, _, _ in in_forward) == len(SIZES[4])
    torch.testing.assert_close(pieces, whole, rtol=1e-6, atol=1e-6)
    for one, other in zip(gradient, whole_gradient, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_padding_is_not_read() -> None:
    case = Case(SIZES[4])
    clean = case.nll()
    with torch.no_grad():
        for n, (num_frames, num_labels) in enumerate(SIZES[4]):
            case.from_frames[n, num_frames:] = 1e3
            case.from_labels[n, num_labels + 1 :] = 1e3
            case.labels[n, num_labels:] = 1
    torch.testing.assert_close(case.nll(), clean, rtol=1e-6, atol=1e-6)


def test_long_utterances_stay_finite() -> None:
    case = Case([(600, 80), (1, 80), (600, 0)])
    nll = case.nll()
    gradients = torch.autograd.grad(nll.sum(), case.leaves)
    assert nll.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients)
    blanks = case.joint(case.from_frames[2], case.from_labels[2, 0])[:, 0].double()
    assert nll[2].item() == pytest.approx(-blanks.sum().item(), rel=1e-5)
