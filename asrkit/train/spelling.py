"""Layers that spell phones learn from text, by phones as the layers below heard others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from asrkit.ctc.feasibility import frames_needed
from asrkit.ctc.loss import ctc_nll
from asrkit.data.audio_cache import AudioCache
from asrkit.data.batching import batches_of_epoch
from asrkit.data.dataset import Batch, load_batches
from asrkit.data.manifest import Utterance
from asrkit.data.pronunciation import Pronunciations
from asrkit.errors import DataError
from asrkit.nn.model import AcousticModel
from asrkit.nn.network import CtcNetwork
from asrkit.settings import Settings
from asrkit.train.augment import training_features
from asrkit.train.objective import CtcObjective, Features, Measured
from asrkit.train.seeding import seed_everything
from asrkit.train.sounds import Sounds

_LISTENING_S = 7200.0
"""So much speech gives enough sounds."""


class SpellingObjective(CtcObjective):
    """CTC of the tokens of a sentence, of what the network might hear of its phones.

    Parameters
    ----------
    network
        With `model.spells_from = "phones"`.
    sounds
        To make up what it hears.
    """

    def __init__(self, network: CtcNetwork, sounds: Sounds) -> None:
        super().__init__(network)
        self.sounds = sounds

    def measure(self, batch: Batch, features: Features) -> Measured:
        """Make up phones, and sum over all alignments; features are not computed.

        A sentence that was made up too short for its tokens has no loss.
        """
        del features
        probs, out_lens = self.sounds.make_up(batch.phones, batch.phone_lens)
        log_probs = self.network.spell(probs, out_lens)
        nll = ctc_nll(log_probs, out_lens, batch.labels, batch.label_lens, impossible_is_zero=True)
        return Measured(nll, log_probs, out_lens, loss=nll)


def turn_to_text(
    model: AcousticModel,
    utterances: Sequence[Utterance],
    pronunciations: Pronunciations,
    settings: Settings,
) -> tuple[SpellingObjective, str]:
    """Keep all weights but those that spell as they are, and give what trains these, and a remark.

    Parameters and errors are those of `collect_sounds`.
    """
    network = model.network
    assert isinstance(network, CtcNetwork)
    assert network.speller is not None
    network.requires_grad_(False)
    network.speller.requires_grad_(True)
    network.output.requires_grad_(True)
    sounds = collect_sounds(model, utterances, pronunciations, settings)
    remark = (
        f"to be made of {sounds.num_sounds} sounds, of which the network is "
        f"{100 * sounds.mean_posterior:.0f} % sure on average"
    )
    return SpellingObjective(network, sounds), remark


def collect_sounds(
    model: AcousticModel,
    utterances: Sequence[Utterance],
    pronunciations: Pronunciations,
    settings: Settings,
) -> Sounds:
    """Let a network hear some of its training speech, as it would in recognition.

    The speech is augmented as `[augment]` says, that phones be heard as badly as those of others.

    Parameters
    ----------
    model
        With the weights that hear.
    utterances, pronunciations
        Of the training set.
    settings
        `augment`, `data` and `recipe.seed` are used.

    Raises
    ------
    DataError
        If no utterance has phones that fit into its frames.
    """
    network, device = model.network, next(model.parameters()).device
    assert isinstance(network, CtcNetwork)
    chosen, total_s = [], 0.0
    for indices in batches_of_epoch(utterances, settings, epoch=0):
        if total_s >= _LISTENING_S:
            break
        chosen.append(indices)
        total_s += sum(utterances[index].duration_s for index in indices)
    heard: list[Tensor] = []
    spoken: list[list[int]] = []
    generator = seed_everything(settings.recipe.seed)
    cache = AudioCache(model.sample_rate_hz, max_bytes=0)
    model.eval()
    with torch.inference_mode():
        for batch in load_batches(utterances, chosen, None, cache, pronunciations=pronunciations):
            features = training_features(model, batch.to(device), settings.augment, generator)
            log_probs, out_lens = network.read_phones(*features)
            for each, num_frames, phones, num_phones in zip(
                log_probs.cpu(), out_lens, batch.phones, batch.phone_lens, strict=True
            ):
                ids = phones[:num_phones].tolist()
                if 0 < frames_needed(ids) <= num_frames:
                    heard.append(each[:num_frames].clone())
                    spoken.append(ids)
    if not heard:
        raise DataError(
            "data.text: no training utterance has known phones that fit into its frames, so "
            "nothing can be made up; check data.lexicon"
        )
    return Sounds(heard, spoken)
