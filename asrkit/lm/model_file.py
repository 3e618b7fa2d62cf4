"""Language models on disk: ARPA files, and a binary file that is mapped into memory.

The binary file has the layout of safetensors: eight bytes with the length of a JSON header, the
header, then the arrays of `asrkit.lm.ngram.NGramArrays` one after the other. Nothing in it is run.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from asrkit.errors import LanguageModelError
from asrkit.files import open_atomically
from asrkit.lm.arpa_reader import read_arpa
from asrkit.lm.ngram import NGramArrays, NGramModel
from asrkit.lm.quantize import quantize
from asrkit.lm.trie import freeze

_FORMAT = {"format": "asrkit n-gram model", "version": "1"}
_ALIGNMENT = 64
_MAX_HEADER_BYTES = 1 << 16
_DTYPES: dict[str, np.dtype[Any]] = {
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U8": np.dtype("u1"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_CODED = ("log_prob", "backoff")


def load_ngram(path: Path) -> NGramModel:
    """Read a language model: a file of `save_ngram`, or ARPA, plain or compressed, by its content.

    The binary file is mapped, not read: its arrays are pages of the file. Numbers stored as codes
    are expanded.

    Raises
    ------
    LanguageModelError
        If the file is none of these, damaged or inconsistent.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except FileNotFoundError:
        raise LanguageModelError(f"{path}: no such file; expected a language model") from None
    except IsADirectoryError:
        raise LanguageModelError(f"{path}: a folder; expected a language model") from None
    if start[8:] != b"{":
        return read_arpa(path)
    return _model_of(_map_arrays(path), path)


def save_ngram(path: Path, model: NGramModel, *, quantized: bool = False) -> None:
    """Write a model for `load_ngram`; the file appears whole or not at all.

    Parameters
    ----------
    quantized
        Store log-probabilities and back-off weights as one byte each, with a code book an order.
    """
    arrays: dict[str, NDArray[np.generic]] = {
        "counts": np.array(model.counts, np.int64),
        **model.arrays._asdict(),
        "words": np.frombuffer("\n".join(model.words).encode(), np.uint8),
    }
    if quantized:
        for name in _CODED:
            values = cast(NDArray[np.float32], arrays.pop(name))
            parts = [
                quantize(part) for part in np.split(values, _bounds(model.counts, len(values)))
            ]
            arrays[f"{name}_codes"] = np.concatenate([codes for codes, _ in parts])
            arrays[f"{name}_book"] = np.stack([book for _, book in parts])
    # The widest first, so that each is aligned.
    arrays = dict(sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize))
    header: dict[str, object] = {"__metadata__": _FORMAT}
    end = 0
    for name, array in arrays.items():
        offsets = [end, end := end + array.nbytes]
        shape = list(array.shape)
        header[name] = {"dtype": _NAMES[array.dtype], "shape": shape, "data_offsets": offsets}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    with open_atomically(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(array.data)


def _bounds(counts: tuple[int, ...], num_nodes: int) -> list[int]:
    """Give where the orders begin among the nodes, the empty context being with the unigrams."""
    return [place for place in (1 + np.cumsum(counts)).tolist() if place < num_nodes]


def _map_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """Map the arrays of a file whose header describes it exactly."""
    data = np.memmap(path, np.uint8, "r")
    size = int(data[:8].view("<u8")[0])
    if not 2 <= size <= min(_MAX_HEADER_BYTES, len(data) - 8):
        raise _damaged(path, f"a header of {size} bytes")
    try:
        header = json.loads(data[8 : 8 + size].tobytes())
        if header.pop("__metadata__") != _FORMAT:
            raise _damaged(path, "another format or version")
        content = np.asarray(data[8 + size :])
        arrays, expected_start = {}, 0
        for name, entry in header.items():
            dtype, shape = _DTYPES[entry["dtype"]], tuple(entry["shape"])
            start, end = entry["data_offsets"]
            if start != expected_start or start % dtype.itemsize or (8 + size) % _ALIGNMENT:
                raise _damaged(path, f"{name} is out of place")
            if min(shape, default=0) < 0 or end - start != math.prod(shape) * dtype.itemsize:
                raise _damaged(path, f"{name} is not of the size of its shape")
            if end > len(content):
                raise _damaged(path, f"{end - len(content)} bytes of {name} are missing")
            arrays[name] = content[start:end].view(dtype).reshape(shape)
            expected_start = end
        if expected_start != len(content):
            raise _damaged(path, f"{len(content) - expected_start} bytes too many")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, "a malformed header") from error
    return arrays


def _model_of(arrays: dict[str, NDArray[np.generic]], path: Path) -> NGramModel:
    """Check the arrays, so that no query can leave them or go on for ever."""
    try:
        if arrays["counts"].dtype != np.int64 or arrays["counts"].ndim != 1:
            raise _damaged(path, "counts that are no whole numbers")
        counts = tuple(arrays.pop("counts").tolist())
        words = arrays.pop("words").tobytes().decode().split("\n")
        for name in _CODED:
            if name not in arrays:
                codes, book = arrays.pop(f"{name}_codes"), arrays.pop(f"{name}_book")
                arrays[name] = _expand(codes, book, counts)
        lm = NGramArrays(**arrays)  # type: ignore[arg-type]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise _damaged(path, "arrays are missing, malformed or unknown") from error
    if not (
        counts
        and min(counts) >= 0
        and counts[0] == len(words)
        and lm.word.shape == lm.log_prob.shape == lm.next_state.shape == (1 + sum(counts),)
        and lm.backoff.shape == lm.suffix.shape == (1 + sum(counts[:-1]),)
        and lm.first_child.shape == (2 + sum(counts[:-1]),)
    ):
        raise _damaged(path, "arrays of different lengths")
    num_contexts = len(lm.backoff)
    in_range = (
        lm.log_prob.dtype == lm.backoff.dtype == np.float32
        and all(
            array.dtype == np.int32 for array in (lm.word, lm.next_state, lm.suffix, lm.first_child)
        )
        and 0 <= lm.word.min() <= lm.word.max() < len(words)
        and np.array_equal(lm.word[1 : 1 + len(words)], np.arange(len(words)))
        and lm.log_prob.max() <= 0
        and bool(np.isfinite(lm.backoff).all())
        and 0 <= lm.next_state.min() <= lm.next_state.max() < num_contexts
        and lm.suffix.min() >= 0
        and lm.suffix[0] == 0
        and bool((lm.suffix[1:] < np.arange(1, num_contexts)).all())
        and lm.first_child[0] == 1
        and lm.first_child[-1] == len(lm.word)
        and bool((lm.first_child[1:] >= lm.first_child[:-1]).all())
    )
    if not in_range:
        raise _damaged(path, "numbers out of range")
    try:
        return NGramModel(words, freeze(lm), counts)
    except LanguageModelError as error:
        raise _damaged(path, str(error)) from error


def _expand(
    codes: NDArray[np.generic], book: NDArray[np.generic], counts: tuple[int, ...]
) -> NDArray[np.generic]:
    """Give the numbers of which codes are stored."""
    parts = np.split(codes, _bounds(counts, len(codes)))
    return np.concatenate([row[part] for row, part in zip(book, parts, strict=True)])


def _damaged(path: Path, what: str) -> LanguageModelError:
    return LanguageModelError(
        f"{path}: {what}; expected a language model of `asrkit lm build`; build it again"
    )
