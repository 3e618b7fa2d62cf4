from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from asrkit.data import audio_cache
from asrkit.data.audio import Audio, read_audio
from asrkit.data.audio_cache import AudioCache
from asrkit.data.dataset import collate, load_batches
from asrkit.data.manifest import Utterance
from asrkit.data.pronunciation import Pronunciations
from asrkit.data.tokens import TokenTable
from asrkit.errors import AudioError, TokenError

TOKENS = TokenTable.from_texts(["a b c"], "char")  # 1 space, 2 a, 3 b, 4 c
PRONUNCIATIONS = Pronunciations.for_texts(["ab c"], {"ab": ("y", "x"), "c": ("z",)})


def utterance(name: str, text: str = "a", folder: Path = Path("/")) -> Utterance:
    return Utterance(name, folder / f"{name}.wav", 1.0, text, speaker=f"speaker of {name}")


def audio(*samples: float) -> Audio:
    return Audio(np.array(samples, dtype=np.float32), 16000)


def test_a_batch_is_padded_with_zeros() -> None:
    batch = collate(
        [utterance("x", "ab c"), utterance("y", ""), utterance("z", "c")],
        [audio(0.1, 0.2), audio(0.3, 0.4, 0.5), audio(0.6)],
        TOKENS,
    )
    assert batch.utt_ids == ("x", "y", "z")
    assert batch.speakers == ("speaker of x", "speaker of y", "speaker of z")
    expected = torch.tensor([[0.1, 0.2, 0], [0.3, 0.4, 0.5], [0.6, 0, 0]])
    torch.testing.assert_close(batch.waves, expected, rtol=0, atol=0)
    assert batch.labels.tolist() == [[2, 3, 1, 4], [0, 0, 0, 0], [4, 0, 0, 0]]
    assert batch.wave_lens.tolist() == [2, 3, 1]
    assert batch.label_lens.tolist() == [4, 0, 1]
    for lens in (batch.wave_lens, batch.labels, batch.label_lens):
        assert lens.dtype == torch.int64
    assert batch.waves.dtype == torch.float32


@pytest.mark.parametrize(("tokens", "text"), [(None, "a"), (TOKENS, "")])
def test_a_batch_without_labels(tokens: TokenTable | None, text: str) -> None:
    batch = collate([utterance("x", text)] * 2, [audio(0.1)] * 2, tokens)
    assert batch.labels.shape == (2, 0)
    assert batch.labels.dtype == torch.int64
    assert batch.label_lens.tolist() == [0, 0]


def test_phones_are_padded_where_they_are_known() -> None:
    texts = ("c", "ab c", "ab b", "")  # nothing tells how "b" is pronounced
    utterances = [utterance(f"u{n}", text) for n, text in enumerate(texts)]
    batch = collate(utterances, [audio(0.1)] * 4, TOKENS, PRONUNCIATIONS)
    assert batch.phones.tolist() == [[3, 0, 0], [2, 1, 3], [0, 0, 0], [0, 0, 0]]
    assert batch.phone_lens.tolist() == [1, 3, 0, 0]
    assert batch.label_lens.tolist() == [1, 4, 4, 0]
    assert batch.phones.dtype == batch.phone_lens.dtype == torch.int64


def test_a_batch_without_phones() -> None:
    batch = collate([utterance("x")] * 2, [audio(0.1)] * 2, TOKENS)
    assert batch.phones.shape == (2, 0)
    assert batch.phone_lens.tolist() == [0, 0]


def test_an_unknown_symbol_names_the_utterance() -> None:
    with pytest.raises(TokenError, match="utterance y: 'x': the token table has no 'x'"):
        collate([utterance("z"), utterance("y", "x")], [audio(0.1)] * 2, TOKENS)


def test_moving_a_batch() -> None:
    batch = collate([utterance("x", "ab")], [audio(0.1)], TOKENS, PRONUNCIATIONS)
    moved = batch.to(torch.device("meta"))
    assert (moved.utt_ids, moved.speakers) == (batch.utt_ids, batch.speakers)
    for name in ("waves", "wave_lens", "labels", "label_lens", "phones", "phone_lens"):
        assert getattr(moved, name).device.type == "meta"
        assert getattr(moved, name).shape == getattr(batch, name).shape


