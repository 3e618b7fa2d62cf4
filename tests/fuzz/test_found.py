"""Small forms of what damaged files once did to a reader: each is refused by name now."""

from __future__ import annotations

import io
import json
import lzma
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save

from asrkit.config import load_settings
from asrkit.data.audio import read_audio
from asrkit.data.container import Container, examine
from asrkit.data.download import read_downloads
from asrkit.data.kaldi import read_kaldi_dir
from asrkit.data.manifest import read_manifest
from asrkit.data.tokens import TokenTable
from asrkit.data.unpack import unpack
from asrkit.decode.fusion import make_fusion
from asrkit.decode.lexicon import Lexicon, Spelling, Trie
from asrkit.errors import (
    AudioError,
    CheckpointError,
    ConfigError,
    DataError,
    LanguageModelError,
    ManifestError,
    ModelFileError,
    ScoreError,
    TokenError,
    TrainingError,
    UsageError,
)
from asrkit.lm.arpa_reader import read_arpa
from asrkit.lm.build import build_model
from asrkit.lm.model_file import load_ngram, save_ngram
from asrkit.model_file import Recognizer, load_recognizer, save_recognizer
from asrkit.nn.stored_weights import from_stored
from asrkit.recipe.plan import Plan
from asrkit.recipe.prepare import PreparationNotes
from asrkit.score.reading import read_transcripts
from asrkit.settings import DecodeSettings
from asrkit.train.checkpoint import Position, read_checkpoint, save_checkpoint
from asrkit.train.metrics import read_metrics
from asrkit.transcribe.output_folder import RECORD_NAME, OutputFolder

DEEP = 50_000


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# --- settings


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("train = " + "[" * DEEP, "too deeply"),
        ("a." * DEEP + "b = 1", "too deeply"),
        ("[train]\nmax_epochs = 1" + "0" * 5000, "not valid TOML: Exceeds the limit"),
        ("[train]\nmax_epochs = 0x" + "f" * 5000, "expected a shorter number"),
        ('extends = ["' + "x" * 300 + '"]', "there is no"),
    ],
)
def test_settings_without_measure(tmp_path: Path, content: str, expected: str) -> None:
    path = written(tmp_path / "recipe.toml", content)
    with pytest.raises(ConfigError, match=expected) as caught:
        load_settings(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "override",
    [
        "train.max_epochs=" + "[" * DEEP,
        "a." * DEEP + "b=1",
        "train.max_epochs=0x" + "f" * 5000,
    ],
)
def test_overrides_without_measure(tmp_path: Path, override: str) -> None:
    path = written(tmp_path / "recipe.toml", '[recipe]\nname = "x"\n')
    with pytest.raises(ConfigError, match=r"^--set "):
        load_settings(path, [override])


@pytest.mark.parametrize(
    ("key", "value"), [("file", "../evil.tar"), ("file", ".."), ("file", "a/b"), ("folder", "/etc"),
                       ("folder", "a/../../b"), ("folder", ""), ("folder", "a//b")]
)  # fmt: skip
def test_a_download_that_would_lie_elsewhere(tmp_path: Path, key: str, value: str) -> None:
    subset = {"file": "dev-clean.tar.gz", "folder": "LibriSpeech/dev-clean", key: value}
    path = written(
        tmp_path / "downloads.toml",
        f'url = "https://x"\n[subsets.dev]\nfile = "{subset["file"]}"\nfolder = '
        f'"{subset["folder"]}"\nnum_bytes = 1\nmd5 = "{"0" * 32}"\n',
    )
    with pytest.raises(ConfigError, match=rf"subsets\.dev\.{key} = "):
        read_downloads(path)


# --- sound


def sound(path: Path, rate_hz: int, samples: np.ndarray, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate_hz, subtype=subtype, format="WAV")
    return path


@pytest.mark.parametrize("rate_hz", [1, 999, 1_000_001, 2_000_000_000])
def test_a_rate_that_would_make_gigabytes_of_a_small_file(tmp_path: Path, rate_hz: int) -> None:
    path = sound(tmp_path / "x.wav", rate_hz, np.zeros(10))
    with pytest.raises(AudioError, match=f"x.wav: a sample rate of {rate_hz} Hz; expected 1000 to"):
        read_audio(path, 16000)


