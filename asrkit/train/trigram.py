"""Which label follows which two, in the transcripts that a network is trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from asrkit.data.manifest import Utterance
from asrkit.data.pronunciation import Pronunciations
from asrkit.lm.build import estimate_model
from asrkit.lm.corpus import END_ID, SPECIAL_WORDS, START_ID, Corpus
from asrkit.lm.ngram import EMPTY_STATE


def estimate_phone_trigram(
    utterances: Iterable[Utterance], pronunciations: Pronunciations
) -> Tensor:
    """Estimate a trigram model of the phones of those transcripts whose phones are known."""
    phones = (pronunciations.encode(utterance.text) for utterance in utterances)
    return estimate_trigram((each for each in phones if each), len(pronunciations.table))


def estimate_trigram(sequences: Iterable[Sequence[int]], vocab_size: int) -> Tensor:
    """Estimate p(c | a, b) of label ids by modified Kneser-Ney smoothing.

    Parameters
    ----------
    sequences
        Labels, 1 to V - 1.
    vocab_size
        V, the blank included.

    Returns
    -------
    Tensor, shape (V, V, V), float32
        As `asrkit.ctc.crf.log_normalizer` takes it; 0 where the start would follow a label.
    """
    shift = len(SPECIAL_WORDS) - 1  # label 1 is the first word after these
    tokens = ((START_ID, *(label + shift for label in each), END_ID) for each in sequences)
    model = estimate_model(
        Corpus(
            (*SPECIAL_WORDS, *map(str, range(1, vocab_size))),
            np.fromiter(chain.from_iterable(tokens), np.int32),
        ),
        order=3,
        limits=[0] * 3,
        entropy_threshold=0.0,
        discount_fallback=True,
        on_progress=lambda *_: None,
    )
    labels = np.arange(1, vocab_size) + shift
    before = np.full(vocab_size, model.start_state)
    _, before[1:] = model.score_many(np.full(len(labels), EMPTY_STATE), labels)
    states = np.full((vocab_size, vocab_size), model.start_state)
    _, after = model.score_many(before.repeat(len(labels)), np.tile(labels, vocab_size))
    states[:, 1:] = after.reshape(vocab_size, -1)
    last = np.concatenate([[END_ID], labels])
    log_probs, _ = model.score_many(states.ravel().repeat(vocab_size), np.tile(last, states.size))
    probs = torch.from_numpy(np.exp(log_probs)).reshape((vocab_size,) * 3)
    probs[1:, 0] = 0
    return probs / probs.sum(dim=2, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
