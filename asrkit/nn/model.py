"""The acoustic model: features, their normalisation and the network, from the waveform on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asrkit.features.extractor import FeatureExtractor
from asrkit.features.normalize import Normalizer
from asrkit.nn.network import CtcNetwork
from asrkit.nn.transducer import NextLabelNetwork, TransducerNetwork
from asrkit.settings import ModelSettings, Settings


class AcousticModel(nn.Module):
    """Everything between samples and a search, with the weights and statistics it needs.

    Parameters
    ----------
    settings
        Of the recipe; `data.sample_rate_hz`, `features` and `model` are used.
    vocab_size
        V, the blank included.
    speaker_names
        Speakers whose statistics the normaliser holds, for `features.normalization = "speaker"`.
    device
        Where weights and statistics are created; `"meta"` gives them no memory, until they are
        assigned.
    num_phones
        P, the blank included, for `model.phone_layer`.
    """

    def __init__(
        self,
        settings: Settings,
        vocab_size: int,
        speaker_names: Sequence[str] = (),
        device: str = "cpu",
        num_phones: int = 0,
    ) -> None:
        super().__init__()
        self.sample_rate_hz = settings.data.sample_rate_hz
        self.extractor = FeatureExtractor(settings.features, self.sample_rate_hz)
        num_features = self.extractor.num_features
        normalization = settings.features.normalization
        with torch.device(device):
            self.normalizer = Normalizer(normalization, num_features, speaker_names)
            self.network = _make_network(settings.model, num_features, vocab_size, num_phones)
        self.frame_s = self.extractor.frame_shift_s * settings.model.subsampling

    def out_lens(self, wave_lens: Tensor) -> Tensor:
        """Output frames for each number of samples, (N,) int64."""
        return self.network.out_lens(self.extractor.frame_lens(wave_lens))

    def features(
        self, waves: Tensor, wave_lens: Tensor, speakers: Sequence[str] = ()
    ) -> tuple[Tensor, Tensor]:
        """Compute normalised features (N, T, F), zero beyond the returned (N,) lengths."""
        feats, feat_lens = self.extractor(waves, wave_lens)
        return self.normalizer(feats, feat_lens, speakers), feat_lens

    def forward(
        self,
        waves: Tensor,
        wave_lens: Tensor,
        speakers: Sequence[str] = (),
        reads_phones: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Compute what a search needs of the samples.

        Parameters
        ----------
        waves
            (N, S) float32 in [-1, 1] at `sample_rate_hz`; samples beyond `wave_lens` are ignored.
        wave_lens
            (N,) int64.
        speakers
            One name an utterance, or none.
        reads_phones
            Whether phones are wanted of a network that has them, not tokens.

        Returns
        -------
        outputs
            Log-probabilities (N, T', V) float32, of phones (N, T', P); of a transducer, what its
            joint layer hears of each frame, (N, T', J). Frames beyond `out_lens` mean nothing.
        out_lens
            (N,) int64.
        """
        feats, feat_lens = self.features(waves, wave_lens, speakers)
        if not reads_phones:
            outputs, out_lens = self.network(feats, feat_lens)
            return outputs, out_lens
        assert isinstance(self.network, CtcNetwork)
        return self.network.read_phones(feats, feat_lens)


def _make_network(
    settings: ModelSettings, num_features: int, vocab_size: int, num_phones: int
) -> CtcNetwork | TransducerNetwork | NextLabelNetwork:
    match settings.kind:
        case "ctc":
            return CtcNetwork(settings, num_features, vocab_size, num_phones)
        case "transducer":
            return TransducerNetwork(settings, num_features, vocab_size)
        case "next_label":
            return NextLabelNetwork(settings, vocab_size)
