"""A model file brings the same recogniser back; anything else is refused by name."""

from __future__ import annotations

import contextlib
import json
import os
import pickletools
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from asrkit.errors import ModelFileError, UsageError
from asrkit.model_file import Recognizer, load_recognizer, save_recognizer, sha256_of
from asrkit.nn.stored_weights import Storage
from asrkit.settings import DecodeSettings

Members = dict[str, bytes]


@pytest.fixture
def path(tmp_path: Path, recognizer: Recognizer) -> Path:
    path = tmp_path / "tiny.asr"
    save_recognizer(path, recognizer)
    return path


@pytest.fixture
def phone_path(tmp_path: Path, phone_recognizer: Recognizer) -> Path:
    path = tmp_path / "phones.asr"
    save_recognizer(path, phone_recognizer)
    return path


def members_of(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path: Path, members: Members, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        load_recognizer(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def rewritten(path: Path, change: Callable[[Members], Any]) -> str:
    """What is said about the file after its members were changed."""
    members = members_of(path)
    change(members)
    write_zip(path, members)
    return refusal(path)


# --- what is good


@pytest.mark.parametrize("speakers", [("anna", "zoë"), ("nobody", "")])
def test_round_trip_gives_identical_log_probs(
    path: Path, recognizer: Recognizer, speakers: tuple[str, str]
) -> None:
    loaded = load_recognizer(path)
    waves = 0.1 * torch.randn(2, 8000)
    lens = torch.tensor([8000, 5000])
    with torch.inference_mode():
        expected, expected_lens = recognizer.model(waves, lens, speakers)
        found, found_lens = loaded.model(waves, lens, speakers)
    assert torch.equal(found, expected)
    assert torch.equal(found_lens, expected_lens)
    assert not loaded.model.training


def test_round_trip_of_the_rest(path: Path, recognizer: Recognizer) -> None:
    loaded = load_recognizer(path)
    assert loaded.tokens == recognizer.tokens
    assert loaded.card == recognizer.card
    assert loaded.model.normalizer.speaker_names == ["anna", "zoë"]
    assert loaded.num_weights == recognizer.num_weights
    assert loaded.num_weights == sum(p.numel() for p in recognizer.model.parameters())
    unplaced = {"root": "", "train": "", "dev": "", "test": ""}
    data = recognizer.settings.data.model_copy(update=unplaced)
    train = recognizer.settings.train.model_copy(update={"initial_weights": ()})
    assert loaded.settings == recognizer.settings.model_copy(update={"data": data, "train": train})


def test_round_trip_with_phones(phone_path: Path, phone_recognizer: Recognizer) -> None:
    loaded = load_recognizer(phone_path)
    assert loaded.phones == phone_recognizer.phones
    assert loaded.tokens == phone_recognizer.tokens
    assert loaded.num_weights == phone_recognizer.num_weights
    waves, lens = 0.1 * torch.randn(1, 8000), torch.tensor([8000])
    with torch.inference_mode():
        for reads_phones, size in ((False, 5), (True, 3)):
            expected, _ = phone_recognizer.model(waves, lens, ("anna",), reads_phones)
            found, _ = loaded.model(waves, lens, ("anna",), reads_phones)
            assert torch.equal(found, expected)
            assert found.shape[2] == size
    again = phone_path.with_name("again.asr")
    save_recognizer(again, loaded)
    assert again.read_bytes() == phone_path.read_bytes()


def test_the_table_is_that_of_what_is_read(
    recognizer: Recognizer, phone_recognizer: Recognizer
) -> None:
    phones = DecodeSettings(method="beam", reads="phones", lexicon="words.txt")
    assert phone_recognizer.table(phones) is phone_recognizer.phones
    for tokens in (DecodeSettings(method="beam"), DecodeSettings(reads="phones")):
        assert phone_recognizer.table(tokens) is phone_recognizer.tokens
        assert recognizer.table(tokens) is recognizer.tokens
    with pytest.raises(UsageError, match=r'"phones", but the model was trained without model\.ph'):
        recognizer.table(phones)


def test_places_on_the_maker_s_machine_stay_out_of_it(path: Path, phone_path: Path) -> None:
    assert b"/private/place" not in path.read_bytes()
    assert b"/private/place" not in phone_path.read_bytes()


def test_same_model_same_bytes(path: Path, recognizer: Recognizer, tmp_path: Path) -> None:
    again, other = tmp_path / "again.asr", tmp_path / "other.asr"
    save_recognizer(again, load_recognizer(path))
    assert again.read_bytes() == path.read_bytes()
    assert sha256_of(again) == sha256_of(path)
    with zipfile.ZipFile(path) as archive:  # nor does the hour show
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    with torch.no_grad():
        recognizer.model.network.output.bias[0] += 1.0
    save_recognizer(other, recognizer)
    assert sha256_of(other) != sha256_of(path)


@pytest.mark.parametrize(("storage", "change"), [("float16", 1e-3), ("int8", 0.03)])
def test_stored_smaller(
    path: Path, recognizer: Recognizer, storage: Storage, change: float
) -> None:
    smaller = path.with_name("smaller.asr")
    save_recognizer(smaller, recognizer, storage)
    assert smaller.stat().st_size < path.stat().st_size
    loaded = load_recognizer(smaller)
    assert {value.dtype for value in loaded.model.state_dict().values()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in loaded.model.parameters())
    waves, lens = 0.1 * torch.randn(1, 8000), torch.tensor([8000])
    with torch.inference_mode():
        difference = (loaded.model(waves, lens)[0] - recognizer.model(waves, lens)[0]).abs()
    assert 0 < difference.max() < change


def test_nothing_is_pickled(path: Path) -> None:
    members = members_of(path)
    assert sorted(members) == [
        "README.md",
        "asrkit.json",
        "settings.toml",
        "tokens.txt",
        "weights.safetensors",
    ]
    for name, content in members.items():
        with pytest.raises(ValueError, match=r"."):  # no pickle, whatever the protocol
            list(pickletools.genops(content))
        if name != "weights.safetensors":
            content.decode()
    assert load(members["weights.safetensors"])
    assert json.loads(members["asrkit.json"])["format"] == "asrkit model"


def test_written_whole_or_not_at_all(
    path: Path, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()
    with torch.no_grad():
        recognizer.model.network.output.bias[0] += 1.0

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_recognizer(path, recognizer)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# --- what is not


def test_missing(tmp_path: Path) -> None:
    assert "there is no such model file" in refusal(tmp_path / "missing.asr")
    assert "there is no such model file" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK", b"RIFF\x00\x00", b"text that is no model\n" * 99])
def test_no_zip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.asr"
    path.write_bytes(content)
    assert "not a readable model file" in refusal(path)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.5, 0.9, 0.999])
def test_truncated(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "not a readable model file" in refusal(path)


def test_foreign_zip(tmp_path: Path) -> None:
    path = tmp_path / "x.asr"
    write_zip(path, {"data.pkl": b"cos\nsystem\n(S'true'\ntR."})
    assert "not an asrkit model: it holds data.pkl; expected README.md, asrkit.json" in refusal(
        path
    )
    write_zip(path, {})
    assert "it holds nothing" in refusal(path)


def test_extra_member(path: Path) -> None:
    message = rewritten(path, lambda members: members.update({"../evil.py": b"print()"}))
    assert "not an asrkit model: it holds ../evil.py, README.md" in message


def test_missing_member(path: Path) -> None:
    assert "not an asrkit model" in rewritten(path, lambda members: members.pop("tokens.txt"))


def test_member_twice(path: Path) -> None:
    members = members_of(path)
    with zipfile.ZipFile(path, "w") as archive:
        for name in [*members, "tokens.txt"]:
            if name in archive.namelist():
                with pytest.warns(UserWarning, match="Duplicate name"):
                    archive.writestr(name, members[name])
            else:
                archive.writestr(name, members[name])
    assert "not an asrkit model" in refusal(path)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_unknown_version(path: Path, version: object) -> None:
    header = json.loads(members_of(path)["asrkit.json"])
    header["version"] = version
    changed = json.dumps(header).encode()
    message = rewritten(path, lambda members: members.update({"asrkit.json": changed}))
    assert f"format version {version}; this asrkit reads version 1" in message


@pytest.mark.parametrize("header", [b"", b"{", b"[]", b"{}", b'{"version": 1}', b"\xff", b"7"])
def test_damaged_header(path: Path, header: bytes) -> None:
    message = rewritten(path, lambda members: members.update({"asrkit.json": header}))
    assert "asrkit.json is damaged" in message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("settings.toml", b"[model", "settings.toml: not valid TOML"),
        ("settings.toml", b"[recipe]\nname = 'x'\n[modle]", "modle is not a known key; did you"),
        ("settings.toml", b"\xff\xfe", "damaged"),
        ("tokens.txt", b"a\nb\n", "the first symbol must be <blank>"),
        ("tokens.txt", b"<blank>\na\na\n", "'a', occurs twice"),
        ("tokens.txt", b"\xff", "damaged"),
        ("README.md", b"\xff", "damaged"),
        ("weights.safetensors", b"", "damaged"),
        ("weights.safetensors", b"\xff" * 100, "damaged"),
        ("weights.safetensors", save({}), "1 layers, but 0 tensors of weights"),
        ("weights.safetensors", save({"x": torch.zeros(1)}), "Missing key"),
    ],
)
def test_damaged_member(path: Path, name: str, content: bytes, expected: str) -> None:
    assert expected in rewritten(path, lambda members: members.update({name: content}))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"b\n", "the first symbol must be <blank>"),
        (b"<blank>\nb\nb\n", "'b', occurs twice"),
        (b"<blank>\nb c\n", "holds white space"),
        (b"\xff", "damaged"),
        (b"<blank>\nb\n", "size mismatch for network.phone_output"),
        (b"<blank>\n" + b"b" * (1 << 20), "phones.txt is larger than 1048576 bytes; refused"),
    ],
)
def test_damaged_phones(phone_path: Path, content: bytes, expected: str) -> None:
    assert expected in rewritten(
        phone_path, lambda members: members.update({"phones.txt": content})
    )