@pytest.fixture
def corpus(tmp_path, write_audio) -> list[Utterance]:
    """Six utterances: six segments of one file, of different lengths."""
    write_audio(tmp_path / "x.flac", 6.0, container="FLAC")
    return [
        Utterance(f"u{n}", tmp_path / "x.flac", 0.1 + 0.1 * n, "ab"[: n % 3], offset_s=float(n))
        for n in range(6)
    ]


@pytest.mark.parametrize("prefetch", [1, 2, 10])
def test_batches_come_in_order_and_hold_what_they_should(corpus, prefetch: int) -> None:
    wanted = [[3, 1], [0], [5, 4, 2]]
    loaded = list(load_batches(corpus, wanted, TOKENS, AudioCache(8000, 0), prefetch))
    assert [batch.utt_ids for batch in loaded] == [("u3", "u1"), ("u0",), ("u5", "u4", "u2")]
    for batch, indices in zip(loaded, wanted, strict=True):
        for wave, length, index in zip(batch.waves, batch.wave_lens, indices, strict=True):
            one = corpus[index]
            expected = read_audio(one.audio_path, 8000, one.offset_s, one.duration_s).samples
            assert length == len(expected) == round(8000 * one.duration_s)
            np.testing.assert_array_equal(wave[:length].numpy(), expected)
            assert not wave[length:].any()


def test_batches_that_are_loaded_have_phones(corpus) -> None:
    cache = AudioCache(8000, 0)
    (batch,) = load_batches(corpus, [[0, 2]], TOKENS, cache, pronunciations=PRONUNCIATIONS)
    assert batch.phones.tolist() == [[0, 0], [2, 1]]


def test_no_batches(corpus) -> None:
    assert list(load_batches(corpus, [], TOKENS, AudioCache(16000, 0))) == []


def readers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("asrkit-read-ahead")]


@pytest.fixture
def reads(monkeypatch) -> list[Path]:
    """The paths that were read so far; nothing is really read, each takes 10 ms."""
    paths: list[Path] = []

    def read(path: Path, *args: object) -> Audio:
        paths.append(path)
        time.sleep(0.01)
        if path.stem == "bad":
            raise AudioError(f"{path}: truncated")
        return audio(0.1)

    monkeypatch.setattr(audio_cache, "read_audio", read)
    return paths


def test_an_error_surfaces_at_its_batch(reads: list[Path]) -> None:
    utterances = [utterance("good"), utterance("bad")]
    loaded = load_batches(utterances, [[0], [0], [1], [0]], TOKENS, AudioCache(16000, 0))
    assert next(loaded).utt_ids == ("good",)
    assert next(loaded).utt_ids == ("good",)
    with pytest.raises(AudioError, match=r"bad\.wav: truncated"):
        next(loaded)
    assert readers() == []


def test_only_so_many_batches_are_read_ahead(reads: list[Path]) -> None:
    loaded = load_batches(
        [utterance("good")], [[0]] * 100, TOKENS, AudioCache(16000, 0), prefetch=3
    )
    assert reads == []  # nothing happens before it is asked for
    next(loaded)
    time.sleep(0.3)
    assert len(reads) == 4
    loaded.close()


def test_closing_stops_the_threads(reads: list[Path]) -> None:
    loaded = load_batches(
        [utterance("good")], [[0] * 5] * 100, TOKENS, AudioCache(16000, 0), prefetch=4
    )
    next(loaded)
    assert readers()
    loaded.close()
    assert readers() == []
    num_read = len(reads)
    time.sleep(0.1)
    assert len(reads) == num_read < 50


def test_a_generator_that_is_dropped_or_exhausted_stops_its_threads(reads: list[Path]) -> None:
    loaded = load_batches([utterance("good")], [[0]] * 10, TOKENS, AudioCache(16000, 0))
    next(loaded)
    del loaded
    assert readers() == []
    assert (
        len(list(load_batches([utterance("good")], [[0]] * 10, TOKENS, AudioCache(16000, 0)))) == 10
    )
    assert readers() == []


def test_batches_are_read_in_parallel(monkeypatch) -> None:
    barrier = threading.Barrier(3)

    def read(*args: object) -> Audio:
        barrier.wait(timeout=30)  # goes on when three threads are here
        return audio(0.1)

    monkeypatch.setattr(audio_cache, "read_audio", read)
    loaded = load_batches([utterance("x")], [[0]] * 3, TOKENS, AudioCache(16000, 0), prefetch=3)
    assert len(list(loaded)) == 3
