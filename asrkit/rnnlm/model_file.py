"""A recurrent language model on disk: a safetensors file with its words and, in 8 bits, weights."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from asrkit.errors import LanguageModelError, ModelFileError
from asrkit.files import write_atomically
from asrkit.nn.stored_weights import from_stored, to_stored
from asrkit.rnnlm.network import SPECIAL_WORDS, Sizes, WordLstm

_FORMAT = "asrkit recurrent language model 1"
"""The only key of the header's metadata, of the sizes: several would come in any order."""
_WORDS = "words"


def save_word_lstm(path: Path, model: WordLstm) -> None:
    """Write a model atomically; each row of its matrices is rounded to 8 bits."""
    words = "\n".join(model.words).encode()
    tensors = {
        **to_stored(model, "int8"),
        _WORDS: torch.from_numpy(np.frombuffer(words, np.uint8).copy()),
    }
    sizes = json.dumps(dataclasses.asdict(model.sizes))
    write_atomically(path, save(tensors, {_FORMAT: sizes}))


def is_word_lstm(path: Path) -> bool:
    """Whether a file says of itself that it is one of `save_word_lstm`."""
    try:
        with safe_open(path, framework="pt") as file:
            return _FORMAT in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def load_word_lstm(path: Path) -> WordLstm:
    """Read what `save_word_lstm` wrote.

    Raises
    ------
    LanguageModelError
        If the file is missing, damaged or another.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise LanguageModelError(f"{path}: no such file; expected a language model") from None
    except (SafetensorError, OSError) as error:
        raise LanguageModelError(f"{path}: {error}; {_EXPECTED}") from error
    if _FORMAT not in metadata:
        raise LanguageModelError(f"{path}: another kind of file; {_EXPECTED}")
    try:
        words = tensors.pop(_WORDS).numpy().tobytes().decode().split("\n")
        if tuple(words[: len(SPECIAL_WORDS)]) != SPECIAL_WORDS or len(set(words)) < len(words):
            raise ValueError("its words are not those of a language model")
        sizes = TypeAdapter(Sizes).validate_json(metadata[_FORMAT], strict=True)
        with torch.device("meta"):  # what is declared gets no memory before it is compared
            model = WordLstm(words, sizes)
        weights = from_stored(tensors)
        _check(weights, model.state_dict())
        model.load_state_dict(weights, assign=True)
    except (KeyError, ValueError, RuntimeError, ValidationError, ModelFileError) as error:
        raise LanguageModelError(f"{path}: damaged: {error}; {_EXPECTED}") from error
    return model.eval()


def _check(weights: Mapping[str, Tensor], declared: Mapping[str, Tensor]) -> None:
    """Refuse weights of other names or shapes than are declared, and such as are no numbers."""
    for name in {**declared, **weights}:
        if name not in weights or name not in declared:
            raise ValueError(f"{name}: {'missing' if name in declared else 'of no use'}")
        if weights[name].shape != declared[name].shape:
            raise ValueError(
                f"{name}: of shape {tuple(weights[name].shape)}; declared are "
                f"{tuple(declared[name].shape)}"
            )
        if not weights[name].isfinite().all():
            raise ValueError(f"{name}: holds numbers that are not finite")


_EXPECTED = "expected what `asrkit lm train` writes"
