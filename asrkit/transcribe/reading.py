"""What texts are aligned with: a model's tokens, or its phones where its search reads these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrkit.data.pronunciation import Phones, read_pronunciations
from asrkit.data.tokens import TokenTable
from asrkit.errors import TokenError
from asrkit.model_file import Recognizer
from asrkit.nn.model import AcousticModel
from asrkit.pronounce.guess import Pronouncer
from asrkit.transcribe.spelling import SpelledText, list_counts, spell
from asrkit.transcribe.windows import long_log_probs


@dataclass(frozen=True)
class TokenReading:
    """Tokens are read, and texts are spelled in them.

    Attributes
    ----------
    model : AcousticModel
    tokens : TokenTable
        What it emits.
    """

    model: AcousticModel
    tokens: TokenTable
    reads_phones = False

    @property
    def table(self) -> TokenTable:
        """Of the labels of `spell` and the columns of `hear`."""
        return self.tokens

    def spell(self, text: str) -> SpelledText:
        """Give the labels of a text; errors as of `asrkit.transcribe.spelling.spell`."""
        return spell(text, self.tokens)

    def hear(self, samples: NDArray[np.float32], speaker: str = "") -> NDArray[np.float32]:
        """Give log-probabilities (T, V) of a recording, as `long_log_probs` does."""
        return long_log_probs(self.model, samples, speaker, self.reads_phones)


@dataclass(frozen=True)
class PhoneReading(TokenReading):
    """Phones are read, and words are pronounced as the model's lexicon has it, or by guess.

    Attributes
    ----------
    phones : TokenTable
        What it emits besides.
    lexicon : mapping of str to tuple of str
        Words and their phones.
    pronouncer : Pronouncer or None
        For other words.
    """

    phones: TokenTable
    lexicon: Mapping[str, Phones]
    pronouncer: Pronouncer | None
    _guesses: dict[str, Phones] = field(default_factory=dict)
    reads_phones = True

    @property
    def table(self) -> TokenTable:
        """Of the labels of `spell` and the columns of `hear`."""
        return self.phones

    def spell(self, text: str) -> SpelledText:
        """Give the phones of a text; what was guessed stands in the note.

        Raises
        ------
        TokenError
            As of `asrkit.transcribe.spelling.spell`, or if the phones of a word are not known.
        """
        spelled = spell(text, self.tokens)
        words, bounds, silent = [], [], []
        labels: list[int] = []
        guessed: Counter[str] = Counter()
        for word, (first, stop) in zip(spelled.words, spelled.bounds, strict=True):
            start = len(labels)
            for spoken in self.tokens.decode(spelled.labels[first:stop]).split():
                labels += self.phones.encode(" ".join(self._pronounce(spoken)))
                guessed.update([spoken] * (spoken in self._guesses))
            if len(labels) > start:
                words.append(word)
                bounds.append((start, len(labels)))
            else:
                silent.append(word)
        if not words:
            raise TokenError(f"the text {spelled.text[:40]!r} has no words; expected what is said")
        notes = [spelled.note]
        if guessed:
            notes.append(f"pronounced by guess: {list_counts(guessed)}")
        if silent:
            notes.append(f"words not aligned: {list_counts(Counter(silent))}")
        return replace(
            spelled,
            words=tuple(words),
            labels=tuple(labels),
            bounds=tuple(bounds),
            note="; ".join(filter(None, notes)),
        )

    def _pronounce(self, word: str) -> Phones:
        """Give the phones of a word, none of one that is nothing but marks."""
        found = self.lexicon.get(word) or self._guesses.get(word)
        if found or not any(letter.isalnum() for letter in word):
            return found or ()
        if self.pronouncer is None:
            raise TokenError(
                f"the model's lexicon lacks {word!r}, and no decode.pronouncer guesses its phones; "
                "write it with words of the lexicon"
            )
        self._guesses[word] = self.pronouncer.guess(word)
        return self._guesses[word]


def reading_of(recognizer: Recognizer) -> TokenReading:
    """Give what a model's own search reads, its files being where its settings say.

    Raises
    ------
    TokenError, LanguageModelError
        If the lexicon or the pronouncer cannot be read.
    """
    decode, phones = recognizer.settings.decode, recognizer.phones
    if phones is None or not decode.reads_phones or not decode.lexicon:
        return TokenReading(recognizer.model, recognizer.tokens)
    pronouncer = Pronouncer.load(Path(decode.pronouncer)) if decode.pronouncer else None
    lexicon = read_pronunciations(Path(decode.lexicon))
    return PhoneReading(recognizer.model, recognizer.tokens, phones, lexicon, pronouncer)