def test_phones_and_their_layer_go_together(path: Path, phone_path: Path) -> None:
    message = rewritten(phone_path, lambda members: members.pop("phones.txt"))
    assert "damaged: model.phone_layer = 1, but there is no phones.txt" in message
    message = rewritten(path, lambda members: members.update({"phones.txt": b"<blank>\nb\n"}))
    assert "damaged: model.phone_layer = 0, but there is a phones.txt" in message


def test_tensors_of_other_shapes(path: Path) -> None:
    def widen(members: Members) -> None:
        weights = load(members["weights.safetensors"])
        weights["network.output.weight"] = torch.zeros(6, 8)
        members["weights.safetensors"] = save(weights)

    message = rewritten(path, widen)
    assert "size mismatch for network.output.weight" in message
    assert "torch.Size([6, 8])" in message


def test_more_or_fewer_tensors(path: Path) -> None:
    def add(members: Members) -> None:
        weights = load(members["weights.safetensors"])
        weights["network.back_door"] = torch.zeros(1)
        members["weights.safetensors"] = save(weights)

    assert 'Unexpected key(s) in state_dict: "network.back_door"' in rewritten(path, add)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("hidden_size = 100000000", "size mismatch for network"),
        ("hidden_size = 1000000000000", "damaged"),
        ("num_layers = 1000000000", "1000000000 layers, but"),
        ("num_mel_bins = 100000000", "100000000 filters; expected at most"),
        ("frame_length_ms = 1e12", "expected at most 32768 and 1024"),
    ],
)
def test_settings_that_would_fill_the_memory(path: Path, setting: str, expected: str) -> None:
    key = setting.split(maxsplit=1)[0]

    def change(members: Members) -> None:
        lines = members["settings.toml"].decode().splitlines()
        changed = [setting if line.startswith(f"{key} = ") else line for line in lines]
        assert changed != lines
        members["settings.toml"] = "\n".join(changed).encode()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert expected in rewritten(path, change)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_token_table_of_another_size(path: Path) -> None:
    message = rewritten(path, lambda members: members.update({"tokens.txt": b"<blank>\na\n"}))
    assert "size mismatch for network.output" in message


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_small_file_that_could_unpack_to_a_large_one(path: Path, compression: int) -> None:
    members = {**members_of(path), "weights.safetensors": b" " * (1 << 24)}
    write_zip(path, members, compression)
    assert path.stat().st_size < 1 << 17
    assert "its members are compressed" in refusal(path)