def test_samples_that_resampling_would_make_infinite(tmp_path: Path) -> None:
    path = sound(tmp_path / "x.wav", 8000, np.array([3e38, -3e38] * 50), "FLOAT")
    with pytest.raises(AudioError, match=r"x\.wav: .* beyond 1e\+12"):
        read_audio(path, 16000)


def test_many_channels_are_read_little_by_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    read = soundfile.SoundFile.read

    def spy(self: soundfile.SoundFile, frames: int, **options: object) -> object:
        asked.append(frames * self.channels)
        return read(self, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", spy)
    path = sound(tmp_path / "x.wav", 16000, np.zeros((9000, 1024)))
    assert len(read_audio(path, 16000).samples) == 9000
    assert max(asked) <= 1 << 22


@pytest.mark.parametrize(
    "header",
    [
        b"NIST_1A\n   -1\n",
        b"NIST_1A\n999999999999\n",
        b"NIST_1A\n" + b"9" * 5000,
        b"NIST_1A" + b" " * 500,
    ],
)
def test_a_sphere_header_of_any_size(header: bytes) -> None:
    assert examine(io.BytesIO(header), len(header)) == Container()


def test_a_wave_file_of_nothing_but_chunks() -> None:
    content = b"RIFF" + bytes(4) + b"WAVE" + bytes(8 * 30_000)
    assert examine(io.BytesIO(content), len(content)) == Container()


def test_an_mp3_that_ends_before_its_end(tmp_path: Path) -> None:
    # The decoder finds fewer frames than it guessed, and then says that it is behind them.
    path = tmp_path / "x.mp3"
    time_s = np.arange(16000) / 8000
    soundfile.write(path, np.sin(2000 * time_s), 8000, format="MP3")
    content = path.read_bytes()
    start = content.index(b"Info") if b"Info" in content else content.index(b"Xing")
    for kept in range(start + 500, len(content), 700):
        written(
            path, content[:start] + bytes(4) + content[start + 4 : kept] + b"\xff\xfb\x10\xc4" * 9
        )
        try:
            assert len(read_audio(path, 16000).samples) > 0
        except AudioError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017


# --- lists of utterances


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ('"duration": 1' + "0" * 400, r"duration is 10+; expected a number of seconds"),
        ('"duration": 1e12', "expected a number of seconds"),
        ('"duration": 1, "text": "\\ud800"', "half a character"),
        ('"duration": 1, "speaker": "\\udc80"', "half a character"),
        ('"duration": 1, "utt_id": "\\ud800"', "half a character"),
        ('"more": ' + "[" * DEEP, "not JSON"),
    ],
)
def test_a_manifest(tmp_path: Path, fields: str, expected: str) -> None:
    path = written(tmp_path / "x.jsonl", f'{{"audio_filepath": "a.wav", {fields}}}\n')
    with pytest.raises(ManifestError, match=expected) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}:1: ")


def test_a_kaldi_folder_with_names_that_no_file_has(tmp_path: Path) -> None:
    written(tmp_path / "wav.scp", "a x\0y.wav\n")
    with pytest.raises(AudioError, match="cannot be the name of a file"):
        read_kaldi_dir(tmp_path)


# --- transcripts


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("per_utt", f"u_1 ref a\nu_1 hyp a\nu_1 op C\nu_1 #csid {'1' * 5000} 0 0 0\n", ":4: "),
        ("x.jsonl", '{"utt_id": "a", "text": ' + "[" * DEEP, ":1: not valid JSON"),
        (
            "x.jsonl",
            '{"audio_filepath": "a.wav", "text": "", "offset": 1' + "0" * 400 + "}",
            ":1: offset",
        ),
    ],
)
def test_transcripts(tmp_path: Path, name: str, content: str, expected: str) -> None:
    path = written(tmp_path / name, content)
    with pytest.raises(ScoreError) as caught:
        read_transcripts(path)
    assert str(caught.value).startswith(f"{path}{expected}")


