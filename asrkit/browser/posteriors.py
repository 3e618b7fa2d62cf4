"""What a model hears in an utterance: its likeliest tokens over time, and the texts on them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkit.browser.data import Side
from asrkit.data.audio import Audio
from asrkit.decode.hypothesis import TimedToken, TimedWord
from asrkit.errors import AsrkitError, TokenError
from asrkit.score.alignment import align
from asrkit.transcribe.align import TimedText, time_text
from asrkit.transcribe.reading import TokenReading
from asrkit.transcribe.spelling import SpelledText

NUM_LIKELIEST = 3
"""Tokens a frame that are kept, the blank apart."""

Tokenize = Callable[[str], Sequence[str]]
"""Gives the scored tokens of a text."""


@dataclass(frozen=True)
class Listener:
    """A model that was trained with CTC, and what to call it."""

    reading: TokenReading
    name: str

    @property
    def sample_rate_hz(self) -> int:
        """Of the audio that it takes."""
        return self.reading.model.sample_rate_hz

    @property
    def symbols(self) -> tuple[str, ...]:
        """Its tokens, or the phones if its search reads these, by id."""
        return self.reading.table.symbols

    def hear(
        self,
        audio: Audio,
        speaker: str,
        sides: Mapping[str, Side],
        tokenize: Tokenize,
    ) -> dict[str, Any]:
        """Describe what the model makes of an utterance.

        Parameters
        ----------
        audio
            At the model's rate.
        speaker
            Empty where it is not known.
        sides
            By name: reference and hypothesis.
        tokenize
            Gives the scored tokens of a text.

        Returns
        -------
        dict
            `posteriors`, as `pack_posteriors` gives them, and for each side what `time_transcript`
            gives.

        Raises
        ------
        UsageError
            If the model was not trained with CTC.
        """
        log_probs = self.reading.hear(audio.samples, speaker)
        duration_s = len(audio.samples) / audio.sample_rate_hz
        return {"posteriors": pack_posteriors(log_probs, self.reading.model.frame_s)} | {
            name: time_transcript(side, tokenize, self.reading, log_probs, duration_s)
            for name, side in sides.items()
        }


def pack_posteriors(log_probs: NDArray[np.float32], frame_s: float) -> dict[str, Any]:
    """Keep of each frame the blank and the likeliest tokens, in steps of 1/255.

    Returns
    -------
    dict
        `frame_s`; `likeliest`, how many tokens K a frame has; and in base64 `blank`, T bytes of
        posteriors, `ids`, T * K little-endian 16-bit token ids, and `probs`, their T * K bytes. The
        tokens of a frame come in order of their ids.
    """
    posteriors = np.exp(log_probs.astype(np.float64))
    num_kept = min(NUM_LIKELIEST, posteriors.shape[1] - 1)
    # Stable: which of equally likely tokens are kept depends on nothing but their ids.
    order = np.argsort(-posteriors[:, 1:], axis=1, kind="stable")[:, :num_kept]
    ids = np.sort(order, axis=1) + 1
    return {
        "frame_s": frame_s,
        "likeliest": num_kept,
        "blank": _to_base64(_quantize(posteriors[:, 0])),
        "ids": _to_base64(ids.astype("<u2")),
        "probs": _to_base64(_quantize(np.take_along_axis(posteriors, ids, axis=1))),
    }


def time_transcript(
    side: Side,
    tokenize: Tokenize,
    reading: TokenReading,
    log_probs: NDArray[np.float32],
    duration_s: float,
) -> dict[str, Any]:
    """Find when a transcript is said, and which of its words each scored token belongs to.

    Returns
    -------
    dict
        `words` and `tokens`, each `[text, start_s, end_s, probability]`; `word_of`, for each scored
        token the index of its word or None; `log_prob` of the best path, in nats. Without words:
        only `words`, empty. Where the model cannot spell or align the text: only `problem`.
    """
    if not side.written.split():
        return {"words": []}
    try:
        spelled = _spell(side, reading)
        timed = time_text(spelled, reading.table, log_probs, reading.model.frame_s, duration_s)
        return {**_as_lists(timed), "word_of": _words_of(side.scored, spelled.words, tokenize)}
    except AsrkitError as error:
        return {"problem": str(error)}


def _spell(side: Side, reading: TokenReading) -> SpelledText:
    try:
        return reading.spell(side.written)
    except TokenError:
        # What is scored may be without the marks of the text, such as alternatives `{ a / b }`.
        try:
            return reading.spell(side.joint.join(side.scored))
        except TokenError:
            pass
        raise


def _as_lists(timed: TimedText) -> dict[str, Any]:
    return {
        "words": [[word.word, *_round_times(word)] for word in timed.words],
        "tokens": [[token.token, *_round_times(token)] for token in timed.tokens],
        "log_prob": round(timed.log_prob, 2),
    }


def _round_times(timed: TimedWord | TimedToken) -> list[float]:
    return [round(value, 3) for value in (timed.start_s, timed.end_s, timed.probability)]


def _words_of(scored: Sequence[str], words: Sequence[str], tokenize: Tokenize) -> list[int | None]:
    """Find the word of each scored token; a protocol may remove, merge or split words."""
    numbered = [(token, number) for number, word in enumerate(words) for token in tokenize(word)]
    word_of: list[int | None] = []
    position = 0
    for edit in align(scored, [token for token, _ in numbered]):
        if edit.op != "ins":
            word_of.append(numbered[position][1] if edit.op == "hit" else None)
        if edit.op != "del":
            position += 1
    return word_of


def _quantize(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.round(255.0 * np.clip(shares, 0.0, 1.0)).astype(np.uint8)


def _to_base64(array: NDArray[Any]) -> str:
    return b64encode(array.tobytes()).decode()
