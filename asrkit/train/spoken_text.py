"""Sentences of a text as a training set: each epoch takes some, with the time they would take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress, islice
from pathlib import Path

import numpy as np

from asrkit.data.manifest import Utterance
from asrkit.data.pronunciation import Pronunciations
from asrkit.data.tokens import TokenTable
from asrkit.errors import DataError, TokenError
from asrkit.lm.text import read_lines


def read_sentences(paths: Sequence[Path]) -> Iterator[tuple[Path, int, str]]:
    """Give the file, line number and text of each line, plain or compressed.

    Raises
    ------
    LanguageModelError
        If a file cannot be read as text.
    """
    for path in paths:
        for lines in read_lines(path):
            for number, line in enumerate(lines.content.decode().split("\n"), start=lines.first):
                yield path, number, line


class SpokenText:
    """Those sentences whose words all have phones, letters that are tokens, and a fair length.

    Parameters
    ----------
    paths
        Texts, a sentence a line.
    pronunciations, tokens
        Of the model.
    speech
        What it learned to hear from: an epoch of text lasts as long, and so does a phone on
        average. No sentence is longer than the longest utterance.
    seed
        Decides the order of sentences.

    Raises
    ------
    DataError
        If there is no such sentence, or no utterance whose phones are known.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        pronunciations: Pronunciations,
        tokens: TokenTable,
        speech: Sequence[Utterance],
        seed: int,
    ) -> None:
        self._pronunciations, self._tokens = pronunciations, tokens
        self._num_phones: dict[str, int] = {}
        num_spoken = [len(pronunciations.encode(each.text)) for each in speech]
        durations = [each.duration_s for each in speech]
        if not any(num_spoken):
            raise DataError(
                "data.text: of no training utterance are the phones of all words known; expected "
                "some, to hear from; check data.lexicon"
            )
        phone_s = sum(compress(durations, num_spoken)) / sum(num_spoken)
        longest = max(durations) / phone_s
        self._lines: list[tuple[Path, int, str]] = []
        durations_s: list[float] = []
        self.num_read = 0
        for self.num_read, (path, number, line) in enumerate(read_sentences(paths), start=1):
            words = line.split()
            num_phones = [self._count_phones(word) for word in words]
            if words and all(num_phones) and sum(num_phones) <= longest:
                self._lines.append((path, number, line))
                durations_s.append(sum(num_phones) * phone_s)
        if not self._lines:
            raise DataError(
                f"data.text: none of the {self.num_read} sentences of {', '.join(map(str, paths))} "
                "has words that are all in data.lexicon; expected a sentence a line, in the same "
                "upper or lower case"
            )
        self._order = np.random.default_rng(seed).permutation(len(self._lines))
        self._durations_s = np.array(durations_s)[self._order]
        self._ends_s = self._durations_s.cumsum()
        self._epoch_s = sum(durations)

    def __len__(self) -> int:
        """How many sentences can be learned from."""
        return len(self._lines)

    def of_epoch(self, epoch: int) -> list[Utterance]:
        """Give the sentences of an epoch, the first being 0; all of them, if they are too few.

        After the last sentence comes the first again.
        """
        total_s = float(self._ends_s[-1])
        start_s = epoch * self._epoch_s % total_s if self._epoch_s < total_s else 0.0
        first = int(np.searchsorted(self._ends_s, start_s, side="right"))
        places = np.roll(np.arange(len(self._lines)), -first)
        count = np.searchsorted(self._durations_s[places].cumsum(), self._epoch_s, side="right")
        return [self._utterance(place) for place in islice(places.tolist(), max(1, int(count)))]

    def _utterance(self, place: int) -> Utterance:
        path, number, text = self._lines[self._order[place]]
        return Utterance(f"{path.name}:{number}", path, float(self._durations_s[place]), text)

    def _count_phones(self, word: str) -> int:
        """Count a word's phones; 0 if it has none, or cannot be spelled."""
        if word not in self._num_phones:
            try:
                self._tokens.encode(word)
                self._num_phones[word] = len(self._pronunciations.phones_of.get(word, ()))
            except TokenError:
                self._num_phones[word] = 0
        return self._num_phones[word]
