"""Train a recurrent language model on texts, one sentence a line."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asrkit.errors import CheckpointError, LanguageModelError
from asrkit.lm.corpus import END_ID, START_ID, Corpus, read_corpus
from asrkit.nn.denormals import flushed_denormals
from asrkit.nn.precision import autocast
from asrkit.rnnlm.batches import cut
from asrkit.rnnlm.network import SPECIAL_WORDS, UNK, Sizes, WordLstm
from asrkit.train.checkpoint import Position, read_checkpoint, save_checkpoint
from asrkit.train.interruption import Interruption
from asrkit.train.schedule import cosine

LEARNING_RATE = 2e-3
_BETAS = (0.9, 0.99)
_WEIGHT_DECAY = 1e-4
_WARMUP_SHARE = 0.03
_CLIP_NORM = 1.0
_MOST_NATS = 100.0
"""A word costs far less even where nothing is known; what comes near has diverged."""
_SORTED_TOGETHER = 20_000
"""Sentences drawn at random, of which those of like length make batches."""
_CHECKPOINT_STEPS = 250


@dataclass(frozen=True)
class TrainingText:
    """Sentences as ids of words; those of no words are left out.

    Attributes
    ----------
    words : tuple of str
        By id.
    ids : int32 (S,)
        Of all sentences, one after the other.
    starts, lengths : int64 (N,)
        Where each begins, and how many words it has.
    """

    words: tuple[str, ...]
    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, corpus: Corpus, words: Sequence[str] | None = None) -> TrainingText:
        """Give the words of a corpus the numbers that they have in `words`, if these are given."""
        words = words or _by_frequency(corpus)
        ids = {word: number for number, word in enumerate(words)}
        new_ids = np.array([ids.get(word, UNK) for word in corpus.words], np.int32)
        starts = np.flatnonzero(corpus.tokens == START_ID) + 1
        lengths = np.flatnonzero(corpus.tokens == END_ID) - starts
        has_words = lengths > 0
        return cls(tuple(words), new_ids[corpus.tokens], starts[has_words], lengths[has_words])

    def batches(self, epoch: int, seed: int, words_per_batch: int) -> list[NDArray[np.int64]]:
        """Give the sentences of each batch of an epoch, by number."""
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(self.lengths))
        batches: list[NDArray[np.int64]] = []
        for first in range(0, len(order), _SORTED_TOGETHER):
            drawn = order[first : first + _SORTED_TOGETHER]
            drawn = drawn[np.argsort(self.lengths[drawn], kind="stable")]
            batches += [drawn[part] for part in cut(self.lengths[drawn], words_per_batch)]
        return [batches[number] for number in rng.permutation(len(batches))]

    def read(self, batch: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Give sentences by number as the network takes them, (L, N) and (N,)."""
        starts, lengths = self.starts[batch], self.lengths[batch]
        sentences = [
            torch.from_numpy(self.ids[start : start + length])
            for start, length in zip(starts, lengths, strict=True)
        ]
        return pad_sequence(sentences).long(), torch.from_numpy(lengths)


def _by_frequency(corpus: Corpus) -> tuple[str, ...]:
    """Give all words of a corpus, most frequent first, behind the special ones."""
    num_special = END_ID + 1
    counts = np.bincount(corpus.tokens, minlength=len(corpus.words))
    order = num_special + np.argsort(-counts[num_special:], kind="stable")
    return (*SPECIAL_WORDS, *(corpus.words[number] for number in order))


