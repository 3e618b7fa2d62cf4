"""How well a language model predicts a text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrkit.compiled import compiled
from asrkit.errors import LanguageModelError
from asrkit.lm.corpus import split_sentences
from asrkit.lm.ngram import Int32, NGramArrays, NGramModel, step
from asrkit.lm.text import read_lines


@dataclass(frozen=True, slots=True)
class Perplexity:
    """Log-probability of a text.

    Attributes
    ----------
    log_prob : float
        Of all words and sentence ends, in nats.
    oov_log_prob : float
        The part of the words that the model does not know.
    num_tokens : int
        Words and sentence ends.
    num_oov : int
        Words that the model does not know.
    num_sentences : int
    """

    log_prob: float
    oov_log_prob: float
    num_tokens: int
    num_oov: int
    num_sentences: int

    @property
    def including_oov(self) -> float:
        """Perplexity of all tokens."""
        return math.exp(-self.log_prob / self.num_tokens)

    @property
    def excluding_oov(self) -> float:
        """Perplexity of the tokens that the model knows."""
        known = self.num_tokens - self.num_oov
        return math.exp(-(self.log_prob - self.oov_log_prob) / known)


def measure_perplexity(model: NGramModel, paths: Sequence[Path]) -> Perplexity:
    """Score texts, one sentence a line, as KenLM's `query` does; each ends with `</s>`.

    Raises
    ------
    LanguageModelError
        If a text cannot be read, holds `<s>` or `</s>`, or all are empty.
    """
    ids = {word.encode(): number for number, word in enumerate(model.words)}
    total = np.zeros(2)
    num_tokens = num_oov = num_sentences = 0
    for path in paths:
        for lines in read_lines(path):
            words = (ids.get(word, model.UNK) for word in split_sentences(lines))
            tokens = np.fromiter(words, np.int32)
            total += _score(model.arrays, tokens, model.start_id, model.start_state)
            starts = int(np.count_nonzero(tokens == model.start_id))
            num_sentences += starts
            num_tokens += len(tokens) - starts
            num_oov += int(np.count_nonzero(tokens == model.UNK))
    if not num_sentences:
        raise LanguageModelError(
            f"{', '.join(map(str, paths))}: no text; expected a sentence a line"
        )
    return Perplexity(float(total[0]), float(total[1]), num_tokens, num_oov, num_sentences)


@compiled()
def _score(lm: NGramArrays, tokens: Int32, start_id: int, start_state: int) -> tuple[float, float]:
    """Sum the log-probabilities of all tokens, and of unknown words."""
    total, unknown, state = 0.0, 0.0, 0
    for token in tokens:
        if token == start_id:
            state = start_state
            continue
        log_prob, state = step(lm, state, token)
        total += log_prob
        if token == 0:
            unknown += log_prob
    return total, unknown
