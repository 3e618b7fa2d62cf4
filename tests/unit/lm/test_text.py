from __future__ import annotations

import gzip
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from asrkit.data.manifest import Utterance, write_manifest
from asrkit.errors import LanguageModelError
from asrkit.lm import text as text_module
from asrkit.lm.corpus import read_corpus
from asrkit.lm.text import read_lines

Write = Callable[..., Path]


@pytest.mark.parametrize("bytes_at_once", [1, 3, 1 << 20])
@pytest.mark.parametrize("text", ["", "a", "a\n", "\n", "\na\n\nb", "long line\nb c\n\n"])
def test_lines_are_whole(
    write: Write, monkeypatch: pytest.MonkeyPatch, bytes_at_once: int, text: str
) -> None:
    monkeypatch.setattr(text_module, "_BYTES_AT_ONCE", bytes_at_once)
    pieces = list(read_lines(write(text)))
    lines = [line for piece in pieces for line in piece.content.split(b"\n")]
    assert lines == (text.encode().removesuffix(b"\n").split(b"\n") if text else [])
    number = 1
    for piece in pieces:
        assert piece.first == number
        number += piece.content.count(b"\n") + 1


def test_words_are_taken_as_they_are(write: Write) -> None:
    corpus = read_corpus([write("\ufeffDon’t  stop,\tZoë\r\n\n")])
    assert corpus.words[3:] == ("Don’t", "stop,", "Zoë")
    assert corpus.tokens.tolist() == [1, 3, 4, 5, 2, 1, 2]
    assert corpus.num_words == 3


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = TextIOWrapper(BytesIO(gzip.compress(b"a b\n")))
    monkeypatch.setattr("sys.stdin", stream)
    assert read_corpus([Path("-")]).words[3:] == ("a", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "no text; expected a sentence a line"),
        (b"\n \n", "blank lines only; expected"),
        (b"a\nb\nc \xff\n", ":3: byte 0xff is no UTF-8"),
        (b"a <s>x\nb <s> c\n", ":2: the word <s>; expected plain sentences"),
        (b"a\n\n</s>", ":3: the word </s>; expected plain sentences"),
        (gzip.compress(b"a b c\n" * 99)[:-20], "damaged or cut short"),
        (b"BZh9 is no bzip2 file", "damaged or cut short"),
    ],
)
def test_bad_texts(write: Write, text: bytes, message: str) -> None:
    path = write(text)
    with pytest.raises(LanguageModelError, match=message) as caught:
        read_corpus([path])
    assert str(caught.value).startswith(str(path))


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match="no such file"):
        read_corpus([tmp_path / "absent"])
    with pytest.raises(LanguageModelError, match="a folder"):
        read_corpus([tmp_path])


def test_transcripts_of_a_manifest(tmp_path: Path) -> None:
    texts = ["aː b", "", "c"]
    utterances = [Utterance(str(n), tmp_path / f"{n}.wav", 1.0, t) for n, t in enumerate(texts)]
    write_manifest(tmp_path / "train.jsonl", utterances)
    assert list(read_corpus([tmp_path / "train.jsonl"]).words)[-3:] == ["aː", "b", "c"]
    (piece,) = read_lines(tmp_path / "train.jsonl")
    assert piece.content.decode().split("\n") == texts
