"""Token tables that the tests of decoding share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asrkit.data.tokens import TokenTable


@pytest.fixture(scope="session")
def chars() -> TokenTable:
    """Ids: 0 blank, 1 space, 2 a, 3 b, 4 c."""
    return TokenTable.from_texts(["a b c"], "char")


@pytest.fixture(scope="session")
def pieces() -> TokenTable:
    """Ids: 0 blank, 1 ab, 2 ▁a, 3 ▁c, 4 ▁, 5 a, 6 b, 7 c."""
    return TokenTable(("<blank>", "ab", "▁a", "▁c", "▁", "a", "b", "c"), "bpe")


@pytest.fixture(scope="session")
def phone_table() -> Callable[[int], TokenTable]:
    """Make a table of V symbols, blank included: p01, p02 ..."""

    def make(vocab_size: int) -> TokenTable:
        return TokenTable.from_texts([" ".join(f"p{n:02}" for n in range(1, vocab_size))], "phone")

    return make
