"""What the beam search hears of each frame: likelihoods, as far as posteriors can tell them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from asrkit.errors import UsageError
from asrkit.settings import DecodeSettings


def scaled_likelihoods(log_probs: Tensor, settings: DecodeSettings) -> Tensor:
    """Make the network less sure of itself, and divide its posteriors by priors.

    A language model is to be combined with p(frame | symbol), which is proportional to
    p(symbol | frame) / p(symbol) (Bourlard & Morgan 1994; for CTC: Miao et al. 2015). A network
    that has learned its training speech by heart is too sure of other speech; dividing its
    logits by a temperature corrects that (Guo et al. 2017).

    Parameters
    ----------
    log_probs : Tensor, shape (..., V)
        Log-posteriors.
    settings : DecodeSettings
        `posterior_temperature`, `prior_weight` and `log_priors` are read.

    Returns
    -------
    Tensor, shape (..., V)
        log_softmax(log_probs / temperature - weight * log_priors): normalised again, by a constant
        of the frame that no hypothesis is better for.

    Raises
    ------
    UsageError
        If there is not one prior for each symbol.
    """
    if settings.posterior_temperature == 1 and settings.prior_weight == 0:
        return log_probs
    scaled = log_probs / settings.posterior_temperature
    if settings.prior_weight:
        num_priors, num_symbols = len(settings.log_priors), log_probs.shape[-1]
        if num_priors != num_symbols:
            raise UsageError(
                f"decode.log_priors has {num_priors} numbers, but {num_symbols} symbols are read; "
                "measure them anew by asrkit tune, or set decode.prior_weight to 0"
            )
        scaled = scaled - settings.prior_weight * scaled.new_tensor(settings.log_priors)
    return scaled.log_softmax(dim=-1)


def measure_log_priors(log_probs: Sequence[Tensor]) -> tuple[float, ...]:
    """Take the mean posterior of each symbol over all frames of utterances (T, V), as logarithms.

    Each symbol is counted one frame more than was seen, lest a rare one be thought impossible.
    """
    sums = sum(each.double().exp().sum(dim=0) for each in log_probs)
    assert isinstance(sums, Tensor)
    counts = sums + 1
    return tuple(round(math.log(share), 4) for share in (counts / counts.sum()).tolist())
