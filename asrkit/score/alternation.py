"""References with alternatives, `{ a / b }`, and optional words, `(uh)`, as NIST's sclite has them.

An alternative is any number of words, further alternatives included; `@` says nothing. Braces and,
between braces, slashes stand for themselves with or without white space around them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from asrkit.errors import ScoreError, UsageError
from asrkit.score.network import Word, WordNetwork
from asrkit.score.protocol import Protocol
from asrkit.settings import Unit

_NOTHING = "@"
_Kind = Literal["words", "optional", "mark"]


def read_reference(
    text: str, protocol: Protocol, unit: Unit, where: str, *, alternatives: bool = False
) -> WordNetwork:
    """Turn a reference into the tokens to be scored, with their alternatives.

    The protocol's rules apply to each stretch of words between two marks (braces, slashes, `@`,
    optional words).

    Parameters
    ----------
    text
        A reference.
    protocol
        Its rules; also whether the reference has alternatives and optional words.
    unit
        What is scored; alternatives of characters are not, for the spaces between words would
        depend on the way that is taken.
    where
        What the text is, for error messages.
    alternatives
        Whether the reference has alternatives (but not optional words) in any case.

    Raises
    ------
    ScoreError
        If braces do not match, an alternative is empty or a symbol is not part of the protocol.
    UsageError
        If the protocol does not score this unit, or there are marks and the unit is `char`.
    """

    def tokens_of(words: str) -> list[str]:
        return protocol.apply(words, unit, where)

    if not (alternatives or protocol.marked_references):
        return WordNetwork.of_tokens(tokens_of(text), protocol.optional)
    reader = _Reader(tokens_of, protocol.optional, where)
    for kind, symbols in groupby(_symbols(text, protocol.marked_references), lambda pair: pair[0]):
        if unit == "char" and kind != "words":
            raise UsageError(
                f"{where}: has alternatives or optional words, and unit char cannot score them; "
                "score words, or remove the marks"
            )
        if kind == "words":
            reader.add(" ".join(word for _, word in symbols))
            continue
        for _, symbol in symbols:
            if kind == "optional":
                reader.add(symbol[1:-1], is_optional=True)
            else:
                reader.mark(symbol)
    return reader.finish()


def _symbols(text: str, optional_words: bool) -> Iterator[tuple[_Kind, str]]:
    depth = 0
    for chunk in re.findall(r"[{}]|[^\s{}]+", text):
        depth += (chunk == "{") - (chunk == "}")
        for symbol in re.findall(r"/|[^/]+", chunk) if depth > 0 else [chunk]:
            if symbol in ("{", "}", _NOTHING) or (symbol == "/" and depth > 0):
                yield "mark", symbol
            elif optional_words and re.fullmatch(r"\(.+\)", symbol):
                yield "optional", symbol
            else:
                yield "words", symbol


@dataclass(slots=True)
class _Alternation:
    """A brace not yet closed."""

    node: int
    ends: list[int] = field(default_factory=list)
    """Last words of the alternatives that are complete."""
    is_empty: bool = True
    """Whether the alternative has no symbols so far."""


@dataclass(slots=True)
class _Reader:
    tokens_of: Callable[[str], list[str]]
    optional: Collection[str]
    where: str
    words: list[Word] = field(default_factory=list)
    ends_of: list[tuple[int, ...]] = field(default_factory=lambda: [()])
    spelling: list[str] = field(default_factory=list)
    node: int | None = 0
    """Where the next word begins; None if that node is still to be made of `ends`."""
    ends: tuple[int, ...] = ()
    open: list[_Alternation] = field(default_factory=list)

    def add(self, words: str, is_optional: bool = False) -> None:
        """Add the tokens of some words."""
        self._fill()
        for token in self.tokens_of(words):
            self._add_word(token, is_optional or token in self.optional)
            self.spelling.append(f"({token})" if is_optional else token)

    def mark(self, symbol: str) -> None:
        """Open, part or close alternatives, or say nothing."""
        if symbol == "{":
            self._fill()
            self.open.append(_Alternation(self._make_node()))
        elif symbol == _NOTHING:
            self._fill()
            self._add_word(None)
        elif not self.open:
            raise self._error("'}' without '{' before it")
        else:
            self._complete_alternative()
            if symbol == "}":
                self.ends, self.node = tuple(self.open.pop().ends), None
        self.spelling.append(symbol)

    def finish(self) -> WordNetwork:
        """Return the network of all that was added."""
        if self.open:
            raise self._error("'{' is never closed")
        self._make_node()
        return WordNetwork(tuple(self.words), tuple(self.ends_of), tuple(self.spelling))

    def _complete_alternative(self) -> None:
        alternation = self.open[-1]
        if alternation.is_empty:
            raise self._error("an alternative is empty")
        if self.node == alternation.node:  # words of which `tokens_of` leaves none
            self._add_word(None)
            self.spelling.append(_NOTHING)
        alternation.ends += self.ends
        alternation.is_empty = True
        self.node = alternation.node

    def _fill(self) -> None:
        if self.open:
            self.open[-1].is_empty = False

    def _add_word(self, token: str | None, is_optional: bool = False) -> None:
        self.words.append(Word(token, is_optional, self._make_node()))
        self.ends, self.node = (len(self.words) - 1,), None

    def _make_node(self) -> int:
        if self.node is None:
            self.ends_of.append(self.ends)
            self.node = len(self.ends_of) - 1
        return self.node

    def _error(self, problem: str) -> ScoreError:
        return ScoreError(
            f"{self.where}: {problem}; expected alternatives such as {{ a / b c / @ }}, with @ for "
            "nothing; correct the reference"
        )
