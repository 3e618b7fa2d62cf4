from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asrkit.errors import LanguageModelError
from asrkit.lm.arpa_reader import read_arpa
from asrkit.lm.arpa_writer import write_arpa
from asrkit.lm.ngram import NGramModel

Write = Callable[..., Path]


def same(one: NGramModel, other: NGramModel) -> bool:
    return (
        one.words == other.words
        and one.counts == other.counts
        and all(np.allclose(a, b, rtol=1e-6) for a, b in zip(one.arrays, other.arrays, strict=True))
    )


@pytest.mark.parametrize("name", ["order1", "order3", "order4"])
def test_written_and_read_again(golden: Path, tmp_path: Path, name: str) -> None:
    model = read_arpa(golden / f"{name}.arpa")
    write_arpa(tmp_path / "again.arpa", model)
    assert same(read_arpa(tmp_path / "again.arpa"), model)
    assert [path.name for path in tmp_path.iterdir()] == ["again.arpa"]


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress])
def test_compressed(tiny_arpa: str, tiny: NGramModel, write: Write, compress) -> None:
    assert same(read_arpa(write(compress(tiny_arpa.encode()), "model")), tiny)


def test_spaces_and_line_ends_of_other_programs(
    tiny_arpa: str, tiny: NGramModel, write: Write
) -> None:
    text = tiny_arpa.replace("\t", "  ").replace("\n", "\r\n").replace("<unk>", "<UNK>")
    assert same(read_arpa(write(text)), tiny)


def test_without_unk(tiny_arpa: str, write: Write) -> None:
    text = tiny_arpa.replace("-1.2\t<unk>\n", "").replace("ngram 1=6", "ngram 1=5")
    model = read_arpa(write(text))
    assert model.words[0] == "<unk>"
    assert model.counts == (6, 4, 2)
    assert model.score_words([0], state=0)[0] == pytest.approx(-100 * np.log(10))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "data", r"the file ends here; expected \\data"),
        ("ngram 2=4", "ngram 3=4", r":5: 'ngram 3=4'; expected `ngram 2=`"),
        ("ngram 1=6", "ngram 1=7", r":15: the 1-grams end after 6 of 7"),
        ("ngram 2=4", "ngram 2=3", r":20: '-0.45\\tb </s>'; expected \\3-grams:"),
        ("\\2-grams:", "\\4-grams:", r":16: '\\\\4-grams:'; expected \\2-grams:"),
        ("-0.4\tb c", "-0.4\tb", r":19: '-0.4\\tb'; expected a log10 probability, 2 words"),
        ("-0.4\tb c", "x\tb c", r":19: 'x'; expected a log10 probability, 0 or less"),
        ("-0.4\tb c", "0.4\tb c", r":19: '0.4'; expected a log10 probability, 0 or less"),
        ("-0.4\tb c", "nan\tb c", r":19: 'nan'; expected a log10"),
        ("-0.4\tb c", "-0.4\tb c\tx", r":19: 'x'; expected a back-off weight"),
        ("-0.4\tb c", "-0.4\tb d", r":19: 2-gram with 'd'; expected a word of the 1-grams"),
        ("-0.4\tb c", "-0.4\ta b", r"the 2-gram 'a b' stands twice"),
        ("-0.6\tb", "-0.6\ta", r"the 1-gram 'a' stands twice"),
        ("-0.35\ta b a", "-0.35\tb a b", r"the 3-gram 'b a b' extends no 2-gram; expected its"),
        ("\\end\\\n", "", r":25: the file ends here; expected \\end"),
        ("-0.35\ta b a\n\n\\end\\\n", "", r"the file ends after 1 of 2 3-grams"),
        ("</s>", "end", r"no </s> among the 1-grams"),
    ],
)
def test_a_bad_file(tiny_arpa: str, write: Write, old: str, new: str, message: str) -> None:
    assert old in tiny_arpa
    path = write(tiny_arpa.replace(old, new))
    with pytest.raises(LanguageModelError, match=message) as caught:
        read_arpa(path)
    assert str(caught.value).startswith(str(path))


def test_words_that_are_no_utf8(tiny_arpa: str, write: Write) -> None:
    path = write(tiny_arpa.encode().replace(b"\tc\n", b"\t\xffc\n").replace(b"b c\n", b"b \xffc\n"))
    with pytest.raises(LanguageModelError, match=r"'\\\\xffc' is not UTF-8"):
        read_arpa(path)
    path.write_bytes(gzip.compress(tiny_arpa.encode())[:-40])
    with pytest.raises(LanguageModelError, match="damaged or cut short"):
        read_arpa(path)