# --- what runs write down


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"{}", b"[" * DEEP, b'{"remarks": 3}'])
def test_records_of_a_run(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "x.json", content)
    for load in (PreparationNotes.load, Plan.load):
        with pytest.raises(DataError, match=r"x\.json: damaged: .*; delete it"):
            load(path)


def a_step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b'epoch\\": 0', b'epoch\\":[]', "not a training checkpoint: "),
        (b"weight.exp_avg_sq", b"weight.exp_avg_sp", "state of weight is incomplete or of another"),
    ],
)
def test_a_checkpoint_of_an_earlier_version(
    tmp_path: Path, old: bytes, new: bytes, expected: str
) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    a_step(model, optimizer)
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, model, optimizer, Position())
    rewritten(path, lambda header: header["__metadata__"].pop("sha256"))
    read_checkpoint(path).restore(model, optimizer)
    assert old in path.read_bytes()
    written(path, path.read_bytes().replace(old, new))
    with pytest.raises(CheckpointError, match=expected) as caught:
        read_checkpoint(path).restore(model, optimizer)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("rest", [b"", b"\xff}", b' "loss": ' + b"[" * DEEP])
def test_metrics(tmp_path: Path, rest: bytes) -> None:
    good = b'{"event": "epoch", "step": 1}\n'
    path = written(tmp_path / "metrics.jsonl", good + b'{"event": "epoch",' + rest + b"\n" + good)
    with pytest.raises(TrainingError, match=r"metrics\.jsonl:2: damaged: .*; remove the line"):
        read_metrics(path.parent, "epoch")
    assert read_metrics(path.parent, "step") == []


def test_the_record_of_a_resumed_transcription(tmp_path: Path) -> None:
    written(tmp_path / RECORD_NAME, "[" * DEEP)
    with pytest.raises(UsageError, match=r"damaged: .*; leave out --resume"):
        OutputFolder(tmp_path, {"txt": "txt"}).begin({}, resume=True)


# --- language models, words


ARPA = "\\data\\\nngram 1={count}\n\n\\1-grams:\n{number}\t<unk>\n-1\t<s>\n-1\t</s>\n\n\\end\\\n"


@pytest.mark.parametrize(
    ("count", "number", "expected"),
    [
        ("999999999999", "-1", ":8: the 1-grams end after 3 of 999999999999"),
        ("1" * 5000, "-1", ":2: 'ngram 1=1"),
        ("3", "-1e300", ":5: '-1e300'; expected a log10 probability"),
    ],
)
def test_an_arpa_file(tmp_path: Path, count: str, number: str, expected: str) -> None:
    path = written(tmp_path / "x.arpa", ARPA.format(count=count, number=number))
    with pytest.raises(LanguageModelError) as caught:
        read_arpa(path)
    assert str(caught.value).startswith(f"{path}{expected}")


def rewritten(path: Path, change: Callable[[dict[str, dict[str, object]]], object]) -> Path:
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return written(path, struct.pack("<Q", len(text)) + text + content[8 + size :])


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["counts"].update(shape=[1, 2]),
        lambda header: header["counts"].update(shape=[4], dtype="I32"),
        lambda header: header["log_prob_book"].update(shape=[256, 2]),
    ],
)
def test_a_binary_language_model(tmp_path: Path, change: Callable[..., object]) -> None:
    text = written(tmp_path / "text", "a b c d e f g\nb a c e d g f\na b d c f e g\n")
    path = tmp_path / "x.bin"
    save_ngram(path, build_model([text], 2, discount_fallback=True), quantized=True)
    load_ngram(path)
    rewritten(path, change)
    with pytest.raises(LanguageModelError, match=r"x\.bin: .*; build it again"):
        load_ngram(path)


def test_one_long_word_among_many_takes_no_table() -> None:
    # A row of its length for each of the others would be a gigabyte, several times.
    spellings = [(0, (1,) * 1000), *((number, (2, number)) for number in range(200_000))]
    tracemalloc.start()
    trie = Trie.build(spellings)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert trie.levels[:4] == (0, 1, 3, 200_004)
    assert len(trie.letter) == 1 + 1000 + 1 + 200_000
    assert peak < 100 << 20


