"""Which utterances share a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asrkit.data.manifest import Utterance
from asrkit.settings import Settings


def batches_of_epoch(
    utterances: Sequence[Utterance], settings: Settings, epoch: int
) -> list[list[int]]:
    """Group the indices of a training set into the batches of an epoch, the first being 0."""
    return make_batches(
        [utterance.duration_s for utterance in utterances],
        settings.data.max_batch_s,
        settings.data.num_buckets,
        settings.recipe.seed,
        epoch,
        settings.data.max_batch_utterances,
    )


def make_batches(
    durations_s: Sequence[float],
    max_batch_s: float,
    num_buckets: int,
    seed: int,
    epoch: int,
    max_batch_utterances: int = 0,
) -> list[list[int]]:
    """Group utterances of similar duration into batches of bounded size.

    Utterances are sorted into buckets of increasing duration, each holding about the same number
    of seconds. They are shuffled within their bucket and dealt into batches, bucket after bucket
    (what is left of one is filled up from the next); then the batches are shuffled.

    Parameters
    ----------
    durations_s : sequence of float
        Durations in seconds, each > 0. None at all gives no batches.
    max_batch_s : float
        Limit for number of utterances x longest of them, that is for the padded batch, in seconds.
        A single utterance above it is a batch of its own.
    num_buckets : int
        At least 1. More buckets mean less padding and less variety in a batch.
    seed, epoch : int
        At least 0. They alone decide the order.
    max_batch_utterances : int
        Limit for the number of utterances in a batch; 0 sets none.

    Returns
    -------
    list of list of int
        Indices into `durations_s`; each occurs once.
    """
    durations = np.asarray(durations_s, dtype=np.float64)
    if durations.size == 0:
        return []
    generator = np.random.default_rng((seed, epoch))
    # Shuffle, then sort by bucket without disturbing that order inside a bucket.
    shuffled = generator.permutation(durations.size)
    buckets = _bucket_of_each(durations, num_buckets)
    order = shuffled[np.argsort(buckets[shuffled], kind="stable")]

    batches: list[list[int]] = []
    longest_s = 0.0
    most = max_batch_utterances or durations.size
    for index in order.tolist():
        longest_s = max(longest_s, durations_s[index])
        size = len(batches[-1]) + 1 if batches else 1
        if 1 < size <= most and size * longest_s <= max_batch_s:
            batches[-1].append(index)
        else:
            batches.append([index])
            longest_s = durations_s[index]
    return [batches[number] for number in generator.permutation(len(batches))]


def _bucket_of_each(durations: np.ndarray, num_buckets: int) -> np.ndarray:
    """Cut the utterances, from short to long, into stretches of the same number of seconds."""
    by_duration = np.argsort(durations, kind="stable")
    middles_s = np.cumsum(durations[by_duration]) - durations[by_duration] / 2
    total_s = durations.sum()
    buckets = np.empty(durations.size, dtype=np.int64)
    buckets[by_duration] = middles_s * num_buckets / total_s
    return buckets
