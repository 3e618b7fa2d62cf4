"""Reading ARPA files: back-off n-gram models as text, as SRILM, KenLM and most others write them.

Log-probabilities in the file are to base 10. Where an n-gram has no back-off weight it is 0.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from asrkit.errors import LanguageModelError
from asrkit.lm.ngram import SENTENCE_END, SENTENCE_START, UNKNOWN, NGramModel
from asrkit.lm.text import open_text
from asrkit.lm.trie import Level, build_arrays

MISSING_UNK_LOG10_PROB = -100.0
"""Log-probability of unknown words in a file without `<unk>`; KenLM's."""

_LINES_AT_ONCE = 1 << 16
_LN_10 = math.log(10)
_BEYOND_LOG10 = 1e30
"""No logarithm is as large, and sums of smaller ones fit 32 bits."""
_COUNT = re.compile(rb"ngram\s+(\d{1,18})\s*=\s*(\d{1,18})")


def read_arpa(path: Path) -> NGramModel:
    r"""Read an ARPA file, plain or compressed by gzip, bzip2 or xz.

    `<UNK>` is taken for `<unk>`. A file without either gives unknown words a log10 probability of
    `MISSING_UNK_LOG10_PROB`. Words are told apart by their bytes, as in UTF-8. What stands before
    `\data\` and after `\end\` is not read.

    Raises
    ------
    LanguageModelError
        If the file cannot be read or is not a complete, consistent ARPA file; the message names the
        line.
    """
    with open_text(path) as file:
        return _ArpaReader(path, file).read()