def test_a_word_without_end(tmp_path: Path) -> None:
    tokens = TokenTable.from_texts(["ab"], "char")
    path = written(tmp_path / "lexicon", "ab\nabba" + " a" * 1001 + "\n")
    with pytest.raises(TokenError, match=r"lexicon:2: 'abba' has 1001 letters; expected at most"):
        Lexicon.read(path, tokens)
    words = Lexicon.from_words(["ab", "a" * 1001], Spelling.of(tokens), is_split=True).words
    assert words == ("ab",)


def test_a_hotword_of_words_with_many_spellings(tmp_path: Path) -> None:
    lexicon = written(tmp_path / "lexicon", "ab ah b\nab b ah\n")
    tokens = TokenTable(("<blank>", "ah", "b"), "phone")
    phrase = " ".join(["ab"] * 40)
    settings = DecodeSettings(method="beam", lexicon=str(lexicon), hotwords=(phrase,))
    with pytest.raises(UsageError, match=f"can be spelled in {2**40} ways; expected at most 1000"):
        make_fusion(settings, tokens)


@pytest.mark.timeout(60)
def test_a_hotword_of_very_many_words() -> None:
    # Each word once took as long as all before it together.
    phrase = " ".join(["ab"] * 30_000)
    fusion = make_fusion(
        DecodeSettings(method="beam", hotwords=(phrase,)), TokenTable.from_texts(["a b"], "char")
    )
    assert fusion is not None
    assert fusion.arrays.hot_credit.max() == 5.0


@pytest.mark.parametrize("content", [b"a\n", b"\xff", b"<blank>\na\na\n"])
def test_a_token_table_names_its_file(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "tokens.txt", content)
    with pytest.raises(TokenError, match=r"tokens\.txt: "):
        TokenTable.read(path, "char")
    with pytest.raises(TokenError, match=r"missing\.txt: cannot be read: No such file"):
        TokenTable.read(tmp_path / "missing.txt", "char")


# --- models of speech


@pytest.fixture
def model(tmp_path: Path, tone_recognizer: Recognizer) -> Path:
    path = tmp_path / "tones.asr"
    save_recognizer(path, tone_recognizer)
    return path


def with_member(path: Path, name: str, change: Callable[[bytes], bytes]) -> str:
    """What is said of a model file after one of its members was changed."""
    with zipfile.ZipFile(path) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    members[name] = change(members[name])
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in members.items():
            archive.writestr(each, content)
    return refusal(path)


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        load_recognizer(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("sample_rate_hz = 1" + "0" * 400, "samples a second"),
        ("sample_rate_hz = 1000000000", "1000000000 samples a second"),
        ("frame_shift_ms = 0.1", "a frame every 0.1 ms; expected at most 192000 and at least 1"),
        ("frame_shift_ms = 1e308", "damaged: cannot convert float infinity"),
        ("hidden_size = 1" + "0" * 400, "damaged"),
        ("subsampling = 1" + "0" * 400, "damaged"),
    ],
)
def test_settings_of_a_model_that_need_too_much(model: Path, setting: str, expected: str) -> None:
    key = setting.split(maxsplit=1)[0]

    def change(settings: bytes) -> bytes:
        lines = settings.decode().splitlines()
        assert sum(line.startswith(f"{key} = ") for line in lines) == 1
        return "\n".join(
            setting if line.startswith(f"{key} = ") else line for line in lines
        ).encode()

    assert expected in with_member(model, "settings.toml", change)


def test_the_header_of_a_model(model: Path) -> None:
    assert "asrkit.json is damaged" in with_member(model, "asrkit.json", lambda _: b"[" * DEEP)


def test_a_pickle_in_place_of_weights(model: Path) -> None:
    evil = b"cos\nsystem\n(S'touch evil'\ntR."
    assert "damaged" in with_member(model, "weights.safetensors", lambda _: evil)
    written(model, evil)
    assert "not a readable model file" in refusal(model)
    torch.save({"weight": torch.zeros(1)}, model)  # a zip file with a pickle in it
    assert "not an asrkit model" in refusal(model)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64, torch.bool, torch.float64])