def train_word_lstm(
    texts: Sequence[Path],
    checkpoint: Path,
    sizes: Sizes | None = None,
    start: WordLstm | None = None,
    learning_rate: float = LEARNING_RATE,
    epochs: int = 2,
    words_per_batch: int = 3600,
    seed: int = 1,
    on_progress: Callable[[str, float], None] = lambda _stage, _share: None,
    on_epoch: Callable[[str], None] = lambda _line: None,
) -> WordLstm:
    """Train on texts; go on from a checkpoint, if there is one.

    AdamW (Loshchilov & Hutter 2019) with a rate that rises over the first steps and falls as a
    cosine. Where the processor multiplies in bfloat16, it does; the weights stay in float32.

    Parameters
    ----------
    texts
        As for `asrkit.lm.corpus.read_corpus`.
    checkpoint
        Written every few minutes, and when the training is interrupted.
    sizes
        Of the network, if there is no `start`.
    start
        A model to go on from, of whose words the texts then are; others are `<unk>`.
    learning_rate
        The highest.
    epochs
        How often each sentence is read.
    words_per_batch
        At most, padding included, unless a sentence is longer.
    seed
        Of first weights and order.
    on_progress
        Called with what is being done and the share of the work that is done.
    on_epoch
        Called with a line about each epoch, with the perplexity of what was read meanwhile.

    Returns
    -------
    WordLstm

    Raises
    ------
    LanguageModelError
        If a text cannot be read, all are empty, or the loss has no bounds.
    CheckpointError
        If the checkpoint is damaged or of another training.
    KeyboardInterrupt
        On SIGINT or SIGTERM, after a checkpoint was written.
    """
    text = TrainingText.of(read_corpus(texts), None if start is None else start.words)
    torch.manual_seed(seed)
    model = WordLstm(text.words, start.sizes if start else sizes).train()
    if start is not None:
        model.load_state_dict(start.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), betas=_BETAS, weight_decay=_WEIGHT_DECAY)
    position = Position()
    origin = _fingerprint(text, model, learning_rate, epochs, words_per_batch, seed)
    if checkpoint.exists():
        saved = read_checkpoint(checkpoint)
        if saved.origin != origin:
            raise CheckpointError(
                f"{checkpoint}: of another training; repeat the texts and options of that one, or "
                "remove the file"
            )
        saved.restore(model, optimizer)
        position = saved.position
    interruption = Interruption()
    arithmetic = autocast("cpu", "bfloat16" if _multiplies_in_bfloat16() else "float32")
    with interruption.watch(), flushed_denormals():
        while position.epoch < epochs:
            batches = text.batches(position.epoch, seed, words_per_batch)
            total = epochs * len(batches)
            while position.batch < len(batches):
                done = position.epoch * len(batches) + position.batch
                warmth = min(1.0, (done + 1) / (_WARMUP_SHARE * total))
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate * warmth * cosine(done / total)
                with arithmetic:
                    nats = -model(*text.read(batches[position.batch])).float().mean()
                if not nats < _MOST_NATS:
                    raise LanguageModelError(
                        f"step {position.step + 1}: the loss is {nats:g} nats a word; take a lower "
                        "--learning-rate"
                    )
                _step(model, optimizer, nats)
                position.step += 1
                position.batch += 1
                position.epoch_loss += nats.item()
                if position.step % _CHECKPOINT_STEPS == 0 or interruption.requested:
                    save_checkpoint(checkpoint, model, optimizer, position, origin=origin)
                if interruption.requested:
                    raise KeyboardInterrupt
                on_progress(_describe(position, epochs), (done + 1) / total)
            num_words = len(text.words) - len(SPECIAL_WORDS)
            on_epoch(f"{_describe(position, epochs)}, {num_words} words")
            position = Position(epoch=position.epoch + 1, step=position.step)
    return model.eval()


def _fingerprint(text: TrainingText, first: WordLstm, *plan: float) -> str:
    """Tell one training from another: by its text, its first weights and its plan."""
    found = hashlib.sha256("\n".join(text.words).encode())
    for ids in (text.ids, text.starts, text.lengths):
        found.update(ids.tobytes())
    for weights in first.state_dict().values():
        found.update(weights.numpy().tobytes())
    found.update(repr(plan).encode())
    return found.hexdigest()


def _multiplies_in_bfloat16() -> bool:
    """Whether the processor does, and torch was built to use it."""
    has_library = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(has_library and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _step(model: WordLstm, optimizer: torch.optim.Optimizer, nats: Tensor) -> None:
    """Learn from what a batch costs."""
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(nats)
    torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP_NORM)
    optimizer.step()


def _describe(position: Position, epochs: int) -> str:
    """Say how far it is, and how well the words of this epoch were foretold."""
    perplexity = math.exp(position.epoch_loss / position.batch)
    return f"epoch {position.epoch + 1}/{epochs}, perplexity {perplexity:.0f}"