class _ArpaReader:
    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._line_number = 0

    def read(self) -> NGramModel:
        counts = self._read_counts()
        words, vocabulary = self._read_vocabulary(counts[0])
        levels, ids = [vocabulary], {word: number for number, word in enumerate(words)}
        for order, count in enumerate(counts[1:], 2):
            levels.append(self._read_level(order, count, ids, levels))
        self._expect(b"\\end\\")
        try:
            texts = [word.decode() for word in words]
        except UnicodeDecodeError as error:
            bad = error.object.decode(errors="backslashreplace")
            raise LanguageModelError(
                f"{self._path}: the word {bad!r} is not UTF-8; expected UTF-8 text"
            ) from error
        missing = {SENTENCE_START, SENTENCE_END} - set(texts)
        if missing:
            raise LanguageModelError(
                f"{self._path}: no {' and no '.join(sorted(missing))} among the 1-grams; expected "
                "a model of sentences"
            )
        return NGramModel(texts, build_arrays(levels), [len(level) for level in levels])

    def _error(self, what: str) -> LanguageModelError:
        return LanguageModelError(f"{self._path}:{self._line_number}: {what}")

    def _next_line(self, expected: str) -> bytes:
        """Give the next line that is not blank."""
        for line in self._file:
            self._line_number += 1
            if line.strip():
                return line.strip()
        raise self._error(f"the file ends here; expected {expected}; is it complete?")

    def _expect(self, expected: bytes) -> None:
        line = self._next_line(expected.decode())
        if line != expected:
            raise self._error(f"{_show(line)}; expected {expected.decode()}")

    def _read_counts(self) -> list[int]:
        while self._next_line("\\data\\ of an ARPA file") != b"\\data\\":
            pass
        counts: list[int] = []
        for line in map(bytes.strip, self._file):
            self._line_number += 1
            if not line:
                if counts:
                    break
                continue
            match = _COUNT.fullmatch(line)
            if not match or int(match[1]) != len(counts) + 1:
                raise self._error(f"{_show(line)}; expected `ngram {len(counts) + 1}=` and a count")
            counts.append(int(match[2]))
        if not counts or not counts[0]:
            raise self._error("no 1-grams are announced; expected `ngram 1=` and a count")
        return counts

    def _read_vocabulary(self, count: int) -> tuple[list[bytes], Level]:
        """Give the words by id, `<unk>` first, and the first level."""
        words: list[bytes] = []
        parts = []
        for numbers, (column,) in self._read_section(1, count):
            words += [b"<unk>" if word == b"<UNK>" else word for word in column]
            parts.append(numbers)
        log_probs, backoffs = np.concatenate(parts, axis=1)
        if len(set(words)) != count:
            twice = Counter(words).most_common(1)[0][0]
            raise self._error(f"the 1-gram {_show(twice)} stands twice; expected it once")
        unk = UNKNOWN.encode()
        if unk in words:
            place = words.index(unk)
            order = [place, *range(place), *range(place + 1, count)]
            words = [words[k] for k in order]
            log_probs, backoffs = log_probs[order], backoffs[order]
        else:
            words = [unk, *words]
            log_probs = np.insert(log_probs, 0, MISSING_UNK_LOG10_PROB * _LN_10)
            backoffs = np.insert(backoffs, 0, 0.0)
        ids = np.arange(len(words), dtype=np.int32)
        return words, Level(np.zeros_like(ids), ids, log_probs, backoffs)

    def _read_level(
        self, order: int, count: int, ids: Mapping[bytes, int], levels: list[Level]
    ) -> Level:
        parts = [np.empty((2, 0))]
        word_parts = [np.empty((order, 0), np.int32)]
        for numbers, columns in self._read_section(order, count):
            parts.append(numbers)
            word_parts.append(np.empty((order, numbers.shape[1]), np.int32))
            for row, column in zip(word_parts[-1], columns, strict=True):
                try:
                    row[:] = np.fromiter(map(ids.__getitem__, column), np.int32, len(column))
                except KeyError as error:
                    self._line_number += column.index(error.args[0]) + 1
                    raise self._error(
                        f"{order}-gram with {_show(error.args[0])}; expected a word of the 1-grams"
                    ) from None
        log_probs, backoffs = np.concatenate(parts, axis=1)
        parts.clear()
        words = np.concatenate(word_parts, axis=1)
        word_parts.clear()
        context = words[0]
        for level, word in zip(levels[1:], words[1:-1], strict=True):
            context = _find(level, context, word, len(ids))
        orphans = np.flatnonzero(context < 0)
        if len(orphans):
            raise self._misplaced(
                words[:, orphans[0]], ids, f"extends no {order - 1}-gram; expected its first "
                f"word{'s' * (order > 2)} among the {order - 1}-grams"
            )  # fmt: skip
        keys = context.astype(np.int64) * len(ids) + words[-1]
        sorting = np.argsort(keys, kind="stable")
        keys = keys[sorting]
        twice = np.flatnonzero(keys[1:] == keys[:-1])
        if len(twice):
            ngram = words[:, sorting[twice[0]]]
            raise self._misplaced(ngram, ids, "stands twice; expected it once")
        return Level(context[sorting], words[-1][sorting], log_probs[sorting], backoffs[sorting])

    def _misplaced(
        self, ngram: NDArray[np.int32], ids: Mapping[bytes, int], what: str
    ) -> LanguageModelError:
        words = list(ids)
        shown = _show(b" ".join(words[k] for k in ngram))
        return LanguageModelError(f"{self._path}: the {len(ngram)}-gram {shown} {what}")

    def _read_section(
        self, order: int, count: int
    ) -> Iterator[tuple[NDArray[np.float64], list[list[bytes]]]]:
        """Yield the numbers of some lines at a time, (2, lines) in nats, and words by column.

        What is announced is not believed: nothing has the size of `count` before it is read.
        """
        self._expect(b"\\%d-grams:" % order)
        done = 0
        while done < count:
            lines = list(islice(self._file, min(_LINES_AT_ONCE, count - done)))
            numbers = np.zeros((2, len(lines)))
            fields, width = _split_lines(lines, order)
            try:
                numbers[0] = np.fromiter(map(float, fields[::width]), np.float64)
                if width == order + 2:
                    numbers[1] = np.fromiter(map(float, fields[width - 1 :: width]), np.float64)
            except ValueError:  # no number, or not as many as lines
                fields = []
            if not (fields and np.abs(numbers).max() < _BEYOND_LOG10 and numbers[0].max() <= 0):
                self._explain(lines, order, done, count)
            yield numbers * _LN_10, [fields[k::width] for k in range(1, order + 1)]
            self._line_number += len(lines)
            done += len(lines)

    def _explain(self, lines: list[bytes], order: int, done: int, count: int) -> NoReturn:
        """Raise the error of the first line that is not an n-gram."""
        for line in lines:
            self._line_number += 1
            row = line.split()
            if not row or row[0].startswith(b"\\"):
                raise self._error(
                    f"the {order}-grams end after {done} of {count}; expected as many as "
                    "the header announces; is the file complete?"
                )
            done += 1
            if len(row) not in {order + 1, order + 2}:
                raise self._error(
                    f"{_show(line.strip())}; expected a log10 probability, {order} "
                    f"word{'s' * (order > 1)} and perhaps a back-off weight"
                )
            if not _is_number(row[0]) or float(row[0]) > 0:
                raise self._error(f"{_show(row[0])}; expected a log10 probability, 0 or less")
            if len(row) == order + 2 and not _is_number(row[-1]):
                raise self._error(f"{_show(row[-1])}; expected a back-off weight")
        self._line_number += 1
        raise self._error(
            f"the file ends after {done} of {count} {order}-grams; expected \\end\\; is it "
            "complete?"
        )


def _split_lines(lines: list[bytes], order: int) -> tuple[list[bytes], int]:
    """Give the fields of all lines in a row, and how many a line has; none if lines are odd."""
    separators = {(line.count(b"\t"), line.count(b" ")) for line in lines}
    if len(separators) == 1:
        width = sum(separators.pop()) + 1
        fields = b"".join(lines).split()
        if len(fields) == width * len(lines) and order + 1 <= width <= order + 2:
            return fields, width
    rows = [line.split() for line in lines]
    for row in rows:
        if len(row) == order + 1:
            row.append(b"0")
    if any(len(row) != order + 2 for row in rows):
        return [], order + 2
    return [field for row in rows for field in row], order + 2


def _find(
    level: Level, context: NDArray[np.int32], word: NDArray[np.int32], num_words: int
) -> NDArray[np.int32]:
    """Give the n-grams of a level by context and last word, -1 where it lacks one."""
    keys = level.context.astype(np.int64) * num_words + level.word
    wanted = context.astype(np.int64) * num_words + word
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found = len(keys) > 0 and (keys[place] == wanted) & (context >= 0)
    return np.where(found, place, -1).astype(np.int32)


def _is_number(value: bytes) -> bool:
    try:
        return abs(float(value)) < _BEYOND_LOG10
    except ValueError:
        return False


def _show(value: bytes) -> str:
    text = value.decode(errors="backslashreplace")
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
