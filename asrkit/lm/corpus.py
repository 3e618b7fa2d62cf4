"""A text as word ids: its vocabulary and where its sentences begin."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrkit.errors import LanguageModelError, UsageError
from asrkit.lm.ngram import SENTENCE_END, SENTENCE_START, UNKNOWN, Int32
from asrkit.lm.text import Lines, read_lines

SPECIAL_WORDS = (UNKNOWN, SENTENCE_START, SENTENCE_END)
UNK_ID, START_ID, END_ID = range(3)

_MAX_TOKENS = 2**31 - 1


@dataclass(frozen=True)
class Corpus:
    """Sentences as one array, each from `<s>` to `</s>`.

    Attributes
    ----------
    words : tuple of str
        The vocabulary by id: `<unk>`, `<s>`, `</s>`, then the others.
    tokens : int32 (S,)
        Word ids.
    """

    words: tuple[str, ...]
    tokens: Int32

    @property
    def num_words(self) -> int:
        """Number of words in running text, without sentence boundaries."""
        return len(self.tokens) - 2 * int(np.count_nonzero(self.tokens == START_ID))


def read_corpus(
    paths: Sequence[Path],
    vocabulary: Iterable[str] | None = None,
    max_words: int | None = None,
    on_read: Callable[[int], None] | None = None,
) -> Corpus:
    """Read texts, one sentence a line, words between white space, nothing normalised.

    A blank line is a sentence of no words, as for KenLM's lmplz. `<unk>` in a text is a word that
    is not in the vocabulary.

    Parameters
    ----------
    paths
        Files, plain or compressed; `-` is standard input.
    vocabulary
        All words of the model; others become `<unk>`. Those of the text if None, numbered as they
        appear.
    max_words
        Keep only so many of the words, the most frequent ones; of equals, the first.
    on_read
        Called with the number of bytes read of all files together.

    Raises
    ------
    LanguageModelError
        If a text cannot be read, holds `<s>` or `</s>`, or all are empty.
    UsageError
        If `max_words` is less than 1.
    """
    if max_words is not None and max_words < 1:
        raise UsageError(f"max_words is {max_words}; expected 1 or more")
    ids: dict[bytes, int]
    if vocabulary is None:
        numbered: defaultdict[bytes, int] = defaultdict()
        numbered.default_factory = numbered.__len__
        ids = numbered
        for word in SPECIAL_WORDS:
            ids[word.encode()]
    else:
        ids = _Closed()
        for word in (*SPECIAL_WORDS, *vocabulary):
            ids.setdefault(word.encode(), len(ids))
    pieces = []
    num_tokens = bytes_before = 0
    for path in paths:
        bytes_read = 0
        for lines in read_lines(path):
            piece = np.fromiter(map(ids.__getitem__, split_sentences(lines)), np.int32)
            pieces.append(piece)
            num_tokens += len(piece)
            if num_tokens > _MAX_TOKENS:
                raise LanguageModelError(
                    f"{lines.where}: more than {_MAX_TOKENS} words in all; expected fewer; leave "
                    "some text out"
                )
            bytes_read = lines.bytes_read
            if on_read:
                on_read(bytes_before + bytes_read)
        bytes_before += bytes_read
    if not pieces:
        names = ", ".join(map(str, paths))
        raise LanguageModelError(f"{names}: no text; expected a sentence a line")
    words = tuple(word.decode() for word in ids)
    tokens = np.concatenate(pieces)
    if max_words is not None:
        words, tokens = _keep_frequent(words, tokens, max_words)
    corpus = Corpus(words, tokens)
    if corpus.num_words == 0:
        names = ", ".join(map(str, paths))
        raise LanguageModelError(f"{names}: blank lines only; expected a sentence a line")
    return corpus


def read_vocabulary(path: Path) -> list[str]:
    """Read the words of a file, between white space.

    Raises
    ------
    LanguageModelError
        If the file cannot be read or has no words.
    """
    words = [word.decode() for lines in read_lines(path) for word in lines.content.split()]
    if not words:
        raise LanguageModelError(f"{path}: empty; expected a list of words")
    return words


class _Closed(dict[bytes, int]):
    def __missing__(self, word: bytes) -> int:
        return UNK_ID


def split_sentences(lines: Lines) -> list[bytes]:
    """Give the words of all lines, each line between `<s>` and `</s>`.

    Raises
    ------
    LanguageModelError
        If one of the two is in the text already.
    """
    _refuse_boundaries(lines)
    # As words of their own the boundaries cost no more than other words.
    return (b"<s> " + lines.content.replace(b"\n", b" </s> <s> ") + b" </s>").split()


def _refuse_boundaries(lines: Lines) -> None:
    for word in (b"<s>", b"</s>"):
        position = lines.content.find(word)
        while position >= 0:
            start = lines.content.rfind(b"\n", 0, position) + 1
            line, _, _ = lines.content[start:].partition(b"\n")
            if word in line.split():
                raise LanguageModelError(
                    f"{lines.where}:{lines.line_of(position)}: the word {word.decode()}; expected "
                    "plain sentences, their boundaries are added; remove it"
                )
            position = lines.content.find(word, position + 1)


def _keep_frequent(
    words: tuple[str, ...], tokens: Int32, max_words: int
) -> tuple[tuple[str, ...], Int32]:
    counts = np.bincount(tokens, minlength=len(words))[len(SPECIAL_WORDS) :]
    kept = np.sort(np.argsort(-counts, kind="stable")[:max_words]) + len(SPECIAL_WORDS)
    kept = np.concatenate([np.arange(len(SPECIAL_WORDS)), kept])
    new_ids = np.zeros(len(words), np.int32)
    new_ids[kept] = np.arange(len(kept), dtype=np.int32)
    return tuple(words[k] for k in kept), new_ids[tokens]
