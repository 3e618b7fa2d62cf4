from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asrkit.errors import LanguageModelError
from asrkit.lm.arpa_reader import read_arpa
from asrkit.lm.model_file import load_ngram, save_ngram
from asrkit.lm.ngram import NGramModel, step
from asrkit.lm.perplexity import measure_perplexity
from asrkit.lm.quantize import quantize


@pytest.fixture
def model(golden: Path) -> NGramModel:
    return read_arpa(golden / "order3.arpa")


@pytest.fixture
def file(model: NGramModel, tmp_path: Path) -> Path:
    save_ngram(tmp_path / "lm.bin", model)
    return tmp_path / "lm.bin"


@pytest.mark.parametrize("name", ["order1", "order2", "order4"])
def test_saved_and_loaded(golden: Path, tmp_path: Path, name: str) -> None:
    model = load_ngram(golden / f"{name}.arpa")
    save_ngram(tmp_path / "lm.bin", model)
    again = load_ngram(tmp_path / "lm.bin")
    assert (again.words, again.counts) == (model.words, model.counts)
    for one, other in zip(again.arrays, model.arrays, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert [path.name for path in tmp_path.iterdir()] == ["lm.bin"]


def test_a_mapped_model_runs_the_same_compiled_code(model: NGramModel, file: Path) -> None:
    step(model.arrays, 0, 3)
    variants = len(step.signatures)
    step(load_ngram(file).arrays, 0, 3)
    assert len(step.signatures) == variants


def test_quantized(model: NGramModel, file: Path, golden: Path, tmp_path: Path) -> None:
    save_ngram(tmp_path / "small.bin", model, quantized=True)
    small = load_ngram(tmp_path / "small.bin")
    assert (tmp_path / "small.bin").stat().st_size < 0.9 * file.stat().st_size
    texts = [golden / "text.txt"]
    exact = measure_perplexity(model, texts).including_oov
    assert measure_perplexity(small, texts).including_oov == pytest.approx(exact, rel=2e-3)
    assert small.arrays.log_prob.dtype == np.float32


def test_code_books() -> None:
    rng = np.random.default_rng(1)
    values = np.append(-rng.exponential(3, 100_000), [-230.0, 0.0]).astype(np.float32)
    codes, book = quantize(values)
    assert (codes.dtype, book.shape, book.dtype) == (np.uint8, (256,), np.float32)
    error = book[codes] - values
    assert np.sqrt(np.mean(error**2)) < 0.03
    assert (error[-2:] == 0).all()
    few = np.array([-3.0, -1.0, 0.0, -1.0], np.float32)
    codes, book = quantize(few)
    np.testing.assert_array_equal(book[codes], few)
    codes, book = quantize(few[:0])
    assert (codes.shape, book.shape) == ((0,), (256,))


def rewrite(file: Path, change: Callable[[dict[str, dict[str, object]]], object]) -> None:
    content = file.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    file.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.pop("__metadata__"),
        lambda header: header["__metadata__"].update(version="2"),
        lambda header: header.pop("counts"),
        lambda header: header["word"].update(dtype="F64"),
        lambda header: header["word"].update(dtype="F32"),
        lambda header: header["word"].update(shape=[-1]),
        lambda header: header["word"].update(shape=[1 << 60]),
        lambda header: header["word"].update(shape="x"),
        lambda header: header["words"].update(data_offsets=[0, 8]),
        lambda header: header["words"].update(data_offsets=[5]),
        lambda header: header.update(more=header.pop("words")),
        lambda header: header.update(word=[]),
    ],
)
def test_a_hostile_header(file: Path, change: Callable[[dict[str, object]], object]) -> None:
    rewrite(file, change)
    with pytest.raises(LanguageModelError, match=f"{file}: .*; expected .*; build it again"):
        load_ngram(file)


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("word", 5, 7_000_000),
        ("word", 5, -1),
        ("word", 2, 0),
        ("log_prob", 9, np.nan),
        ("log_prob", 9, 1.0),
        ("backoff", 9, np.inf),
        ("next_state", 3, 1 << 30),
        ("next_state", 3, -1),
        ("suffix", 0, 1),
        ("suffix", 40, 40),
        ("suffix", 40, -2),
        ("first_child", 0, 0),
        ("first_child", -1, 1 << 30),
        ("first_child", 30, 1 << 30),
        ("first_child", 30, -5),
    ],
)
def test_hostile_arrays(
    model: NGramModel, tmp_path: Path, name: str, place: int, value: float
) -> None:
    array = getattr(model.arrays, name).copy()
    array[place] = value
    bad = NGramModel(model.words, model.arrays._replace(**{name: array}), model.counts)
    save_ngram(tmp_path / "bad.bin", bad)
    with pytest.raises(LanguageModelError, match=r"numbers out of range; expected"):
        load_ngram(tmp_path / "bad.bin")


def test_damaged_files(file: Path, model: NGramModel) -> None:
    content = file.read_bytes()
    for damaged in (
        content[:-1],
        content[:5000],
        content + b"\0",
        struct.pack("<Q", 1 << 62) + content[8:],
        struct.pack("<Q", 9) + b"{" * 9,
        struct.pack("<Q", 60_000) + b"{" + b"[" * 60_000,
    ):
        file.write_bytes(damaged)
        with pytest.raises(LanguageModelError, match=r"; expected a language model of"):
            load_ngram(file)
    for other in (b"", b"\0" * 100, b"hello\n", content[:8]):
        file.write_bytes(other)
        with pytest.raises(LanguageModelError, match=r"the file ends here; expected \\data"):
            load_ngram(file)
    arrays = model.arrays._replace(word=model.arrays.word[:-1])
    save_ngram(file, NGramModel(model.words, arrays, model.counts))
    with pytest.raises(LanguageModelError, match="arrays of different lengths"):
        load_ngram(file)
    with pytest.raises(LanguageModelError, match="no such file"):
        load_ngram(file.parent / "absent")
    with pytest.raises(LanguageModelError, match="a folder"):
        load_ngram(file.parent)


def test_a_failed_write_leaves_the_old_file(
    model: NGramModel, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_ngram(file, model, quantized=True)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]
