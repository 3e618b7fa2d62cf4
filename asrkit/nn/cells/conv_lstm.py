"""ConvLSTM: an LSTM whose states are maps over frequency, and whose products are convolutions.

    i_t = σ(W_i * x_t + U_i * h_{t-1} + p_i ∘ c_{t-1} + b_i)
    f_t = σ(W_f * x_t + U_f * h_{t-1} + p_f ∘ c_{t-1} + b_f)
    c_t = f_t ∘ c_{t-1} + i_t ∘ tanh(W_g * x_t + U_g * h_{t-1} + b_g)
    o_t = σ(W_o * x_t + U_o * h_{t-1} + p_o ∘ c_t + b_o)
    h_t = o_t ∘ tanh(c_t)

Shi et al., Convolutional LSTM Network: A Machine Learning Approach for Precipitation Nowcasting,
2015. There * runs over two axes of an image; here over the frequency axis of a frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrkit.nn.cells.cell import Cell, State
from asrkit.settings import ModelSettings

_KERNEL = 3
_STRIDE = 2


class ConvLstm(Cell):
    """Frames of F frequency bins to H maps of B = ⌈F/2⌉ bins, so that P = B * H.

    Its states are (D, N, P) like its output. The frames are so large that a step spends its time
    in their arithmetic; so autograd goes through the steps, at no loss.

    Attributes
    ----------
    input_weight
        (D, 4 * H, 3): kernels over the input, which is read at every second bin.
    recurrent_weight
        (D, 4 * H, 3 * H): kernels over the output before; columns are bin before map.
    peepholes
        (D, 3, B, 1, H): p_i, p_f and p_o, each with a value for every bin of every map.
    """

    num_gates = num_input_gates = num_recurrent_gates = 4
    forget_gate = 1

    def __init__(self, settings: ModelSettings, input_size: int, num_directions: int) -> None:
        maps = settings.model_copy(update={"hidden_size": settings.conv_channels})
        self.num_bins = (input_size + 1) // _STRIDE
        super().__init__(maps, _KERNEL, num_directions, self.num_bins * maps.hidden_size)
        self.recurrent_weight = self._parameter(4, _KERNEL * self.hidden_size)
        shape = num_directions, 3, self.num_bins, 1, self.hidden_size
        self.peepholes = nn.Parameter(torch.empty(shape))

    def forward(
        self, inputs: Sequence[Tensor], state: State | None = None
    ) -> tuple[tuple[Tensor, ...], State]:
        """Run from the first frame to the last; see `Cell.forward`."""
        _, batch, num_features = inputs[0].shape
        if state is None:
            zeros = inputs[0].new_zeros(self.num_directions, batch, self.output_size)
            state = zeros, zeros
        h, c = (self._as_maps(each) for each in state)
        mask = self.recurrent_mask(batch)
        mask = None if mask is None else self._as_maps(mask)
        # Bins stand before utterances, so that one bin's neighbour is N rows away.
        frames = F.pad(torch.stack(tuple(inputs), dim=1), (1, num_features % _STRIDE))
        windows = frames.unfold(-1, _KERNEL, _STRIDE).transpose(2, 3)  # (T, D, B, N, 3)
        weight = torch.cat([self.recurrent_weight, self.input_weight], dim=-1).transpose(1, 2)
        bias = self.bias[:, None]
        p_i, p_f, p_o = self.peepholes.unbind(1)

        outputs = []
        for t, window in enumerate(windows.unbind()):
            if self.truncate_frames and t % self.truncate_frames == 0:
                h, c = h.detach(), c.detach()
            heard = F.pad(h if mask is None else h * mask, (0, 0, 0, 0, 1, 1))
            bins = [heard[:, k : k + self.num_bins] for k in range(_KERNEL)]
            read = torch.cat([*bins, window], dim=-1).flatten(1, 2)
            gates = torch.baddbmm(bias, read, weight).view(*h.shape[:3], -1)
            i, f, g, o = gates.chunk(4, dim=-1)
            i = torch.addcmul(i, p_i, c).sigmoid()
            f = torch.addcmul(f, p_f, c).sigmoid()
            c = torch.addcmul(f * c, i, g.tanh())
            h = torch.addcmul(o, p_o, c).sigmoid() * c.tanh()
            outputs.append(h.transpose(1, 2).flatten(2))
        last = outputs[-1], c.transpose(1, 2).flatten(2)
        return tuple(torch.stack(outputs, dim=1).unbind()), last

    def _as_maps(self, state: Tensor) -> Tensor:
        """Map (D, N, P) to (D, B, N, H)."""
        return state.view(*state.shape[:2], self.num_bins, -1).transpose(1, 2)
