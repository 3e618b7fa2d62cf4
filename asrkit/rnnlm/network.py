"""A language model that reads a sentence word by word with an LSTM.

    e_t = E w_{t-1}        h_t, c_t = LSTM(e_t, h_{t-1}, c_{t-1})        s_t = A h_t + a
    log p(w_t | w_1 .. w_{t-1}) = adaptive softmax(s_t)

Sundermeyer, Schlüter & Ney, LSTM Neural Networks for Language Modeling, Interspeech 2012. The
softmax is that of Grave, Joulin, Cissé, Grangier & Jégou, Efficient Softmax Approximation for GPUs,
ICML 2017: frequent words have outputs of their own, rarer ones share one by class, and within a
class fewer numbers tell them apart. It is exact, and its cost is hardly that of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from asrkit.lm.ngram import SENTENCE_END, UNKNOWN
from asrkit.nn.cells.cell import State
from asrkit.nn.cells.family import make_cell
from asrkit.settings import ModelSettings

END, UNK = range(2)
"""Ids of the sentence's end, which is also what stands before its first word, and of `<unk>`."""
SPECIAL_WORDS = (SENTENCE_END, UNKNOWN)
_CLASS_ENDS = (2_000, 10_000, 32_000)
_NARROWING = 2.5
"""Each class of rarer words is told apart by so many times fewer numbers."""
_FIRST_EMBEDDING = 0.2
"""First numbers of words are drawn up to it, of either sign."""


_Width = Annotated[int, Field(ge=1, le=1 << 16)]


@dataclass(frozen=True)
class Sizes:
    """How large a network is."""

    embedding: _Width = 128
    """Numbers of a word that is read."""
    hidden: _Width = 512
    """Cells of the LSTM."""
    output: _Width = 256
    """Numbers that words are told apart by."""
    input_words: Annotated[int, Field(ge=len(SPECIAL_WORDS), le=1 << 31)] = 32_000
    """So many most frequent words are read; others are read as `<unk>`."""


class WordLstm(nn.Module):
    """Log-probabilities of the words of sentences, and of their ends.

    Parameters
    ----------
    words
        By id, most frequent first, behind `SPECIAL_WORDS`.
    sizes
        Of the network.
    """

    def __init__(self, words: Sequence[str], sizes: Sizes | None = None) -> None:
        super().__init__()
        self.words = tuple(words)
        self.sizes = sizes = sizes or Sizes()
        # Drawn here: what `nn.Embedding` draws takes a second of imports on the meta device.
        first = torch.empty(min(sizes.input_words, len(words)), sizes.embedding)
        first.uniform_(-_FIRST_EMBEDDING, _FIRST_EMBEDDING)
        self.embedding = nn.Embedding.from_pretrained(first, freeze=False)  # type: ignore[no-untyped-call]
        self.cell = make_cell(ModelSettings(hidden_size=sizes.hidden), sizes.embedding, 1)
        self.projection = nn.Linear(sizes.hidden, sizes.output)
        class_ends = [end for end in _CLASS_ENDS if end < len(words)] or [len(words) - 1]
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(
            sizes.output, len(words), class_ends, div_value=_NARROWING
        )

    @cached_property
    def _ids(self) -> Mapping[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def word_id(self, word: str) -> int:
        """Give the id of a word, `UNK` if the model does not know it."""
        return self._ids.get(word, UNK)

    def forward(self, sentences: Tensor, lengths: Tensor) -> Tensor:
        """Compute the log-probabilities of all words and ends, one after the other.

        Parameters
        ----------
        sentences
            (L, N) word ids, padded by anything.
        lengths
            (N,) words of each.

        Returns
        -------
        Tensor
            (lengths.sum() + N,), nats; those of the first words of all sentences come first.
        """
        places = torch.arange(len(sentences) + 1, device=sentences.device)[:, None]
        ends = sentences.new_full((1, sentences.shape[1]), END)
        targets = torch.where(places < lengths, torch.cat([sentences, ends]), END)
        scores, _ = self._read(torch.cat([ends, targets[:-1]]), None)
        is_valid = places <= lengths
        return self._predict(scores[is_valid], targets[is_valid])

    @torch.inference_mode()
    def score(self, sentences: Sequence[Sequence[str]]) -> list[NDArray[np.float64]]:
        """Give the log-probability in nats of each word of sentences and of their ends, (L + 1,).

        What sentences begin with alike is read once.
        """
        ids = [[*map(self.word_id, sentence), END] for sentence in sentences]
        found = [np.empty(len(each)) for each in ids]
        reads = np.full((2, len(ids)), END)  # of each sentence the row of its state, its last word
        state: State | None = None
        for place in range(max(map(len, ids), default=0)):
            alive = [number for number, each in enumerate(ids) if place < len(each)]
            different, row_of = np.unique(reads[:, alive], axis=1, return_inverse=True)
            rows, words = torch.from_numpy(different)
            if state is not None:
                state = tuple(each[:, rows] for each in state)
            scores, state = self._read(words[None], state)
            following = np.array([ids[number][place] for number in alive])
            asked, answer_of = np.unique(
                np.stack([row_of.ravel(), following]), axis=1, return_inverse=True
            )
            rows, words = torch.from_numpy(asked)
            answers = self._predict(scores[0, rows], words).double().numpy()[answer_of.ravel()]
            for number, answer in zip(alive, answers, strict=True):
                found[number][place] = answer
            reads[:, alive] = row_of.ravel(), following
        return found

    def _read(self, words: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Map (T, N) words to s_t, (T, N, P), and the state after the last."""
        known = torch.where(words < self.embedding.num_embeddings, words, UNK)
        (hidden,), state = self.cell([self.embedding(known)], state)
        return self.projection(hidden), state

    def _predict(self, scores: Tensor, words: Tensor) -> Tensor:
        """Log-probabilities (K,) of words (K,) by their scores (K, P)."""
        log_probs: Tensor = self.softmax(scores, words).output
        return log_probs
