"""Long short-term memory with a forget gate, one direction, one layer, no padding mask.

    i_t = σ(W_i x_t + U_i h_{t-1} + b_i)        c_t = f_t ∘ c_{t-1} + i_t ∘ g_t
    f_t = σ(W_f x_t + U_f h_{t-1} + b_f)        h_t = o_t ∘ tanh(c_t)
    o_t = σ(W_o x_t + U_o h_{t-1} + b_o)
    g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)

Hochreiter & Schmidhuber, Long Short-Term Memory, 1997; the forget gate f is that of Gers,
Schmidhuber & Cummins, Learning to Forget, 2000.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from asrkit.nn.cells.cell import State
from asrkit.nn.cells.elementwise import ElementwiseCell
from asrkit.nn.cells.recurrence import Tensors
from asrkit.nn.cells.triton_lstm import LstmForm

_PERSISTENT_WIDTH = 128
_PERSISTENT_BATCH = 8


class Lstm(ElementwiseCell):
    """The default cell, computed by torch's fused kernels: oneDNN on CPU, cuDNN on a GPU.

    In float16 on a GPU, widths and batch are padded to the sizes for which cuDNN keeps the
    recurrent weights on the chip. Dropout of the recurrent connections and truncated gradients are
    not in those kernels; with them `ElementwiseCell` computes the same equations.
    """

    num_gates = num_input_gates = num_recurrent_gates = 4
    num_states = 1
    forget_gate = 1
    lstm_form = LstmForm()

    def forward(
        self, inputs: Sequence[Tensor], state: State | None = None
    ) -> tuple[Tensors, State]:
        """Run from the first frame to the last; see `Cell.forward`."""
        if self.truncate_frames or (self.training and self.recurrent_dropout):
            return super().forward(inputs, state)
        hidden, cell = state or self.initial_state(inputs[0], inputs[0].shape[1])
        run = lstm_on_padded_widths if _computes_in_float16_on_gpu(inputs[0]) else fused_lstm
        directions = zip(
            inputs, self.input_weight, self.recurrent_weight, self.bias, hidden, cell, strict=True
        )
        outputs, hiddens, cells = zip(*(run(*each) for each in directions), strict=True)
        return outputs, (torch.stack(hiddens), torch.stack(cells))

    def next_states(self, gates: Tensors, states: Tensors, parameters: Tensors) -> Tensors:
        """Compute c; gates i, f, g, o."""
        (i, f, g, _), (c,) = gates, states
        return (torch.addcmul(f.sigmoid() * c, i.sigmoid(), g.tanh()),)

    def output(
        self, gates: Tensors, before: Tensors, after: Tensors, parameters: Tensors
    ) -> Tensor:
        """Compute h."""
        (*_, o), (c,) = gates, after
        return o.sigmoid() * c.tanh()


def fused_lstm(
    frames: Tensor,
    input_weight: Tensor,
    recurrent_weight: Tensor,
    bias: Tensor,
    hidden: Tensor,
    cell: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute an LSTM in one direction by torch's kernel.

    Parameters
    ----------
    frames
        (T, N, F).
    input_weight, recurrent_weight, bias
        (4H, F), (4H, H) and (4H,), the rows of i, f, g and o in the order of torch.
    hidden, cell
        (N, H), before the first frame.

    Returns
    -------
    tuple of Tensor
        Outputs (T, N, H), and output and cell after the last frame, (N, H) each.
    """
    outputs, last_hidden, last_cell = torch.lstm(
        frames,
        (hidden[None], cell[None]),
        # torch's kernels add a second bias, which the equations do not have.
        (input_weight, recurrent_weight, bias, torch.zeros_like(bias)),
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=torch.is_grad_enabled(),
        bidirectional=False,
        batch_first=False,
    )
    return outputs, last_hidden[0], last_cell[0]


def lstm_on_padded_widths(
    frames: Tensor,
    input_weight: Tensor,
    recurrent_weight: Tensor,
    bias: Tensor,
    hidden: Tensor,
    cell: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Do as `fused_lstm`, with all sizes padded to those of cuDNN's persistent kernels.

    A padded unit has zero weights and biases: its candidate is tanh(0) = 0, so its cell and its
    output stay exactly zero, and the real units never see it.
    """
    hidden_size = recurrent_weight.shape[1]
    input_extra = -input_weight.shape[1] % _PERSISTENT_WIDTH
    hidden_extra = -hidden_size % _PERSISTENT_WIDTH
    batch = frames.shape[1]
    batch_extra = -batch % _PERSISTENT_BATCH

    def widen(weight: Tensor, column_extra: int) -> Tensor:
        gates = weight.view(4, hidden_size, -1)
        return F.pad(gates, (0, column_extra, 0, hidden_extra)).flatten(0, 1)

    outputs, last_hidden, last_cell = fused_lstm(
        F.pad(frames, (0, input_extra, 0, batch_extra)),
        widen(input_weight, input_extra),
        widen(recurrent_weight, hidden_extra),
        F.pad(bias.view(4, hidden_size), (0, hidden_extra)).flatten(),
        F.pad(hidden, (0, hidden_extra, 0, batch_extra)),
        F.pad(cell, (0, hidden_extra, 0, batch_extra)),
    )
    return (
        outputs[:, :batch, :hidden_size],
        last_hidden[:batch, :hidden_size],
        last_cell[:batch, :hidden_size],
    )


def _computes_in_float16_on_gpu(frames: Tensor) -> bool:
    autocast = torch.is_autocast_enabled("cuda")
    dtype = torch.get_autocast_dtype("cuda") if autocast else frames.dtype
    return frames.is_cuda and dtype == torch.float16
