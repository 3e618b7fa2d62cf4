"""The CTC loss: minus the log-probability of a labelling, summed over all its alignments."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.data.tokens import TokenTable


def ctc_nll(
    log_probs: Tensor,
    out_lens: Tensor,
    labels: Tensor,
    label_lens: Tensor,
    impossible_is_zero: bool = False,
) -> Tensor:
    """Negative log-likelihood of each utterance's labels under CTC.

    Parameters
    ----------
    log_probs : Tensor, shape (N, T, V), floating point
        Log-probabilities, as `log_softmax` over V makes them. Computed in float32, or in float64
        if that is given. Frames from `out_lens` on are never read and get gradient 0.
    out_lens : Tensor, shape (N,), int64
        Valid frames of each utterance, 0 to T.
    labels : Tensor, shape (N, L), int64
        Token ids without blanks. Entries from `label_lens` on are never read.
    label_lens : Tensor, shape (N,), int64
        Labels of each utterance, 0 to L. An utterance without labels is one that is all blank.
    impossible_is_zero : bool
        Let an utterance whose labels do not fit into its frames have no loss and teach nothing.

    Returns
    -------
    Tensor, shape (N,)
        Nats per utterance, not divided by its labels or frames. `inf`, with a gradient of NaN,
        where `out_lens` is below `frames_needed`: call `check_feasible` before training. Without
        frames the loss is 0 if there are no labels either.

    Notes
    -----
    Graves, Fernández, Gomez, Schmidhuber, "Connectionist temporal classification" (ICML 2006),
    section 4.1. The gradient is correct only through the `log_softmax` that made `log_probs`:
    PyTorch folds that function's derivative into this one's.
    """
    if log_probs.dtype != torch.float64:
        log_probs = log_probs.float()
    if log_probs.shape[1] == 0:  # PyTorch refuses an empty tensor; a frame nobody reads is harmless
        log_probs = F.pad(log_probs, (0, 0, 0, 1))
    # int64 labels keep CUDA on PyTorch's own kernel. cuDNN's, which takes int32 labels, gives NaN
    # gradients where the model is very sure (pytorch#21680).
    return F.ctc_loss(
        log_probs.transpose(0, 1),
        labels.long(),
        out_lens,
        label_lens,
        blank=TokenTable.blank_id,
        reduction="none",
        zero_infinity=impossible_is_zero,
    )