def test_weights_of_another_type(model: Path, dtype: torch.dtype) -> None:
    weights = save({"network.output.bias": torch.zeros(5, dtype=dtype)})
    message = with_member(model, "weights.safetensors", lambda _: weights)
    assert f"network.output.bias: holds {dtype}; expected one of torch.float32" in message
    with pytest.raises(ModelFileError):
        from_stored({"x": torch.zeros(1, dtype=dtype)})


def test_a_member_whose_name_is_no_text(model: Path) -> None:
    content = bytearray(model.read_bytes())
    entry = content.index(b"PK\x01\x02")  # of the directory at the end
    content[entry + 8 : entry + 10] = (1 << 11).to_bytes(2, "little")  # names are UTF-8
    content[entry + 46] = 0xFF
    written(model, bytes(content))
    assert "not a readable model file" in refusal(model)


@pytest.mark.parametrize("declared", [1 << 20, 0xFFFFFFF0])
def test_a_member_that_declares_more_than_the_file_has(model: Path, declared: int) -> None:
    content = bytearray(model.read_bytes())
    entry = content.index(b"PK\x01\x02")
    for place in (entry + 20, entry + 24):
        content[place : place + 4] = declared.to_bytes(4, "little")
    written(model, bytes(content))
    message = refusal(model)
    assert f"declares {declared} bytes" in message or "larger than" in message


# --- archives


def pack(path: Path, *members: tuple[str, bytes]) -> bytes:
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path.read_bytes()


def unpacked(archive: Path) -> str:
    """What is said of an archive, of which nothing is left."""
    into = archive.parent / "into"
    with pytest.raises(DataError) as caught:
        unpack(archive, into, "corpus", lambda _stage, _share: None)
    assert str(caught.value).startswith(f"{archive}: ")
    assert not any(path.is_file() for path in into.rglob("*"))
    return str(caught.value)


def with_size(content: bytes, size: bytes) -> bytes:
    """Put another size into the first header, and its checksum right."""
    header = bytearray(content[:512])
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content[512:]


@pytest.mark.parametrize("size", [(-1024).to_bytes(12, signed=True), b"\x80" + b"\x7f" * 11])
def test_a_size_that_cannot_be(tmp_path: Path, size: bytes) -> None:
    # tarfile went round in circles over a negative one.
    archive = tmp_path / "x.tar"
    content = pack(archive, ("corpus/a", b"a" * 600), ("corpus/b", b"b"))
    written(archive, with_size(content, size))
    unpacked(archive)


def test_a_few_kilobytes_that_would_fill_the_disk(tmp_path: Path) -> None:
    archive = tmp_path / "x.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("corpus/zeros")
        member.size = 30 << 20
        tar.addfile(member, io.BytesIO(bytes(member.size)))
    assert archive.stat().st_size < 100_000
    assert "unpacks to more than 100 times its" in unpacked(archive)


def test_damage_in_the_middle_of_xz(tmp_path: Path) -> None:
    archive = tmp_path / "x.tar"
    rng = np.random.default_rng(1)
    content = pack(archive, *((f"corpus/{k}", rng.bytes(20_000)) for k in range(9)))
    compressed = bytearray(lzma.compress(content))
    compressed[len(compressed) // 2] ^= 0x55
    written(archive, bytes(compressed))
    assert "damaged" in unpacked(archive)


@pytest.mark.parametrize(
    "members",
    [
        (("corpus/a", b"file"), ("corpus/a/b", b"below a file")),
        (("corpus/a/b", b"file"), ("corpus/a", b"over a folder")),
        (("corpus/x\0y", b""),),
        (("corpus/" + "n" * 300, b""),),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, members: tuple[tuple[str, bytes], ...]) -> None:
    archive = tmp_path / "x.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            member = tarfile.TarInfo("corpus/é" if "\0" in name else name)
            member.size = len(content)
            if "\0" in name:
                member.pax_headers = {"path": name}
            tar.addfile(member, io.BytesIO(content))
    unpacked(archive)