def test_a_member_larger_than_it_may_be(path: Path) -> None:
    message = rewritten(path, lambda members: members.update({"README.md": b" " * ((1 << 20) + 1)}))
    assert "README.md is larger than 1048576 bytes; refused" in message


def test_a_member_that_declares_more_than_is_there(path: Path) -> None:
    members = members_of(path)
    content = path.read_bytes()
    declared = len(members["README.md"]).to_bytes(4, "little") * 2
    assert content.count(declared) == 2  # compressed and plain size, in both headers
    path.write_bytes(content.replace(declared, b"\xf0\xff\xff\x7f" * 2))
    refusal(path)


def test_a_flipped_bit_in_the_weights(path: Path) -> None:
    content = bytearray(path.read_bytes())
    start = content.index(b"weights.safetensors")
    content[start + 2000] ^= 0x10
    path.write_bytes(content)
    assert "not a readable model file: Bad CRC-32" in refusal(path)


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damage_anywhere_is_told_or_harmless(path: Path, data: st.DataObject) -> None:
    content = bytearray(path.read_bytes())
    # Half the time in the directory at the end, where a byte decides more.
    low = data.draw(st.sampled_from([0, len(content) - 400]))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(low, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = path.with_name("damaged.asr")
    damaged.write_bytes(content)
    with contextlib.suppress(ModelFileError):
        loaded = load_recognizer(damaged)
        # What a zip file holds beside its members, such as times, may change unnoticed.
        assert loaded.card == load_recognizer(path).card
        torch.testing.assert_close(
            loaded.model.state_dict(), load_recognizer(path).model.state_dict(), rtol=0, atol=0
        )
