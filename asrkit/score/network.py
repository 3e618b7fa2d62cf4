"""The tokens of a reference as a network: one after the other, or with alternatives."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """One token of a reference; `token` is None where an alternative is to say nothing."""

    token: str | None
    is_optional: bool
    """Whether a hypothesis may lack it without an error."""
    node: int
    """Where it begins."""


@dataclass(frozen=True, slots=True)
class WordNetwork:
    """Words between nodes, without cycles: each way from the first node to the last is a reference.

    Node 0 is the beginning. The words that end in node `n` are those of the numbers `ends_of[n]`,
    alternatives in their order, and they stand before all words that begin there.
    """

    words: tuple[Word, ...]
    ends_of: tuple[tuple[int, ...], ...]
    spelling: tuple[str, ...]
    """The tokens, and braces, slashes, `@` and parentheses where there are alternatives or optional
    words that the reference itself marks."""

    @classmethod
    def of_tokens(cls, tokens: Sequence[str], optional: Collection[str] = ()) -> WordNetwork:
        """Lay tokens end to end; those in `optional` are optional."""
        return cls(
            words=tuple(Word(token, token in optional, i) for i, token in enumerate(tokens)),
            ends_of=((), *((i,) for i in range(len(tokens)))),
            spelling=tuple(tokens),
        )

    @property
    def num_tokens(self) -> int:
        """Tokens on the way of the first alternatives."""
        count, ends = 0, self.ends_of[-1]
        while ends:
            word = self.words[ends[0]]
            count += word.token is not None
            ends = self.ends_of[word.node]
        return count
