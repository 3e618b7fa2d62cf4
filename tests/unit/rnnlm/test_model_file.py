from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from asrkit.errors import LanguageModelError
from asrkit.lm.model_file import load_ngram
from asrkit.rnnlm.model_file import is_word_lstm, load_word_lstm, save_word_lstm
from asrkit.rnnlm.network import WordLstm

FORMAT = "asrkit recurrent language model 1"
SENTENCE = ["the", "cat", "sat", "rare"]


def test_what_is_loaded_says_what_was_saved(small: WordLstm, tmp_path: Path) -> None:
    path = tmp_path / "words.lstm"
    save_word_lstm(path, small)
    loaded = load_word_lstm(path)
    assert loaded.words == small.words
    assert loaded.score([SENTENCE])[0] == pytest.approx(small.score([SENTENCE])[0], abs=0.1)
    save_word_lstm(tmp_path / "again.lstm", loaded)
    assert load_word_lstm(tmp_path / "again.lstm").score([SENTENCE])[0] == pytest.approx(
        loaded.score([SENTENCE])[0], abs=1e-5
    )


def test_matrices_take_a_byte_a_weight(small: WordLstm, tmp_path: Path) -> None:
    save_word_lstm(tmp_path / "words.lstm", small)
    stored = load_file(tmp_path / "words.lstm")
    assert stored["cell.recurrent_weight"].dtype == torch.int8
    assert stored["cell.bias"].dtype == torch.float32


def test_tells_its_files_from_others(small: WordLstm, tmp_path: Path) -> None:
    path = tmp_path / "words.lstm"
    save_word_lstm(path, small)
    assert is_word_lstm(path)
    other = tmp_path / "other"
    other.write_bytes(path.read_bytes()[:-1])
    assert not is_word_lstm(other)
    assert not is_word_lstm(tmp_path / "missing")
    with pytest.raises(LanguageModelError):
        load_ngram(path)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda tensors, _: tensors.pop("cell.bias"), r"damaged: cell\.bias: missing"),
        (lambda tensors, _: tensors.pop("words"), "damaged: 'words'"),
        (
            lambda tensors, _: tensors.update(words=tensors["words"][:-5]),
            r"damaged: .*: of shape",
        ),
        (
            lambda tensors, _: tensors.update(words=tensors["words"] * 0 + 65),
            "not those of a language model",
        ),
        (lambda tensors, _: tensors.update(more=torch.zeros(3)), "damaged: more: of no use"),
        (
            lambda tensors, _: tensors["cell.bias"].fill_(torch.nan),
            r"cell\.bias: holds numbers that are not finite",
        ),
        (lambda _, metadata: metadata.update({FORMAT: '{"hidden": "10"}'}), "damaged: .*hidden"),
        (
            lambda _, metadata: metadata.update({FORMAT: '{"hidden": 60000}'}),
            r"damaged: .*: of shape",
        ),
        (
            lambda _, metadata: metadata.update({FORMAT: f'{{"hidden": {2**62}}}'}),
            r"damaged: .*less than or equal to 65536",
        ),
        (
            lambda tensors, metadata: (
                tensors.update({"embedding.weight": tensors["embedding.weight"][:1].clone()}),
                metadata.update({FORMAT: metadata[FORMAT].replace(": 5}", ": 1}")}),
            ),
            r"damaged: .*input_words",
        ),
        (lambda _, metadata: metadata.pop(FORMAT), "another kind of file"),
    ],
)
def test_damage_is_told(small: WordLstm, tmp_path: Path, damage, problem: str) -> None:
    path = tmp_path / "words.lstm"
    save_word_lstm(path, small)
    tensors = load_file(path)
    metadata = {
        FORMAT: '{"embedding": 6, "hidden": 10, "output": 8, "input_words": 5}',
    }
    save_file(tensors, path, metadata)
    assert load_word_lstm(path).words == small.words
    damage(tensors, metadata)
    save_file(tensors, path, metadata)
    with pytest.raises(LanguageModelError, match=rf"(?s)^{path}: .*{problem}.*asrkit lm train"):
        load_word_lstm(path)


def test_no_model_at_all(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match="missing: no such file"):
        load_word_lstm(tmp_path / "missing")
    (tmp_path / "text").write_text("the cat")
    with pytest.raises(LanguageModelError, match=r"text: .*expected what `asrkit lm train` writes"):
        load_word_lstm(tmp_path / "text")
