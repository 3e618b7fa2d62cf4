"""What a search hands back: a text, its tokens and words with times and probabilities."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from asrkit.data.bpe import WORD_START
from asrkit.data.tokens import TokenTable, TokenUnit
from asrkit.errors import DataError


@dataclass(frozen=True, slots=True)
class TimedToken:
    """A token and where it was emitted.

    Attributes
    ----------
    token : str
    start_s, end_s : float
        Seconds from the start of the utterance to the beginning of the first, and to the end of
        the last, frame of the token's run on the best path. CTC emits a token when it is sure of
        it, not from where its sound begins to where it ends: expect short runs and gaps.
    probability : float
        Posterior of the token in the frame of its run where that is highest, 0 to 1.
    """

    token: str
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word: times from its first to its last token, and the probability of its least sure one."""

    word: str
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class WordSpan:
    """A word that was read from tokens: those from `first` to before `stop`."""

    word: str
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One decoded utterance.

    Attributes
    ----------
    text : str
        What the tokens spell, by the token table, or the words read by a lexicon; "" if nothing
        was emitted.
    unit : {"char", "phone", "bpe"}
        What a token is, and so how tokens make words.
    tokens : tuple of TimedToken
        In order of time.
    log_prob : float
        Nats. From the beam search the log-probability of the labelling, summed over the alignments
        that the beam kept (all of them, if it pruned nothing); from the greedy search that of the
        best path alone. The two are not comparable. Where the beam search was told to take the
        priors out of posteriors, or to soften them, it is of what became of them.
    score : float or None
        What the search with a language model, lexicon or hotwords ranked it by: `log_prob` and what
        they add. None if there were none.
    lm_log_prob : float or None
        Nats; of the words and the end of the sentence, not weighted.
    read : tuple of WordSpan or None
        The words that a lexicon gave; None if the tokens tell the words.
    alternatives : tuple of Hypothesis
        The next best, best first, if they were asked for.
    """

    text: str
    unit: TokenUnit
    tokens: tuple[TimedToken, ...]
    log_prob: float
    score: float | None = None
    lm_log_prob: float | None = None
    read: tuple[WordSpan, ...] | None = None
    alternatives: tuple[Hypothesis, ...] = ()

    @property
    def words(self) -> tuple[TimedWord, ...]:
        """Words read by a lexicon; else what stands between spaces, or each token, a phone.

        A piece that begins a word has a space before it; where it is nothing else, it belongs to no
        word.
        """
        if self.read is not None:
            return tuple(
                TimedWord(
                    word=span.word,
                    start_s=self.tokens[span.first].start_s,
                    end_s=self.tokens[span.stop - 1].end_s,
                    probability=min(t.probability for t in self.tokens[span.first : span.stop]),
                )
                for span in self.read
            )
        mark = WORD_START if self.unit == "bpe" else ""
        return tuple(
            TimedWord(
                word="".join(token.token for token in group).removeprefix(mark),
                start_s=group[0].start_s,
                end_s=group[-1].end_s,
                probability=min(token.probability for token in group),
            )
            for group in self._group()
        )

    def _group(self) -> list[list[TimedToken]]:
        """Put tokens of a word together; leave out spaces."""
        if self.unit == "phone":
            return [[token] for token in self.tokens]
        if self.unit == "char":
            runs = groupby(self.tokens, key=lambda token: token.token == " ")
            return [list(run) for is_space, run in runs if not is_space]
        groups: list[list[TimedToken]] = [[]]
        for token in self.tokens:
            if token.token.startswith(WORD_START):
                groups.append([])
            if token.token != WORD_START:
                groups[-1].append(token)
        return [group for group in groups if group]

    @classmethod
    def from_path(
        cls,
        path: NDArray[np.integer],
        log_probs: NDArray[np.floating],
        tokens: TokenTable,
        frame_s: float,
        log_prob: float,
    ) -> Hypothesis:
        """Collapse an alignment: drop repeats, then blanks.

        Parameters
        ----------
        path : array, shape (T,)
            A token id, blank included, for each frame. T = 0 gives an empty hypothesis.
        log_probs : array, shape (T, V)
        tokens : TokenTable
        frame_s : float
            Seconds from one frame to the next.
        log_prob : float
            Kept as it is.
        """
        starts = np.flatnonzero(np.diff(path, prepend=-1)) if len(path) else np.zeros(0, np.int64)
        on_path = log_probs[np.arange(len(path)), path].astype(np.float64)
        peaks = np.maximum.reduceat(on_path, starts) if len(path) else on_path
        is_token = path[starts] != tokens.blank_id
        ids = path[starts][is_token].tolist()
        ends = np.append(starts[1:], len(path))[is_token]
        symbols = tokens.symbols
        return cls(
            text=tokens.decode(ids),
            unit=tokens.unit,
            tokens=tuple(
                map(
                    TimedToken,
                    [symbols[token] for token in ids],
                    (starts[is_token] * frame_s).tolist(),
                    (ends * frame_s).tolist(),
                    np.exp(peaks[is_token]).tolist(),
                )
            ),
            log_prob=log_prob,
        )

    def to_json(self) -> dict[str, Any]:
        """Give the attributes as JSON values; `from_json` restores them exactly."""
        record: dict[str, Any] = _SCHEMA.dump_python(self, mode="json", exclude_defaults=True)
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Hypothesis:
        """Restore what `to_json` gave; other keys, such as `utt_id`, are ignored.

        Raises
        ------
        DataError
            If a key is missing or its value has the wrong type.
        """
        try:
            return _SCHEMA.validate_python(dict(record))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            value = reprlib.repr(first["input"])
            raise DataError(
                f"hypothesis: {key or 'record'}: {first['msg']}, got {value}; "
                "expected what asrkit itself writes; decode again"
            ) from error


_SCHEMA = TypeAdapter(Hypothesis)
