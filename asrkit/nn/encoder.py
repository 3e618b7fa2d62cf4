"""Front end and deep recurrent layers: what reads the features of an utterance."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

from torch import Tensor, nn

from asrkit.nn.connection import make_connection
from asrkit.nn.dropout import Dropout
from asrkit.nn.frontend import make_frontend
from asrkit.nn.recurrent import RecurrentLayer
from asrkit.nn.reversal import reversal_index
from asrkit.settings import ModelSettings


class RecurrentEncoder(nn.Module):
    """Features to the outputs of the last recurrent layer.

    Parameters
    ----------
    settings
        Cell, depth, width, direction, connections, dropout and front end.
    num_features
        F of the input.

    Attributes
    ----------
    output_size
        W, values of an output frame.
    """

    def __init__(self, settings: ModelSettings, num_features: int) -> None:
        super().__init__()
        self.frontend = make_frontend(settings, num_features)
        self.layers = nn.ModuleList()
        self.connections = nn.ModuleList()
        width = self.frontend.output_size
        for number in range(settings.num_layers):
            layer = RecurrentLayer(settings, width)
            width = layer.output_size
            self.layers.append(layer)
            self.connections.append(
                make_connection(settings.connection if number else "plain", width)
            )
        per_sequence = settings.dropout_per == "sequence"
        self.input_dropout = Dropout(settings.dropout if per_sequence else 0.0, "sequence")
        self.dropout = Dropout(settings.dropout, settings.dropout_per)
        self.output_size = width

    def out_lens(self, feat_lens: Tensor) -> Tensor:
        """Output frames of each utterance, (N,) int64."""
        return self.frontend.out_lens(feat_lens)

    def forward(self, feats: Tensor, feat_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the outputs of the last layer, after dropout.

        Parameters
        ----------
        feats
            (N, T, F) float32, zero beyond `feat_lens`.
        feat_lens
            (N,) int64.

        Returns
        -------
        frames
            (T', N, W), time-major; frames beyond `out_lens` mean nothing.
        out_lens
            (N,) int64.
        """
        depth = len(self.layers)
        outputs, out_lens = self.outputs_of({depth}, feats, feat_lens)
        return outputs[depth], out_lens

    def outputs_of(
        self, numbers: Collection[int], feats: Tensor, feat_lens: Tensor
    ) -> tuple[dict[int, Tensor], Tensor]:
        """Compute the same of some layers, by their numbers from 1; none above them is run."""
        out_lens = self.out_lens(feat_lens)
        if feats.shape[1] == 0:  # no utterance is as long as one analysis window
            nothing = feats.new_zeros(0, len(feats), self.output_size)
            return dict.fromkeys(numbers, nothing), out_lens
        frames = self.input_dropout(self.frontend(feats, feat_lens).transpose(0, 1))
        index = reversal_index(out_lens, len(frames))
        kept = {}
        layers = zip(self.layers, self.connections, strict=True)
        for number, (layer, connect) in enumerate(islice(layers, max(numbers)), start=1):
            frames = self.dropout(connect(frames, layer(frames, index)))
            if number in numbers:
                kept[number] = frames
        return kept, out_lens
