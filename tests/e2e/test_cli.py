"""The command line as a whole: help, speed, and the small commands."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from asrkit.cli import app
from asrkit.data.manifest import read_manifest


def walk(command: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Find the commands below a group, groups included, by what one types for them."""
    yield name, command
    for child_name, child in getattr(command, "commands", {}).items():
        yield from walk(child, f"{name} {child_name}".strip())


COMMANDS = dict(walk(typer.main.get_command(app)))


def options_of(name: str) -> list[str]:
    params = COMMANDS[name].params
    return [p.opts[0] for p in params if p.param_type_name == "option" and p.opts != ["--help"]]


# --- help


def test_commands() -> None:
    assert {
        "train",
        "transcribe",
        "score",
        "recipes",
        "data import",
        "model info",
    } <= COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    done = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: asrkit {name}".rstrip())
    for parameter in COMMANDS[name].params:
        assert parameter.help
    # A short name of an option stands before or after the long one.
    words = {word.rstrip(",") for line in done.stdout.splitlines() for word in line.split()[:2]}
    assert {*options_of(name), *getattr(COMMANDS[name], "commands", {})} <= words


def test_help_is_fast_and_needs_nothing_heavy() -> None:
    # The processor's time and not that of the clock, the best of five: others work here, too.
    used_s = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "asrkit", "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert "transcribe" in done.stdout
    assert min(used_s) < 0.5


def test_no_help_imports_torch() -> None:
    script = """
import sys
from typer.testing import CliRunner
from asrkit.cli import app
for command in sys.argv[1:]:
    assert CliRunner().invoke(app, [*command.split(), "--help"]).exit_code == 0
print(*{"torch", "torchaudio", "librosa", "numpy", "scipy", "rich"} & set(sys.modules))
"""
    command = [sys.executable, "-c", script, *COMMANDS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_without_arguments_there_is_help(asrkit) -> None:
    for group in ([], ["data"], ["model"]):
        done = asrkit(*group)
        assert done.returncode == 2
        assert "Commands:" in done.stdout + done.stderr


def test_an_unknown_command(asrkit) -> None:
    done = asrkit("transcribbe", "talk.wav")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such command 'transcribbe'" in done.stderr


# --- small commands


def test_recipes(asrkit) -> None:
    done = asrkit("recipes")
    assert (done.returncode, done.stderr) == (0, "")
    recipes = dict(line.split("\t") for line in done.stdout.splitlines())
    assert "TIMIT" in recipes["timit"]


def test_model_info(asrkit, model: Path) -> None:
    done = asrkit("model", "info", model)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("# tones\n\nLetters said as tones.\n")
    assert f"\nfile: {model}\nsha256: " in done.stdout
    assert "\ntokens: 5\n" in done.stdout
    assert "\n[model]\n" in done.stdout


def test_model_info_as_json(asrkit, model: Path) -> None:
    facts = json.loads(asrkit("model", "info", model, "--json").stdout)
    assert facts["bytes"] == model.stat().st_size
    # 20 filters to 4 units of 4 gates with recurrence and bias, and 4 units to 5 tokens.
    assert facts["weights"] == 4 * 4 * (20 + 4 + 1) + (4 + 1) * 5
    assert facts["settings"]["model"]["hidden_size"] == 4
    assert facts["card"].startswith("# tones")


def test_model_info_of_something_else(asrkit, recipe: Path) -> None:
    done = asrkit("model", "info", recipe)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"asrkit: {recipe}: not a readable model file")
    done = asrkit("model", "info", "gone.asr")
    assert done.returncode == 2
    assert "'gone.asr' does not exist" in done.stderr


def test_data_validate(asrkit, recipe: Path, tmp_path: Path) -> None:
    corpus = recipe.parent / "corpus"
    done = asrkit("data", "validate", corpus / "train.jsonl", corpus / "dev.jsonl")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "6 utterances in 2 splits: 0 problems, 0 warnings\n"
    done = asrkit("data", "validate", corpus / "dev.jsonl", "--unit", "phone")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "asrkit: data validate: --unit phone is of --tokens FILE; add it\n"

    broken = corpus / "broken.jsonl"
    broken.write_text('{"audio_filepath": "gone.wav", "text": "a", "duration": 1}\n')
    done = asrkit("data", "validate", broken)
    broken.unlink()
    assert done.returncode == 1
    assert done.stdout.split("\t")[:2] == ["missing-audio", "gone"]


def test_data_import(asrkit, recipe: Path, tmp_path: Path) -> None:
    table = recipe.parent / "corpus" / "table.csv"
    table.write_text("path,text\ntrain0.wav,ab ca\ntrain1.wav,b\n")
    done = asrkit("data", "import", table, tmp_path / "out.jsonl")
    table.unlink()
    assert (done.returncode, done.stdout) == (0, "")
    assert [u.text for u in read_manifest(tmp_path / "out.jsonl")] == ["ab ca", "b"]
    done = asrkit("data", "import", recipe, tmp_path / "out.csv")
    assert done.returncode == 2
    assert "expected a name that ends in .jsonl" in done.stderr


def test_score(asrkit, recipe: Path) -> None:
    manifest = recipe.parent / "corpus" / "train.jsonl"
    done = asrkit("score", manifest, manifest)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("WER 0.00 % (0 / 7)\n")
    done = asrkit("score", manifest, "gone.jsonl")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "asrkit: gone.jsonl: cannot be read: No such file or directory\n"


def test_what_the_file_system_refuses_is_one_message(asrkit, model: Path, recipe: Path) -> None:
    audio = recipe.parent / "corpus" / "train0.wav"
    done = asrkit("transcribe", audio, "--model", model, "--out", model / "below-a-file")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"asrkit: {model / 'below-a-file'}: Not a directory\n"
