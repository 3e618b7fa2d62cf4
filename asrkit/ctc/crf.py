"""CTC as a conditional random field: labels against all others that a trigram model thinks likely.

CTC alone asks that the network give the labels of an utterance much probability. In recognition it
is multiplied by that of a language model, and others may then have more. Here the two are
multiplied in training already, and what counts is the share of the labels in the sum of the
products over all label sequences (Xiang & Ou, CRF-based Single-stage Acoustic Modeling with CTC
Topology, ICASSP 2019).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from asrkit.ctc.crf_loops import forward_backward
from asrkit.data.tokens import TokenTable


def ctc_crf_excess(
    log_probs: Tensor, out_lens: Tensor, labels: Tensor, label_lens: Tensor, trigram: Tensor
) -> Tensor:
    """How much longer labels are in nats when they are to be told from all other sequences.

    Added to CTC's -log p(labels | x), it gives -log of p(labels | x) p(labels) / sum of p(l | x)
    p(l) over all label sequences l, equation 4 of Xiang & Ou (2019); p(l | x) is CTC's and p(l) a
    language model's.

    Parameters
    ----------
    log_probs, out_lens, labels, label_lens
        As for `asrkit.ctc.loss.ctc_nll`.
    trigram : Tensor, shape (V, V, V)
        As for `log_normalizer`.

    Returns
    -------
    Tensor, shape (N,)
        Nats per utterance, of either sign.
    """
    return log_normalizer(log_probs, out_lens, trigram) - trigram_log_probs(
        labels, label_lens, trigram
    )


def trigram_log_probs(labels: Tensor, label_lens: Tensor, trigram: Tensor) -> Tensor:
    """Log-probability of label sequences (N, L) and their ends under a trigram model, (N,)."""
    num_sequences, longest = labels.shape
    edge = labels.new_full((num_sequences, 2), TokenTable.blank_id)
    place = torch.arange(longest + 3, device=labels.device)
    padded = torch.cat([edge, labels, edge[:, :1]], dim=1)
    padded = padded.where(place < 2 + label_lens[:, None], TokenTable.blank_id)
    each = trigram[padded[:, :-2], padded[:, 1:-1], padded[:, 2:]].log()
    return each.where(place[:-2] <= label_lens[:, None], 0).sum(dim=1)


def log_normalizer(log_probs: Tensor, out_lens: Tensor, trigram: Tensor) -> Tensor:
    """Sum CTC's probability times a trigram model's over all label sequences.

    Parameters
    ----------
    log_probs : Tensor, shape (N, T, V)
        As for `asrkit.ctc.loss.ctc_nll`.
    out_lens : Tensor, shape (N,), int64
        Valid frames of each utterance, 0 to T.
    trigram : Tensor, shape (V, V, V)
        p(c | a, b); the blank's id is the sentence's start as a or b, and its end as c.

    Returns
    -------
    Tensor, shape (N,)
        Nats, below 0. Differentiable once by `log_probs`.
    """
    total: Tensor = _LogNormalizer.apply(log_probs, out_lens, trigram)  # type: ignore[no-untyped-call]
    return total


class _LogNormalizer(torch.autograd.Function):
    """Its gradient is the share of each label and of the blank in each frame."""

    @staticmethod
    def forward(ctx: Any, log_probs: Tensor, out_lens: Tensor, trigram: Tensor) -> Tensor:
        probs = log_probs.exp()
        follows = trigram.to(probs).transpose(0, 1).clone(memory_format=torch.contiguous_format)
        ends = follows[:, :, TokenTable.blank_id].clone()
        follows[:, :, TokenTable.blank_id] = 0
        sweep = _sweep_by_loops if probs.device.type == "cpu" else sweep_by_frames
        total, occupied = sweep(probs, out_lens, follows, ends)
        ctx.save_for_backward(occupied)
        return total

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor, None, None]:
        (occupied,) = ctx.saved_tensors
        return occupied * grad_total[:, None, None], None, None


def _sweep_by_loops(
    probs: Tensor, out_lens: Tensor, follows: Tensor, ends: Tensor
) -> tuple[Tensor, Tensor]:
    """Do as `sweep_by_frames`, utterance by utterance."""
    occupied = torch.zeros_like(probs)
    totals = []
    for each, shares, length in zip(
        probs.numpy(), occupied.numpy(), out_lens.tolist(), strict=True
    ):
        log_total, shares[:length] = forward_backward(each[:length], follows.numpy(), ends.numpy())
        totals.append(log_total)
    return probs.new_tensor(totals), occupied


def sweep_by_frames(
    probs: Tensor, out_lens: Tensor, follows: Tensor, ends: Tensor
) -> tuple[Tensor, Tensor]:
    """Run the forward-backward algorithm on all utterances at once, frame by frame.

    Its states (b, n, a) are the last label b, and a before it, held if the frame before was b, or
    rested if that was a blank: the first half and the second of the last dimension. Both passes are
    scaled in each frame lest they vanish.

    Parameters
    ----------
    probs : Tensor, shape (N, T, V)
        Probabilities of the labels and of the blank.
    out_lens : Tensor, shape (N,), int64
        Valid frames.
    follows : Tensor, shape (V, V, V)
        p(c | a, b) at (b, a, c), and 0 where c is the blank.
    ends : Tensor, shape (V, V)
        p(end | a, b) at (b, a).

    Returns
    -------
    total : Tensor, shape (N,)
        Nats.
    occupied : Tensor, shape (N, T, V)
        Probability that a frame is one of a label or of the blank; 0 beyond the end.
    """
    heard = probs.permute(1, 2, 0)[..., None]  # (T, V, N, 1)
    num_frames, size, num, _ = heard.shape
    blank = TokenTable.blank_id
    # A held label is followed by another, or by itself in the same state; a rested one by any.
    itself = torch.eye(size, dtype=torch.bool, device=heard.device)
    follows = torch.cat([follows.masked_fill(itself[:, None], 0), follows], dim=1)
    ends = ends[:, None].repeat(1, num, 2)

    states = heard.new_zeros(size, num, 2 * size)
    states[blank, :, size + blank] = 1
    total = heard.new_zeros(num)
    all_states = heard.new_empty(num_frames, *states.shape)
    for frame, each in enumerate(heard):
        held, rested = torch.split(states, size, dim=2)
        grown = torch.bmm(states, follows).permute(2, 1, 0)
        after = torch.cat([(grown + held) * each, (held + rested) * each[blank]], dim=2)
        scale = after.sum(dim=(0, 2))
        is_valid = frame < out_lens
        total += scale.log().where(is_valid, 0)
        states = (after / scale[:, None]).where(is_valid[:, None], states)
        all_states[frame] = states
    total += (states * ends).sum(dim=(0, 2)).log()

    leads_to = follows.transpose(1, 2).contiguous()
    futures = ends  # of each state, up to a factor
    occupied = torch.zeros_like(heard[..., 0])
    for frame in reversed(range(num_frames)):
        is_valid = frame < out_lens
        shares = all_states[frame] * futures
        shares /= shares.sum(dim=(0, 2))[:, None]
        held, rested = torch.split(shares, size, dim=2)
        occupied[frame] = held.sum(dim=2)
        occupied[frame, blank] += rested.sum(dim=(0, 2))
        occupied[frame] *= is_valid
        held, rested = torch.split(futures, size, dim=2)
        held, rested = held * heard[frame], rested * heard[frame, blank]
        before = torch.bmm(held.permute(2, 1, 0).contiguous(), leads_to) + rested.repeat(1, 1, 2)
        before[:, :, :size] += held
        before /= before.sum(dim=(0, 2))[:, None]
        futures = before.where(is_valid[:, None], futures)
    return total, occupied.permute(2, 0, 1)
