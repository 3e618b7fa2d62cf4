"""What stands between the features and the first recurrent layer, and its integer lengths."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from asrkit.features.padding import valid_positions
from asrkit.nn.cells.conv_lstm import ConvLstm
from asrkit.nn.reversal import reversal_index, reverse
from asrkit.settings import ModelSettings


def make_frontend(settings: ModelSettings, num_features: int) -> Frontend:
    """Build the front end that `model.frontend` names."""
    match settings.frontend:
        case "none":
            return FrameStack(num_features, 1)
        case "stack":
            return FrameStack(num_features, settings.subsampling)
        case "conv":
            return ConvFrontend(num_features, settings.conv_channels, settings.subsampling)
        case "conv_lstm":
            return ConvLstmFrontend(settings, num_features)


class Frontend(nn.Module):
    """Base: (N, T, F) features to (N, T', F') with T' = ⌈T / subsampling⌉, for every utterance."""

    output_size: int

    def __init__(self, subsampling: int) -> None:
        super().__init__()
        self.subsampling = subsampling

    def out_lens(self, feat_lens: Tensor) -> Tensor:
        """Frames after subsampling, (N,) int64."""
        return (feat_lens + self.subsampling - 1) // self.subsampling


class FrameStack(Frontend):
    """Join `subsampling` neighbouring frames into one vector; the last is completed by zeros.

    Sak, Senior, Rao & Beaufays, Fast and Accurate Recurrent Neural Network Acoustic Models for
    Speech Recognition, 2015, stack eight frames and keep every third; here nothing overlaps.
    """

    def __init__(self, num_features: int, subsampling: int) -> None:
        super().__init__(subsampling)
        self.output_size = num_features * subsampling

    def forward(self, feats: Tensor, feat_lens: Tensor) -> Tensor:
        """Map (N, T, F), zero beyond `feat_lens`, to (N, ⌈T/k⌉, kF)."""
        del feat_lens
        batch, num_frames, _ = feats.shape
        padded = F.pad(feats, (0, 0, 0, -num_frames % self.subsampling))
        return padded.reshape(batch, -1, self.output_size)


class ConvFrontend(Frontend):
    """Two 3x3 convolutions over time and frequency with ReLU, as in Deep Speech 2 (2016).

    Each halves the frequency axis; the first, and for a subsampling of 4 also the second, halves
    the time axis. Frames beyond an utterance's end are set to zero before each convolution, so
    that padding is never told from the silence outside a recording.
    """

    def __init__(self, num_features: int, channels: int, subsampling: int) -> None:
        super().__init__(subsampling)
        strides = (2 if subsampling >= 2 else 1, 2 if subsampling == 4 else 1)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, channels, kernel_size=3, stride=(stride, 2), padding=1)
            for inputs, stride in zip((1, channels), strides, strict=True)
        )
        self.strides = strides
        self.output_size = channels * ((((num_features + 1) // 2) + 1) // 2)

    def forward(self, feats: Tensor, feat_lens: Tensor) -> Tensor:
        """Map (N, T, F), zero beyond `feat_lens`, to (N, T', C * F/4)."""
        maps = feats[:, None]
        lens = feat_lens
        for convolution, stride in zip(self.convolutions, self.strides, strict=True):
            maps = convolution(maps)
            lens = (lens + stride - 1) // stride
            is_valid = valid_positions(lens, maps.shape[2])[:, None, :, None]
            # In place: the maps of a long recording are the most memory that recognition takes.
            maps = maps.mul_(is_valid).relu_()
        return maps.transpose(1, 2).flatten(2)


class ConvLstmFrontend(Frontend):
    """A recurrence over maps of the frequency axis, in the directions of the layers behind it.

    Two directions are summed, not joined, which keeps the first recurrent layer half as large
    (Amodei et al., Deep Speech 2, 2016, sum the directions of their recurrent layers).
    """

    def __init__(self, settings: ModelSettings, num_features: int) -> None:
        super().__init__(subsampling=1)
        self.cell = ConvLstm(settings, num_features, 2 if settings.bidirectional else 1)
        self.cell.initialize(settings)
        self.output_size = self.cell.output_size

    def forward(self, feats: Tensor, feat_lens: Tensor) -> Tensor:
        """Map (N, T, F) to (N, T, C * ⌈F/2⌉); frames beyond `feat_lens` mean nothing."""
        frames = feats.transpose(0, 1)
        if self.cell.num_directions == 1:
            outputs: Tensor = self.cell([frames])[0][0]
        else:
            index = reversal_index(feat_lens, len(frames))
            (forwards, backwards), _ = self.cell([frames, reverse(frames, index)])
            outputs = forwards + reverse(backwards, index)
        return outputs.transpose(0, 1)
