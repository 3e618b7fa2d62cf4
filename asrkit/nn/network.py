"""The network that CTC trains: an encoder and an output layer."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrkit.nn.encoder import RecurrentEncoder
from asrkit.nn.initialization import initialize_outside_cells
from asrkit.settings import ModelSettings


class CtcNetwork(nn.Module):
    """Features to log-probabilities over the tokens and the blank, in training and afterwards.

    Parameters
    ----------
    settings
        Of the model.
    num_features
        F of the input.
    vocab_size
        V, the blank included.
    """

    def __init__(self, settings: ModelSettings, num_features: int, vocab_size: int) -> None:
        super().__init__()
        self.encoder = RecurrentEncoder(settings, num_features)
        self.output = nn.Linear(self.encoder.output_size, vocab_size)
        initialize_outside_cells(self, settings)

    def out_lens(self, feat_lens: Tensor) -> Tensor:
        """Output frames of each utterance, (N,) int64."""
        return self.encoder.out_lens(feat_lens)

    def forward(self, feats: Tensor, feat_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-probabilities.

        Parameters
        ----------
        feats
            (N, T, F) float32, zero beyond `feat_lens`.
        feat_lens
            (N,) int64.

        Returns
        -------
        log_probs
            (N, T', V) float32; frames beyond `out_lens` mean nothing.
        out_lens
            (N,) int64.
        """
        frames, out_lens = self.encoder(feats, feat_lens)
        return self._read_out(frames), out_lens

    def read_layers(
        self, numbers: Collection[int], feats: Tensor, feat_lens: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Compute the log-probabilities that the output layer reads off the last layer and others.

        Parameters
        ----------
        numbers
            Of the others, counted from 1.
        feats, feat_lens
            As in `forward`.

        Returns
        -------
        log_probs
            (N, T', V) each, in the order of the layers; the last is that of `forward`.
        out_lens
            (N,) int64.
        """
        wanted = {*numbers, len(self.encoder.layers)}
        outputs, out_lens = self.encoder.outputs_of(wanted, feats, feat_lens)
        return [self._read_out(frames) for frames in outputs], out_lens

    def _read_out(self, frames: Tensor) -> Tensor:
        """Map (T', N, W) frames to (N, T', V) log-probabilities."""
        scores = self.output(frames)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return F.log_softmax(scores, dim=-1).transpose(0, 1)
