"""The transducer loss: minus the log-probability of a labelling, summed over all its alignments."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torchaudio.functional import rnnt_loss

from asrkit.data.tokens import TokenTable
from asrkit.nn.transducer import Joint

MAX_JOINED = 1 << 26
"""Values of the joint layer that are computed at once, N x T x (L + 1) x J: 256 MiB in float32, and
about three times that while the gradient is taken."""


def transducer_nll(
    joint: Joint,
    from_frames: Tensor,
    out_lens: Tensor,
    from_labels: Tensor,
    labels: Tensor,
    label_lens: Tensor,
) -> Tensor:
    """Negative log-likelihood of each utterance's labels.

    A batch whose lattices would take too much memory together is computed in pieces, of which only
    the results are kept; the gradient then computes them again, one after the other.

    Parameters
    ----------
    joint
        Gives the probabilities in every point of the lattice.
    from_frames : Tensor, shape (N, T, J)
        What the joint layer hears from each frame; frames from `out_lens` on are never read.
    out_lens : Tensor, shape (N,), int64
        Valid frames, 1 to T.
    from_labels : Tensor, shape (N, L + 1, J)
        What it hears from the labels before each label and after the last.
    labels : Tensor, shape (N, L), int64
        Entries from `label_lens` on are never read.
    label_lens : Tensor, shape (N,), int64
        0 to L.

    Returns
    -------
    Tensor, shape (N,)
        Nats per utterance, float32.

    Notes
    -----
    Graves, Sequence Transduction with Recurrent Neural Networks, 2012.
    """
    frame_counts, label_counts = out_lens.tolist(), label_lens.tolist()
    pieces = list(_pieces(frame_counts, label_counts, from_frames.shape[-1]))
    losses = []
    for piece in pieces:
        num_frames, num_labels = max(frame_counts[piece]), max(label_counts[piece])
        arguments = (
            joint,
            from_frames[piece, :num_frames],
            out_lens[piece],
            from_labels[piece, : num_labels + 1],
            labels[piece, :num_labels],
            label_lens[piece],
        )
        if len(pieces) > 1 and torch.is_grad_enabled():
            losses.append(
                checkpoint(_joined_nll, *arguments, use_reentrant=False, preserve_rng_state=False)
            )
        else:
            losses.append(_joined_nll(*arguments))
    return torch.cat(losses)


def _pieces(frame_counts: list[int], label_counts: list[int], width: int) -> Iterator[slice]:
    """Cut a batch into stretches of at least one utterance and at most `MAX_JOINED` values."""
    start = 0
    while start < len(frame_counts):
        stop = start + 1
        while stop < len(frame_counts):
            longer = slice(start, stop + 1)
            points = max(frame_counts[longer]) * (max(label_counts[longer]) + 1)
            if (stop + 1 - start) * points * width > MAX_JOINED:
                break
            stop += 1
        yield slice(start, stop)
        start = stop


def _joined_nll(
    joint: Joint,
    from_frames: Tensor,
    out_lens: Tensor,
    from_labels: Tensor,
    labels: Tensor,
    label_lens: Tensor,
) -> Tensor:
    """Compute the loss of utterances whose longest fill T and L."""
    log_probs = joint(from_frames[:, :, None], from_labels[:, None]).float()
    # Of all V only the blank and the one label to come matter in each point. With these two alone
    # torchaudio's kernel, which takes one value after the other, is several times faster on a CPU.
    following = F.pad(labels, (0, 1))[:, None, :, None].expand(-1, log_probs.shape[1], -1, -1)
    blank = log_probs[..., TokenTable.blank_id, None]
    nll: Tensor = rnnt_loss(
        torch.cat([blank, log_probs.gather(-1, following)], dim=-1),
        torch.ones_like(labels, dtype=torch.int32),
        out_lens.int(),
        label_lens.int(),
        blank=0,
        reduction="none",
        fused_log_softmax=False,
    )
    return nll
