"""Long short-term memory with a forget gate, one direction, one layer, no padding mask.

    i_t = σ(W_i x_t + U_i h_{t-1} + b_i)        c_t = f_t ∘ c_{t-1} + i_t ∘ g_t
    f_t = σ(W_f x_t + U_f h_{t-1} + b_f)        h_t = o_t ∘ tanh(c_t)
    o_t = σ(W_o x_t + U_o h_{t-1} + b_o)
    g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)

Hochreiter & Schmidhuber, Long Short-Term Memory, 1997; the forget gate f is that of Gers,
Schmidhuber & Cummins, Learning to Forget, 2000.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_PERSISTENT_WIDTH = 128
_PERSISTENT_BATCH = 8


class Lstm(nn.Module):
    """The recurrence over a padded, time-major batch: (T, N, F) -> (T, N, H).

    Computed by torch's fused kernels: oneDNN on CPU, cuDNN on a GPU. In float16 on a GPU, widths
    and batch are padded to the sizes for which cuDNN keeps the recurrent weights on the chip.

    Parameters
    ----------
    input_size, hidden_size
        F and H.

    Attributes
    ----------
    input_weight, recurrent_weight
        W (4H, F) and U (4H, H): the rows of i, f, g and o, in this order.
    bias
        (4H,).
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.input_weight = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.recurrent_weight = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        bound = 1.0 / math.sqrt(hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)
        with torch.no_grad():
            # An open forget gate lets gradients through long before the gate has learnt to.
            self.bias[hidden_size : 2 * hidden_size] = 1.0

    def forward(self, frames: Tensor) -> Tensor:
        """Run from the first frame to the last, starting from zero states."""
        weights = [self.input_weight, self.recurrent_weight, self.bias]
        if frames.is_cuda and _computes_in_float16(frames):
            return lstm_on_padded_widths(frames, weights)
        return _fused_lstm(frames, weights)


def lstm_on_padded_widths(frames: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Compute an LSTM with input, hidden and batch sizes padded for cuDNN's persistent kernels.

    A padded unit has zero weights and biases: its candidate is tanh(0) = 0, so its cell and its
    output stay exactly zero, and the real units never see it.

    Parameters
    ----------
    frames
        (T, N, F).
    weights
        `input_weight`, `recurrent_weight` and `bias` of an `Lstm`.

    Returns
    -------
    Tensor
        (T, N, H).
    """
    input_weight, recurrent_weight, bias = weights
    hidden_size = recurrent_weight.shape[1]
    input_extra = -input_weight.shape[1] % _PERSISTENT_WIDTH
    hidden_extra = -hidden_size % _PERSISTENT_WIDTH

    def widen(weight: Tensor, column_extra: int) -> Tensor:
        gates = weight.view(4, hidden_size, -1)
        return F.pad(gates, (0, column_extra, 0, hidden_extra)).flatten(0, 1)

    padded = [
        widen(input_weight, input_extra),
        widen(recurrent_weight, hidden_extra),
        F.pad(bias.view(4, hidden_size), (0, hidden_extra)).flatten(),
    ]
    batch = frames.shape[1]
    frames = F.pad(frames, (0, input_extra, 0, -batch % _PERSISTENT_BATCH))
    return _fused_lstm(frames, padded)[:, :batch, :hidden_size]


def _fused_lstm(frames: Tensor, weights: Sequence[Tensor]) -> Tensor:
    input_weight, recurrent_weight, bias = weights
    zero_state = frames.new_zeros(1, frames.shape[1], recurrent_weight.shape[1])
    hidden, _, _ = torch.lstm(
        frames,
        (zero_state, zero_state),
        # torch's kernels add a second bias, which the equations do not have.
        (input_weight, recurrent_weight, bias, torch.zeros_like(bias)),
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=torch.is_grad_enabled(),
        bidirectional=False,
        batch_first=False,
    )
    return hidden


def _computes_in_float16(frames: Tensor) -> bool:
    autocast = torch.is_autocast_enabled("cuda")
    return (torch.get_autocast_dtype("cuda") if autocast else frames.dtype) == torch.float16
