"""Batches of samples and labels, read ahead of the model that consumes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asrkit.data.audio import Audio
from asrkit.data.audio_cache import AudioCache
from asrkit.data.manifest import Utterance
from asrkit.data.pronunciation import Pronunciations
from asrkit.data.tokens import TokenTable
from asrkit.errors import TokenError

_SILENCE = Audio(np.zeros(0, np.float32), 1)


@dataclass(frozen=True, eq=False)
class Batch:
    """N utterances, padded to the longest.

    Attributes
    ----------
    utt_ids, speakers : tuple of str
        N each.
    waves : Tensor, shape (N, S), float32
        Samples in [-1, 1]; zero from each utterance's own end on.
    wave_lens : Tensor, shape (N,), int64
        Samples of each utterance.
    labels : Tensor, shape (N, L), int64
        Token ids; zero from each utterance's own end on. L = 0 if nobody has any.
    label_lens : Tensor, shape (N,), int64
        Labels of each utterance.
    phones : Tensor, shape (N, P), int64
        Ids of phones, likewise; P = 0 without pronunciations.
    phone_lens : Tensor, shape (N,), int64
        Phones of each utterance; 0 where they are not known.
    """

    utt_ids: tuple[str, ...]
    speakers: tuple[str, ...]
    waves: Tensor
    wave_lens: Tensor
    labels: Tensor
    label_lens: Tensor
    phones: Tensor
    phone_lens: Tensor

    def to(self, device: torch.device) -> Batch:
        """Give the same batch on another device."""
        return Batch(
            self.utt_ids,
            self.speakers,
            self.waves.to(device),
            self.wave_lens.to(device),
            self.labels.to(device),
            self.label_lens.to(device),
            self.phones.to(device),
            self.phone_lens.to(device),
        )


def encode_transcript(utterance: Utterance, tokens: TokenTable) -> list[int]:
    """Encode a transcript; an error names the utterance.

    Raises
    ------
    TokenError
        If it holds a symbol outside the table.
    """
    try:
        return tokens.encode(utterance.text)
    except TokenError as error:
        raise TokenError(f"utterance {utterance.utt_id}: {error}") from error


def collate(
    utterances: Sequence[Utterance],
    audios: Sequence[Audio],
    tokens: TokenTable | None,
    pronunciations: Pronunciations | None = None,
) -> Batch:
    """Pad the samples and labels of N >= 1 utterances; without a token table there are no labels.

    Without pronunciations there are no phones.

    Raises
    ------
    TokenError
        If a transcript holds a symbol outside the table.
    """
    waves, wave_lens = _pad([torch.from_numpy(audio.samples) for audio in audios])
    ids = [encode_transcript(utterance, tokens) if tokens else [] for utterance in utterances]
    labels, label_lens = _pad_ids(ids)
    phones, phone_lens = _pad_ids(
        [pronunciations.encode(each.text) if pronunciations else [] for each in utterances]
    )
    return Batch(
        utt_ids=tuple(utterance.utt_id for utterance in utterances),
        speakers=tuple(utterance.speaker for utterance in utterances),
        waves=waves,
        wave_lens=wave_lens,
        labels=labels,
        label_lens=label_lens,
        phones=phones,
        phone_lens=phone_lens,
    )


def load_batches(
    utterances: Sequence[Utterance],
    batches: Sequence[Sequence[int]],
    tokens: TokenTable | None,
    cache: AudioCache | None,
    prefetch: int = 4,
    pronunciations: Pronunciations | None = None,
) -> Generator[Batch]:
    """Read batches in order, a few of them at once and ahead of their use.

    Decoding audio leaves Python's interpreter lock free, so `prefetch` threads work in parallel.
    Closing the generator stops them; so do its exhaustion and its end of life.

    Parameters
    ----------
    utterances : sequence of Utterance
    batches : sequence of sequence of int
        Indices into `utterances`, e.g. from `asrkit.data.batching.make_batches`.
    tokens : TokenTable or None
        Encodes the transcripts; None gives batches without labels.
    cache : AudioCache or None
        Reads the audio, and keeps it for the next epoch; None gives batches without samples.
    prefetch : int
        How many batches are read ahead, >= 1.
    pronunciations : Pronunciations or None
        Encodes the transcripts' phones; None gives batches without phones.

    Raises
    ------
    AudioError, TokenError
        From the step to the batch that could not be made.
    """

    def load(batch: Sequence[int]) -> Batch:
        chosen = [utterances[index] for index in batch]
        audios = [cache.read(each) if cache else _SILENCE for each in chosen]
        return collate(chosen, audios, tokens, pronunciations)

    ahead: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(prefetch, thread_name_prefix="asrkit-read-ahead") as pool:
        for batch in batches:
            ahead.append(pool.submit(load, batch))
            if len(ahead) > prefetch:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _pad_ids(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    return _pad([torch.from_numpy(np.array(row, dtype=np.int64)) for row in rows])


def _pad(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack 1-D tensors, filled up with zeros; give their lengths too."""
    lens = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True), lens
