"""The best hypotheses ranked anew by a language model that is too slow for the search itself.

The probability of each word becomes a mixture, with a share s for the recurrent model,

    p(w | before) = s p_recurrent(w | all before) + (1 - s) p_n-gram(w | the last before)

and takes the place of the n-gram model's in the score. Mikolov, Karafiát, Burget, Černocký &
Khudanpur, Recurrent Neural Network Based Language Model, Interspeech 2010, section 4, rescore so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asrkit.rnnlm.model_file import load_word_lstm
from asrkit.rnnlm.network import WordLstm
from asrkit.settings import DecodeSettings


class Rescored(NamedTuple):
    """A hypothesis by its number, its new score, and what the mixture says of it in nats."""

    number: int
    score: float
    lm_log_prob: float


@dataclass(frozen=True)
class Rescoring:
    """A language model and how it is mixed with the one of the search.

    Attributes
    ----------
    recurrent : WordLstm
    share : float
        Of the recurrent one in the mixture, 0 to 1.
    lm_weight : float
        Factor of log-probabilities in the score.
    nbest : int
        How many hypotheses are ranked, if the beam holds so many.
    """

    recurrent: WordLstm
    share: float
    lm_weight: float
    nbest: int

    def rank(
        self,
        scores: Sequence[float],
        sentences: Sequence[Sequence[str]],
        by_ngram: Sequence[NDArray[np.float64]],
    ) -> list[Rescored]:
        """Rank hypotheses, best first; of equals, the first given.

        Parameters
        ----------
        scores
            By which they were found.
        sentences
            Their words.
        by_ngram
            What the search's model says of these and of the ends, in nats, (L + 1,) each.
        """
        ranked = []
        found = zip(scores, self.recurrent.score(sentences), by_ngram, strict=True)
        for number, (score, recurrent, ngram) in enumerate(found):
            mixture = self.share * np.exp(recurrent) + (1.0 - self.share) * np.exp(ngram)
            log_prob = float(np.log(mixture).sum())
            change = log_prob - float(ngram.sum())
            ranked.append(Rescored(number, score + self.lm_weight * change, log_prob))
        return sorted(ranked, key=lambda each: -each.score)


def make_rescoring(settings: DecodeSettings) -> Rescoring | None:
    """Read what the settings name; nothing if they name no model to rescore by.

    Raises
    ------
    LanguageModelError
        If a model is malformed.
    """
    if not settings.rescoring_lm:
        return None
    with _LOADING:
        recurrent = _load_recurrent(settings.rescoring_lm)
    return Rescoring(
        recurrent, settings.rescoring_share, settings.lm_weight, settings.rescoring_nbest
    )


_LOADING = Lock()
"""Held while files are read, so that of many threads one does it for all."""


@lru_cache(maxsize=1)
def _load_recurrent(path: str) -> WordLstm:
    return load_word_lstm(Path(path))
