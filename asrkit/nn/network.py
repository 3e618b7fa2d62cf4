"""The network that CTC trains: an encoder and an output layer, or two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrkit.nn.encoder import RecurrentEncoder
from asrkit.nn.initialization import initialize_outside_cells
from asrkit.settings import ModelSettings


@dataclass(frozen=True)
class Readings:
    """What output layers read off recurrent layers.

    Attributes
    ----------
    tokens
        Log-probabilities off the last layer, (N, T', V) float32.
    intermediate
        The same off layers below, each likewise.
    phones
        Log-probabilities (N, T', P) float32; None of a network without phones.
    out_lens
        Valid frames of each utterance, (N,) int64.
    """

    tokens: Tensor
    intermediate: list[Tensor]
    phones: Tensor | None
    out_lens: Tensor


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
    num_phones
        P, the blank included, of a second output layer at `settings.phone_layer`.

    Attributes
    ----------
    encoder
        All recurrent layers, or those up to `settings.phone_layer`.
    speller
        Those above it, where they read phones; otherwise None.
    """

    def __init__(
        self, settings: ModelSettings, num_features: int, vocab_size: int, num_phones: int = 0
    ) -> None:
        super().__init__()
        self.phone_layer = settings.phone_layer
        self.speller: RecurrentEncoder | None = None
        if settings.spells_from == "phones":
            below, above = _split(settings)
            self.encoder = RecurrentEncoder(below, num_features)
            self.speller = RecurrentEncoder(above, num_phones)
        else:
            self.encoder = RecurrentEncoder(settings, num_features)
        self.output = nn.Linear(self.encoder.output_size, vocab_size)
        self.phone_output = nn.Linear(self.encoder.output_size, num_phones) if num_phones else None
        initialize_outside_cells(self, settings)

    def out_lens(self, feat_lens: Tensor) -> Tensor:
        """Output frames of each utterance, (N,) int64."""
        return self.encoder.out_lens(feat_lens)

    def forward(self, feats: Tensor, feat_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-probabilities of tokens.

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
        if self.speller is not None:
            phones, out_lens = self.read_phones(feats, feat_lens)
            return self.spell(phones.exp(), out_lens), out_lens
        frames, out_lens = self.encoder(feats, feat_lens)
        return _read_off(frames, self.output), out_lens

    def spell(self, phones: Tensor, out_lens: Tensor) -> Tensor:
        """Compute log-probabilities of tokens (N, T', V) of posteriors of phones (N, T', P).

        What is learned here is not passed on to what hears phones.
        """
        assert self.speller is not None
        frames, _ = self.speller(phones.detach(), out_lens)
        return _read_off(frames, self.output)

    def read_phones(self, feats: Tensor, feat_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-probabilities of phones, (N, T', P); layers above theirs are not run."""
        assert self.phone_output is not None
        outputs, out_lens = self.encoder.outputs_of({self.phone_layer}, feats, feat_lens)
        return _read_off(outputs[self.phone_layer], self.phone_output), out_lens

    def read_all(
        self, feats: Tensor, feat_lens: Tensor, intermediate_layers: Sequence[int] = ()
    ) -> Readings:
        """Compute what training is about: tokens, phones, and tokens off further layers.

        Parameters
        ----------
        feats, feat_lens
            As in `forward`.
        intermediate_layers
            The further ones, counted from 1; the output layer is that of the last.
        """
        if self.speller is not None:
            heard, out_lens = self.read_phones(feats, feat_lens)
            return Readings(self.spell(heard.exp(), out_lens), [], heard, out_lens)
        depth = len(self.encoder.layers)
        wanted = {depth, *intermediate_layers}
        if self.phone_output is not None:
            wanted.add(self.phone_layer)
        outputs, out_lens = self.encoder.outputs_of(wanted, feats, feat_lens)
        return Readings(
            _read_off(outputs[depth], self.output),
            [_read_off(outputs[number], self.output) for number in intermediate_layers],
            None
            if self.phone_output is None
            else _read_off(outputs[self.phone_layer], self.phone_output),
            out_lens,
        )


def _split(settings: ModelSettings) -> tuple[ModelSettings, ModelSettings]:
    """Give the settings of the layers that hear phones, and of those that spell them."""
    num_below = settings.phone_layer
    above = {"num_layers": settings.num_layers - num_below, "frontend": "none", "subsampling": 1}
    return (
        settings.model_copy(update={"num_layers": num_below}),
        settings.model_copy(update=above),
    )


def _read_off(frames: Tensor, layer: nn.Linear) -> Tensor:
    """Map (T', N, W) frames to (N, T', V) log-probabilities."""
    scores = layer(frames)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    return F.log_softmax(scores, dim=-1).transpose(0, 1)
