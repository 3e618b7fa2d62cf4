"""The symbols a model can emit, and their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from asrkit.data.bpe import WORD_START, learn_pieces, split_word
from asrkit.errors import TokenError

TokenUnit = Literal["char", "phone", "bpe"]

BLANK = "<blank>"
_SPACE_IN_FILES = "<space>"


@dataclass(frozen=True)
class TokenTable:
    """Symbols and their ids; the CTC blank is id 0.

    White space in a transcript only separates: runs of it count as one space, at the ends as none.

    Attributes
    ----------
    symbols : tuple of str
        V symbols, the first is `<blank>`. With `unit = "char"` the others are single characters,
        among them the space; with `unit = "phone"` they are free of white space. With `unit =
        "bpe"` they are pieces of words in order of merging, each of their characters among them,
        and `▁` begins those that begin a word.
    unit : {"char", "phone", "bpe"}
        Whether a transcript is a string of characters, symbols separated by white space, or words
        made of pieces.

    Raises
    ------
    TokenError
        If the symbols are not as described, or one occurs twice.
    """

    symbols: tuple[str, ...]
    unit: TokenUnit
    blank_id: ClassVar[int] = 0
    _ids: Mapping[str, int] = field(init=False, repr=False, compare=False)
    _ids_of_words: dict[str, list[int]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        if self.symbols[:1] != (BLANK,):
            raise TokenError(f"token table: the first symbol must be {BLANK}")
        ids: dict[str, int] = {}
        for token_id, symbol in enumerate(self.symbols[1:], start=1):
            where = f"token table: symbol {token_id}, {symbol!r},"
            if symbol in ids or symbol == BLANK:
                raise TokenError(f"{where} occurs twice; every symbol has one line")
            if self.unit == "char" and len(symbol) != 1:
                raise TokenError(
                    f'{where} is not a single character; use unit "phone" for longer symbols'
                )
            if symbol != " " and symbol.split() != [symbol]:
                raise TokenError(f"{where} is empty or holds white space")
            if self.unit != "char" and symbol == " ":
                separated = "phones" if self.unit == "phone" else "words"
                raise TokenError(f"{where} is white space, which separates {separated}")
            if self.unit == "bpe" and WORD_START in symbol[1:]:
                raise TokenError(f"{where} is not a piece of one word")
            ids[symbol] = token_id
        if self.unit == "bpe":
            for character in (WORD_START, *"".join(self.symbols[1:])):
                if character not in ids:
                    raise TokenError(
                        f"token table: {character!r} is not among the pieces; expected each of "
                        "their characters to be one"
                    )
        object.__setattr__(self, "_ids", ids)

    def __len__(self) -> int:
        """Give V, the number of symbols, blank included."""
        return len(self.symbols)

    def encode(self, text: str) -> list[int]:
        """Give the ids of a transcript; an empty one has none.

        Raises
        ------
        TokenError
            If the transcript holds a symbol outside the table, or spells the blank.
        """
        try:
            if self.unit == "bpe":
                return [token_id for word in text.split() for token_id in self._encode_word(word)]
            return [self._ids[symbol] for symbol in _split(text, self.unit)]
        except KeyError as error:
            (symbol,) = error.args
            kind = "phone" if self.unit == "phone" else "char"
            raise TokenError(
                f"{text!r}: the token table has no {symbol!r}{_code_point(symbol)}; expected "
                f"{kind} symbols seen in training; normalise the transcript"
            ) from None

    def _encode_word(self, word: str) -> list[int]:
        """Give the ids of a word's pieces; KeyError holds a character that is none."""
        if word not in self._ids_of_words:
            for character in word:
                if character == WORD_START or character not in self._ids:
                    raise KeyError(character)
            self._ids_of_words[word] = [self._ids[each] for each in split_word(word, self._ids)]
        return self._ids_of_words[word]

    def decode(self, ids: Sequence[int]) -> str:
        """Give the transcript of ids, of which none is the blank; spaces only separate, as above.

        Raises
        ------
        TokenError
            If an id is the blank or outside the table.
        """
        for token_id in ids:
            if not 0 < token_id < len(self.symbols):
                raise TokenError(
                    f"token id {token_id} stands for no symbol; expected 1 to {len(self) - 1}"
                )
        separator = " " if self.unit == "phone" else ""
        spelled = separator.join(self.symbols[token_id] for token_id in ids)
        if self.unit == "bpe":
            spelled = spelled.replace(WORD_START, " ")
        return " ".join(spelled.split())

    def ends_word(self, token_id: int) -> bool:
        """Tell whether a token ends the word before it: the space, and pieces that begin a word."""
        symbol = self.symbols[token_id]
        return symbol.startswith(WORD_START) if self.unit == "bpe" else symbol == " "

    def letters(self, token_id: int) -> tuple[str, ...]:
        """Give the letters that a token adds to its word: a phone, or characters but the space."""
        symbol = self.symbols[token_id]
        if token_id == self.blank_id or symbol == " ":
            return ()
        return tuple(symbol.removeprefix(WORD_START)) if self.unit == "bpe" else (symbol,)

    @classmethod
    def from_texts(
        cls, texts: Iterable[str], unit: TokenUnit, vocabulary_size: int = 0
    ) -> TokenTable:
        """Collect the symbols of transcripts, sorted by code point; or learn pieces of words.

        Parameters
        ----------
        texts
            Transcripts.
        unit
            Of the table.
        vocabulary_size
            V of a table of pieces; of others, it is as large as need be.

        Raises
        ------
        TokenError
            If the transcripts hold no symbol at all, or spell the blank; or if a table of so many
            pieces cannot be made of them.
        """
        if unit == "bpe":
            return cls((BLANK, *learn_pieces(texts, vocabulary_size)), unit)
        symbols = {symbol for text in texts for symbol in _split(text, unit)}
        if not symbols:
            raise TokenError("token table: the transcripts are all empty")
        return cls((BLANK, *sorted(symbols)), unit)

    def to_text(self) -> str:
        """Write one symbol a line, in order of their ids; a space as `<space>`."""
        return "".join(f"{_SPACE_IN_FILES if s == ' ' else s}\n" for s in self.symbols)

    @classmethod
    def from_text(cls, text: str, unit: TokenUnit) -> TokenTable:
        """Read what `to_text` wrote.

        Raises
        ------
        TokenError
            If the text is not a token table of this unit.
        """
        symbols = text.removesuffix("\n").split("\n")
        if unit == "char":
            symbols = [" " if symbol == _SPACE_IN_FILES else symbol for symbol in symbols]
        return cls(tuple(symbols), unit)

    @classmethod
    def read(cls, path: Path, unit: TokenUnit) -> TokenTable:
        """Read a file of what `to_text` wrote.

        Raises
        ------
        TokenError
            Naming the file, if it cannot be read or is no token table of this unit.
        """
        try:
            return cls.from_text(path.read_bytes().decode("utf-8-sig"), unit)
        except OSError as error:
            raise TokenError(f"{path}: cannot be read: {error.strerror}") from error
        except (TokenError, UnicodeDecodeError) as error:
            raise TokenError(f"{path}: {error}") from error


def _split(text: str, unit: TokenUnit) -> Sequence[str]:
    words = text.split()
    return words if unit == "phone" else " ".join(words)


def _code_point(symbol: str) -> str:
    """Tell look-alikes apart: a Cyrillic `а` (U+0430) is not a Latin one."""
    return f" (U+{ord(symbol):04X})" if len(symbol) == 1 and not symbol.isascii() else ""
