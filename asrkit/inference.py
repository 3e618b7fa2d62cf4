"""Run a trained model on speech: one way for dev sets, test sets and anybody's files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from asrkit.data.audio_cache import AudioCache
from asrkit.data.batching import make_batches
from asrkit.data.dataset import Batch, load_batches
from asrkit.data.manifest import Utterance
from asrkit.data.tokens import TokenTable
from asrkit.decode.hypothesis import Hypothesis
from asrkit.decode.search import decode_batch, decode_transducer_batch
from asrkit.errors import UsageError
from asrkit.nn.denormals import flushed_denormals
from asrkit.nn.model import AcousticModel
from asrkit.nn.transducer import NextLabelNetwork, TransducerNetwork
from asrkit.settings import DecodeSettings


def recognize(
    model: AcousticModel,
    batch: Batch,
    tokens: TokenTable,
    settings: DecodeSettings,
    nbest: int = 1,
) -> list[Hypothesis]:
    """Recognise the utterances of a batch, in its order, where the model is.

    `tokens` is the table of what the settings let the search read: of phones, if these are read.
    Each hypothesis has `nbest - 1` alternatives, if there are so many.
    """
    if isinstance(model.network, NextLabelNetwork):
        raise UsageError(
            'model.kind = "next_label" recognises nothing; a transducer can start from it, by '
            "train.initial_weights"
        )
    device = next(model.parameters()).device
    batch = batch.to(device)
    model.eval()
    with torch.inference_mode(), flushed_denormals():
        outputs, out_lens = model(
            batch.waves, batch.wave_lens, batch.speakers, settings.reads_phones
        )
        return search(model, outputs, out_lens, tokens, settings, nbest)


def search(
    model: AcousticModel,
    outputs: Tensor,
    out_lens: Tensor,
    tokens: TokenTable,
    settings: DecodeSettings,
    nbest: int = 1,
) -> list[Hypothesis]:
    """Search what the model made of a batch, (N, T', ...) and (N,), by its kind."""
    if isinstance(model.network, TransducerNetwork):
        return decode_transducer_batch(
            outputs, out_lens, model.network, tokens, model.frame_s, settings, nbest
        )
    return decode_batch(outputs, out_lens, tokens, model.frame_s, settings, nbest)


def load_by_length(
    utterances: Sequence[Utterance],
    tokens: TokenTable | None,
    cache: AudioCache,
    max_batch_s: float,
) -> Iterator[Batch]:
    """Load every utterance once, in batches of similar duration.

    `tokens` encodes the transcripts into the batches' labels; without it there are no labels.
    """
    batches = make_batches(
        [utterance.duration_s for utterance in utterances],
        max_batch_s,
        num_buckets=max(1, len(utterances)),
        seed=0,
        epoch=0,
    )
    return load_batches(utterances, batches, tokens, cache)
