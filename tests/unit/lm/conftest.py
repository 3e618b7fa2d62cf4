"""Texts and models that several tests of the language model layer use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asrkit.lm.arpa_reader import read_arpa
from asrkit.lm.ngram import NGramModel

# Suffixes are missing ("b a" is no 2-gram though "a b a" is a 3-gram), <s> has SRILM's -99, and
# back-off weights stand only where they matter.
TINY = """\
made by hand

\\data\\
ngram 1=6
ngram 2=4
ngram 3=2

\\1-grams:
-99\t<s>\t-0.5
-0.7\t</s>
-1.2\t<unk>
-0.5\ta\t-0.3
-0.6\tb\t-0.4
-1.5\tc

\\2-grams:
-0.2\t<s> a\t-0.1
-0.3\ta b\t-0.25
-0.4\tb c
-0.45\tb </s>

\\3-grams:
-0.15\t<s> a b
-0.35\ta b a

\\end\\
"""


@pytest.fixture(scope="session")
def golden() -> Path:
    """A text, and what KenLM's lmplz 0.3.0 made of it."""
    return Path(__file__).parent / "golden"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a text to a file of its own."""

    def write_text(text: str | bytes, name: str = "text.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_text


@pytest.fixture(scope="session")
def tiny_arpa() -> str:
    return TINY


@pytest.fixture
def tiny(write: Callable[..., Path]) -> NGramModel:
    return read_arpa(write(TINY, "tiny.arpa"))
