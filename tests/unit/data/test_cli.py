"""`asrkit data` as a user meets it, except for the printing of errors, which main() does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asrkit.cli.data import app
from asrkit.data.manifest import Utterance, read_manifest, write_manifest
from asrkit.errors import AudioError, ManifestError, TokenError, UsageError

invoke = CliRunner().invoke


@pytest.fixture
def train(tmp_path, write_audio) -> Path:
    write_audio(tmp_path / "x.wav")
    path = tmp_path / "train.jsonl"
    write_manifest(path, [Utterance("x", tmp_path / "x.wav", 1.0, "a b", speaker="anna")])
    return path


@pytest.fixture
def dev(tmp_path, write_audio) -> Path:
    write_audio(tmp_path / "y.wav", seed=1)
    path = tmp_path / "dev.jsonl"
    write_manifest(path, [Utterance("y", tmp_path / "y.wav", 1.0, "b c", speaker="anna")])
    return path


def test_sound_data(train: Path) -> None:
    result = invoke(app, ["validate", str(train)])
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == "1 utterances in 1 splits: 0 problems, 0 warnings\n"


def test_problems_are_lines_of_three_cells(train: Path, tmp_path: Path) -> None:
    (tmp_path / "x.wav").unlink()
    result = invoke(app, ["validate", str(train)])
    assert result.exit_code == 1
    expected = f"missing-audio\tx\t{train}: {tmp_path / 'x.wav'} does not exist\n"
    assert result.stdout == expected
    assert result.stderr == "1 utterances in 1 splits: 1 problems, 0 warnings\n"


def test_warnings_are_listed_but_do_not_fail(train: Path, dev: Path) -> None:
    result = invoke(app, ["validate", str(train), str(dev)])
    assert result.exit_code == 0
    assert result.stdout == f"shared-speaker\ty\t{dev}: speaker anna is also in {train}\n"
    assert result.stderr == "2 utterances in 2 splits: 0 problems, 1 warnings\n"


def test_tokens(train: Path, dev: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("<blank>\n<space>\na\nb\n")
    result = invoke(app, ["validate", str(train), "--tokens", str(tokens)])
    assert result.exit_code == 0
    result = invoke(app, ["validate", str(dev), "--tokens", str(tokens)])
    assert result.exit_code == 1
    assert result.stdout.startswith(f"unknown-symbol\ty\t{dev}: 'b c': the token table has no 'c'")


def test_pieces(train: Path, dev: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("<blank>\n▁a\n▁b\n▁\na\nb\n")
    command = ["validate", "--tokens", str(tokens), "--unit", "bpe"]
    assert invoke(app, [*command, str(train)]).exit_code == 0
    result = invoke(app, [*command, str(dev)])
    assert result.exit_code == 1
    assert result.stdout.startswith(f"unknown-symbol\ty\t{dev}: 'b c': the token table has no 'c'")


def test_unit(train: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("<blank>\na\nb\nsil\n")
    command = ["validate", str(train), "--tokens", str(tokens)]
    assert invoke(app, [*command, "--unit", "phone"]).exit_code == 0
    error = invoke(app, command).exception
    assert isinstance(error, TokenError)
    assert str(error).startswith(f"{tokens}: token table: symbol 3, 'sil', is not a single char")
    assert error.exit_code == 1


def test_what_cannot_be_validated(train: Path, tmp_path: Path) -> None:
    error = invoke(app, ["validate", str(train), str(train)]).exception
    assert isinstance(error, UsageError)
    assert error.exit_code == 2
    assert isinstance(invoke(app, ["validate", str(tmp_path / "gone")]).exception, ManifestError)
    assert invoke(app, ["validate"]).exit_code == 2


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has file names that are just bytes")
def test_odd_file_names_do_not_break_the_list(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    odd = [
        Utterance("u1", tmp_path / os.fsdecode(b"caf\xe9.wav"), 1.0, ""),
        Utterance("u2", tmp_path / "two\nlines.wav", 1.0, ""),
    ]
    write_manifest(path, odd)
    result = invoke(app, ["validate", str(path)])
    assert result.exit_code == 1
    assert [line.split("\t")[:2] for line in result.stdout.splitlines()] == [
        ["missing-audio", "u1"],
        ["missing-audio", "u2"],
    ]
    assert "caf\\udce9.wav" in result.stdout


def test_import_of_a_table(train: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path,text,speaker\nx.wav,hello,anna\n")
    out = tmp_path / "new" / "t.jsonl"
    result = invoke(app, ["import", str(table), str(out)])
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == f"{out}: 1 utterances, 0.00 h\n"
    assert read_manifest(out) == [Utterance("x", tmp_path / "x.wav", 1.0, "hello", speaker="anna")]


def test_import_of_a_kaldi_folder(train: Path, tmp_path: Path) -> None:
    (tmp_path / "wav.scp").write_text(f"r1 {tmp_path / 'x.wav'}\n")
    (tmp_path / "segments").write_text("u1 r1 0.25 0.75\n")
    out = tmp_path / "out.jsonl"
    assert invoke(app, ["import", str(tmp_path), str(out)]).exit_code == 0
    assert read_manifest(out) == [Utterance("u1", tmp_path / "x.wav", 0.5, "", 0.25)]


def test_import_replaces_only_when_all_was_read(train: Path, tmp_path: Path) -> None:
    before = train.read_bytes()
    table = tmp_path / "t.csv"
    table.write_text("path,text\nx.wav,hello\ngone.wav,hello\n")
    assert isinstance(invoke(app, ["import", str(table), str(train)]).exception, AudioError)
    assert train.read_bytes() == before


def test_import_does_not_overwrite_what_is_no_manifest(train: Path, tmp_path: Path) -> None:
    error = invoke(app, ["import", str(train), str(tmp_path / "x.wav")]).exception
    assert isinstance(error, UsageError)
    missing = invoke(app, ["import", str(tmp_path / "gone.csv"), str(tmp_path / "o.jsonl")])
    assert isinstance(missing.exception, ManifestError)


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, asrkit.cli.data; print(*{'torch', 'numpy', 'soundfile'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_only_the_dataset_needs_torch() -> None:
    code = (
        "import sys, asrkit.data.audio, asrkit.data.batching, asrkit.data.corpus, "
        "asrkit.data.kaldi, asrkit.data.table, asrkit.data.tokens, asrkit.data.validate; "
        "print(*{'torch', 'librosa'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
