"""Which words there are and how tokens spell them: a trie over letters with words at its nodes.

Letters are what words are made of, tokens what the model emits; a token tells whether it ends the
word before it and which letters it adds. A character is a letter, and the space ends a word, as
does a piece that begins one. Of phones, each is a letter and no token ends a word: where a word
ends, the lexicon tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrkit.data.bpe import WORD_START
from asrkit.data.tokens import TokenTable
from asrkit.errors import TokenError

_MAX_LETTERS = 1000
"""Of a word; a trie is built level by level."""

Letters = tuple[int, ...]


@dataclass(frozen=True)
class Spelling:
    """What each token of a table adds to a word.

    Attributes
    ----------
    ends_word : bool array, shape (V,)
        Whether a token ends the word before it.
    letters : tuple of tuples of int
        V of them: the letters that a token adds.
    letter_ids : mapping
        From letters, as they are written, to their numbers, 0 to their count - 1.
    """

    ends_word: NDArray[np.bool_]
    letters: tuple[Letters, ...]
    letter_ids: Mapping[str, int]

    @property
    def is_separated(self) -> bool:
        """Whether tokens tell where a word ends."""
        return bool(self.ends_word.any())

    @classmethod
    def of(cls, tokens: TokenTable) -> Spelling:
        """Describe a token table."""
        letters = [tokens.letters(token_id) for token_id in range(len(tokens))]
        letter_ids = {
            letter: number for number, letter in enumerate(dict.fromkeys(chain(*letters)))
        }
        return cls(
            np.array([tokens.ends_word(token_id) for token_id in range(len(tokens))]),
            tuple(tuple(letter_ids[letter] for letter in each) for each in letters),
            letter_ids,
        )

    def spell(self, symbols: Iterable[str]) -> Letters:
        """Give the letters of a word.

        Raises
        ------
        KeyError
            Holding the first symbol that is no letter.
        """
        return tuple(self.letter_ids[symbol] for symbol in symbols)


@dataclass(frozen=True)
class Lexicon:
    """Words and their spellings; a word may have several, a spelling several words.

    Attributes
    ----------
    words : tuple of str
        W words, each once.
    spellings : tuple of (int, tuple of int)
        Word and letters, at least one letter each.
    """

    words: tuple[str, ...]
    spellings: tuple[tuple[int, Letters], ...]

    @cached_property
    def trie(self) -> Trie:
        """All spellings as one trie."""
        return Trie.build(self.spellings)

    @cached_property
    def spellings_of(self) -> Mapping[str, Sequence[Letters]]:
        """Spellings by word."""
        by_word: dict[str, list[Letters]] = {}
        for number, letters in self.spellings:
            by_word.setdefault(self.words[number], []).append(letters)
        return by_word

    def with_words(self, spelled: Mapping[str, Letters]) -> Lexicon:
        """Add words that it lacks, each with a spelling of at least one letter."""
        added = enumerate(spelled.values(), start=len(self.words))
        return Lexicon((*self.words, *spelled), (*self.spellings, *added))

    @classmethod
    def from_words(cls, words: Iterable[str], spelling: Spelling, is_split: bool) -> Lexicon:
        """Spell words as they are written, but those that are endless or that tokens cannot spell.

        Parameters
        ----------
        words
            Each once.
        spelling
            Of the tokens.
        is_split
            Whether a word is split into characters; else it is one letter, a phone.
        """
        spelled = []
        for word in words:
            try:
                letters = spelling.spell(word if is_split else (word,))
            except KeyError:
                continue
            if len(letters) <= _MAX_LETTERS:
                spelled.append((word, letters))
        return cls(
            tuple(word for word, _ in spelled),
            tuple((number, letters) for number, (_, letters) in enumerate(spelled)),
        )

    @classmethod
    def read(cls, path: Path, tokens: TokenTable) -> Lexicon:
        """Read a lexicon: a word and its tokens a line, separated by white space.

        A word may stand in several lines. But with phones, a word alone is spelled as written, and
        of pieces only their letters count: every way to split them is looked for.

        Raises
        ------
        TokenError
            Naming file and line, if a word has no tokens, too many or one that the table lacks, or
            there is no word at all.
        """
        spelling = Spelling.of(tokens)
        numbers: dict[str, int] = {}
        spellings: dict[tuple[int, Letters], None] = {}
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise TokenError(f"{path}: cannot be read as a lexicon: {error}") from error
        for number, line in enumerate(lines, start=1):
            word, *symbols = line.split() or [""]
            if not word:
                continue
            if not symbols and tokens.unit != "phone":
                symbols = [*word]
            if not symbols:
                raise TokenError(
                    f"{path}:{number}: {word!r} has no tokens; expected a word and its tokens"
                )
            if tokens.unit == "bpe":
                symbols = [*"".join(symbols).replace(WORD_START, "")]
            try:
                letters = spelling.spell(symbols)
            except KeyError as error:
                raise TokenError(
                    f"{path}:{number}: {word!r} is spelled with {error.args[0]!r}, which the "
                    f"model's {len(tokens) - 1} tokens lack; correct the line or leave it out"
                ) from None
            if len(letters) > _MAX_LETTERS:
                raise TokenError(
                    f"{path}:{number}: {word[:40]!r} has {len(letters)} letters; expected at most "
                    f"{_MAX_LETTERS}; correct the line or leave it out"
                )
            spellings[numbers.setdefault(word, len(numbers)), letters] = None
        if not spellings:
            raise TokenError(f"{path}: no words; expected a word and its tokens a line")
        return cls(tuple(numbers), tuple(spellings))


@dataclass(frozen=True)
class Trie:
    """Spellings as paths from node 0.

    The children of node n are nodes `first_child[n]` to `first_child[n + 1] - 1`, sorted by the
    letter that leads to each; the words spelled by the path to n are `words[first_word[n]]` to
    `words[first_word[n + 1] - 1]`. Nodes are numbered level by level, which begin at `levels`.
    """

    first_child: NDArray[np.int32]
    letter: NDArray[np.int32]
    first_word: NDArray[np.int32]
    words: NDArray[np.int32]
    parents: NDArray[np.int32]
    levels: tuple[int, ...]

    @classmethod
    def build(cls, spellings: Sequence[tuple[int, Letters]]) -> Trie:
        """Build a trie of words and their letters."""
        if not spellings:
            zeros = np.zeros(2, np.int32)
            no_letter = np.full(1, -1, np.int32)
            return cls(zeros, no_letter, zeros, zeros[:0], no_letter, (0, 1))
        of_word = np.array([word for word, _ in spellings], np.int32)
        lengths = np.array([len(letters) for _, letters in spellings])
        letters = np.fromiter(chain.from_iterable(each for _, each in spellings), np.int64)
        starts = np.cumsum(lengths) - lengths
        # All spellings go down together, a letter at a time. Nodes are numbered level by level, so
        # that the children of each stand together.
        node = np.zeros(len(spellings), np.int64)
        parents, letter, levels = [np.array([-1])], [np.array([-1])], [0, 1]
        num_letters, going = 1 + letters.max(), np.arange(len(spellings))
        for depth in range(lengths.max()):
            going = going[lengths[going] > depth]
            steps, which = np.unique(
                node[going] * num_letters + letters[starts[going] + depth], return_inverse=True
            )
            node[going] = levels[-1] + which
            parents.append(steps // num_letters)
            letter.append(steps % num_letters)
            levels.append(levels[-1] + len(steps))
        by_node = np.lexsort((of_word, node))
        above = np.concatenate(parents)
        return cls(
            _starts(above[1:], levels[-1]) + np.int32(1),
            np.concatenate(letter).astype(np.int32),
            _starts(node[by_node], levels[-1]),
            of_word[by_node],
            above.astype(np.int32),
            tuple(levels),
        )

    def best_at(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the highest value of a word at each node, -inf if it has none."""
        best = np.full(len(self.letter), -np.inf)
        owners = np.repeat(np.arange(len(best)), np.diff(self.first_word))
        np.maximum.at(best, owners, values[self.words])
        return best

    def best_below(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the highest value of a word at each node or below; `values` are the words'."""
        best = self.best_at(values)
        for start, stop in reversed([*pairwise(self.levels)][1:]):
            np.maximum.at(best, self.parents[start:stop], best[start:stop])
        return best


def _starts(owners: NDArray[np.int64], count: int) -> NDArray[np.int32]:
    """Where those of each owner begin, if they stand sorted by owner; and where all end."""
    counts = np.bincount(owners, minlength=count)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
