"""Targets of models: of speech, of language, of training, and what goes with them."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from asrkit.api import load_model
from asrkit.cli.transcribe import _read_hotwords
from asrkit.data.tokens import TokenTable, TokenUnit
from asrkit.data.unpack import unpack
from asrkit.decode.fusion import build_fusion, make_fusion, written_words
from asrkit.decode.lexicon import Lexicon
from asrkit.errors import AudioError
from asrkit.features.normalize import Statistics
from asrkit.lm.arpa_writer import write_arpa
from asrkit.lm.build import build_model
from asrkit.lm.corpus import read_corpus, read_vocabulary
from asrkit.lm.model_file import load_ngram, save_ngram
from asrkit.model_file import Recognizer, save_recognizer
from asrkit.nn.model import AcousticModel
from asrkit.rnnlm.model_file import load_word_lstm, save_word_lstm
from asrkit.rnnlm.network import SPECIAL_WORDS, Sizes, WordLstm
from asrkit.settings import DecodeSettings, Settings, TrainSettings
from asrkit.train.checkpoint import Position, load_weights, read_checkpoint, save_checkpoint
from asrkit.train.optimizer import make_optimizer
from fuzzing.speech import TONE
from fuzzing.structures import (
    Parts,
    compress,
    join_model,
    join_tar,
    join_tensors,
    split_model,
    split_tar,
    split_tensors,
)
from fuzzing.target import INPUT, Files, Target

_TEXT = "call me back\ncall her back now\n\nnow call me\nshe will call\nhe will\n" * 4
_COMPRESSIONS = (b"", b"gz", b"bz2", b"xz")
_TOKENS = {
    "char.txt": TokenTable.from_texts(["abcdefghijklmnopqrstuvwxyz '"], "char"),
    "phone.txt": TokenTable(("<blank>", "ah", "b", "iy", "sil"), "phone"),
    "bpe.txt": TokenTable(("<blank>", "▁a", "ab", "▁ab", "▁", "a", "b", "ö"), "bpe"),
}


# --- language models


def _written(name: str, write: object, *arguments: object, **options: object) -> bytes:
    """Give what one of our writers writes."""
    path = Path(INPUT) / name
    write(path, *arguments, **options)  # type: ignore[operator]
    content = path.read_bytes()
    path.unlink()
    return content


def _ngrams() -> list[object]:
    text = Path(INPUT) / "text"
    text.write_text(_TEXT)
    models = [build_model([text], order, discount_fallback=True) for order in (1, 2, 3)]
    text.unlink()
    return list(models)


def _arpa_files() -> list[Parts]:
    texts = [_written("x", write_arpa, model) for model in _ngrams()]
    texts.append(texts[1].replace(b"<unk>", b"<UNK>").replace(b"\t", b" "))
    return [
        {"arpa": text, "compression": _COMPRESSIONS[number % 4]}
        for number, text in enumerate([*texts, *texts])
    ]


def _compressed(name: str, part: str, parts: Mapping[str, bytes]) -> Files:
    return {name: compress(parts.get(part, b""), parts.get("compression", b""))}


def _use_ngram(folder: Path) -> None:
    (path,) = folder.iterdir()
    model = load_ngram(path)
    words = [*model.words[:50], "no such word"]
    assert not np.isnan(model.score_sentence(words)).any()
    states = np.arange(min(len(model.arrays.backoff), 1000))
    log_probs, _ = model.score_many(states, np.resize(model.arrays.word[1:], len(states)))
    assert not np.isnan(log_probs).any()
    write_arpa(folder / "copy.arpa", model)
    tokens = _TOKENS["char.txt"]
    build_fusion(DecodeSettings(method="beam"), tokens, model, written_words(model, tokens))


def _binary_ngrams() -> list[Parts]:
    return [
        split_tensors(_written("x", save_ngram, model, quantized=quantized))
        for model in _ngrams()
        for quantized in (False, True)
    ]


def _recurrent_models() -> list[Parts]:
    torch.manual_seed(2)
    words = (*SPECIAL_WORDS, "call", "me", "größer")
    models = [WordLstm(words, sizes) for sizes in (Sizes(3, 4, 5), Sizes(2, 3, 4, input_words=3))]
    return [split_tensors(_written("x", save_word_lstm, model)) for model in models]


def _use_recurrent(folder: Path) -> None:
    model = load_word_lstm(folder / "x.lstm")
    for scores in model.score([["call", "me"], [], ["no such word", *model.words[:50]]]):
        assert not np.isnan(scores).any()


def _texts() -> list[Parts]:
    return [{"text": _TEXT.encode(), "compression": each} for each in _COMPRESSIONS]


def _read_text(folder: Path) -> None:
    read_corpus([folder / "text"], max_words=5)
    read_vocabulary(folder / "text")


# --- words and tokens


def _lexicons() -> list[Parts]:
    return [
        {"char.txt": b"call\nback b a c k\ncall c a l\n"},
        {"phone.txt": "ab ah b\nab\tb ah\n\nbee b iy\ngröße iy\n".encode()},
        {"bpe.txt": "ab\nabba ▁ab ba\nö ▁ ö\n".encode()},
    ]


def _read_lexicon(folder: Path) -> None:
    (path,) = folder.iterdir()
    tokens = _TOKENS[path.name]
    words = Lexicon.read(path, tokens).words[:3]
    hotwords = (*(f"{word}:3" for word in words), f"{' '.join(words)}:5")
    settings = DecodeSettings(method="beam", lexicon=str(path), hotwords=hotwords)
    make_fusion(settings, tokens)
    _forget_fusions()


def _token_tables() -> list[Parts]:
    return [{name: tokens.to_text().encode()} for name, tokens in _TOKENS.items()]


def _read_tokens(folder: Path) -> None:
    (path,) = folder.iterdir()
    tokens = TokenTable.read(path, cast(TokenUnit, path.stem))
    assert TokenTable.from_text(tokens.to_text(), tokens.unit) == tokens
    tokens.decode(tokens.encode(tokens.decode([*range(1, len(tokens))])))


def _hotwords() -> list[Parts]:
    return [{"words": b"lisbon\nnew york:8\n\ncall me:0.5\nback:0\n"}]


def _favour(folder: Path) -> None:
    hotwords = _read_hotwords(folder / "words", ["call"])
    make_fusion(DecodeSettings(method="beam", hotwords=hotwords or ()), _TOKENS["char.txt"])
    _forget_fusions()


def _forget_fusions() -> None:
    """They are kept by the path of the lexicon, which is the same for all inputs."""
    from asrkit.decode import fusion  # noqa: PLC0415

    fusion._load_lexicon.cache_clear()
    fusion._make_fusion.cache_clear()
    fusion.load_lm.cache_clear()


# --- models of speech


@cache
def _recognizers() -> list[Recognizer]:
    common = {
        "recipe": {"name": "tiny", "description": "größer"},
        "data": {"sample_rate_hz": 8000},
        "features": {"num_mel_bins": 6, "normalization": "speaker"},
        "model": {"num_layers": 1, "hidden_size": 4},
    }
    kinds = (
        {"decode": {"method": "beam", "beam_size": 3, "hotwords": ("a",)}},
        {
            "model": {
                "num_layers": 2, "hidden_size": 3, "frontend": "conv", "subsampling": 2,
                "conv_channels": 2, "bidirectional": False, "cell": "gru", "phone_layer": 1,
            }
        },
        {
            "features": {"kind": "mfcc", "num_mel_bins": 9, "num_ceps": 5, "delta_order": 2},
            "model": {
                "num_layers": 1, "hidden_size": 3, "kind": "transducer", "prediction_size": 3,
                "joint_size": 4, "frontend": "stack", "subsampling": 3, "cell": "lstm_projected",
                "projection_size": 2,
            },
        },
    )  # fmt: skip
    found = []
    for kind in kinds:
        settings = Settings.model_validate({**common, **kind})
        torch.manual_seed(5)
        tokens = TokenTable.from_texts(["ab é"], "char")
        phones = _TOKENS["phone.txt"] if settings.model.phone_layer else None
        model = AcousticModel(settings, len(tokens), num_phones=len(phones or ())).eval()
        statistics = Statistics(model.extractor.num_features)
        for scale, speaker in enumerate(("ann", "größer"), start=1):
            waves = 0.05 * scale * torch.randn(1, 4000)
            feats, lens = model.extractor(waves, torch.tensor([4000]))
            statistics.update(feats, lens, (speaker,))
        model.normalizer.set_statistics(statistics)
        found.append(Recognizer(model, tokens, settings, "# tiny\n", phones))
    return found


def _model_files() -> list[Parts]:
    contents = [_written("x", save_recognizer, recognizer) for recognizer in _recognizers()]
    contents += [
        _written("x", save_recognizer, _recognizers()[0], storage)
        for storage in ("float16", "int8")
    ]
    return [split_model(content) for content in contents]


def _recognize(folder: Path) -> None:
    model = load_model(folder / "x.asr")
    with contextlib.suppress(AudioError):  # weights may be infinite
        model.transcribe(TONE)
    _forget_fusions()


# --- training


def _network() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3))
    return model, make_optimizer(model, TrainSettings())


def _step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(8, 5)).square().sum().backward()
    optimizer.step()


def _checkpoints() -> list[Parts]:
    model, optimizer = _network()
    _step(model, optimizer)
    position = Position(epoch=3, step=321, epoch_loss=1 / 3, dev_errors={"e.safetensors": 0.5})
    parts = split_tensors(_written("x", save_checkpoint, model, optimizer, position))
    header = json.loads(parts["header"])
    del header["__metadata__"]["sha256"]  # as earlier versions wrote it: all else is refused
    return [parts, {**parts, "header": json.dumps(header).encode()}]


def _resume_training(folder: Path) -> None:
    model, optimizer = _network()
    read_checkpoint(folder / "x").restore(model, optimizer)
    _step(model, optimizer)
    load_weights(folder / "x")


# --- archives


def _archives() -> list[Parts]:
    found = []
    layouts = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT) * 2
    for compression, layout in zip(_COMPRESSIONS, layouts, strict=True):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=layout) as tar:
            for name in (
                "corpus/README",
                "corpus/dev/1/a.flac",
                f"corpus/dev/{'long' * 30}/größer",
            ):
                member = tarfile.TarInfo(name)
                member.size = 700
                tar.addfile(member, io.BytesIO(b"s" * 700))
            folder = tarfile.TarInfo("corpus/dev/empty")
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
        found.append({**split_tar(buffer.getvalue()), "compression": compression})
    return found


def _unpack(folder: Path) -> None:
    into = folder / "into"
    into.mkdir()
    unpack(folder / "x.tar", into, "corpus/dev", lambda _stage, _share: None)
    assert (into / "corpus" / "dev").is_dir()
    assert sorted(path.name for path in folder.iterdir()) == ["into", "x.tar"]
    assert not any(path.is_symlink() for path in folder.rglob("*"))


TARGETS = (
    Target("arpa", _arpa_files, _use_ngram, partial(_compressed, "x.arpa", "arpa")),
    Target("lm", _binary_ngrams, _use_ngram, lambda parts: {"x.bin": join_tensors(parts)}),
    Target(
        "recurrent",
        _recurrent_models,
        _use_recurrent,
        lambda parts: {"x.lstm": join_tensors(parts)},
    ),
    Target("text", _texts, _read_text, partial(_compressed, "text", "text")),
    Target("lexicon", _lexicons, _read_lexicon),
    Target("tokens", _token_tables, _read_tokens),
    Target("hotwords", _hotwords, _favour, named_as=""),
    Target("model", _model_files, _recognize, lambda parts: {"x.asr": join_model(parts)}),
    Target("checkpoint", _checkpoints, _resume_training, lambda parts: {"x": join_tensors(parts)}),
    Target(
        "archive",
        _archives,
        _unpack,
        lambda parts: {"x.tar": compress(join_tar(parts), parts.get("compression", b""))},
    ),
)
"""A refusal of a hotword names the hotword."""
