"""The command line as a whole: help, speed, every option proved, and the small commands."""

from __future__ import annotations

import ast
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from asrkit.cli import app
from asrkit.data.manifest import read_manifest

TESTS = Path(__file__).resolve().parents[1]

# Where each option of each command is proved to change what the command does.
PROOFS = {
    "train --set": "e2e/test_cli_train.py::test_a_finished_run_can_be_made_longer",
    "train --run-dir": "e2e/test_cli_train.py::test_each_stage_runs_alone",
    "train --resume": "e2e/test_cli_train.py::test_resuming_a_finished_run_changes_nothing",
    "train --stage": "e2e/test_cli_train.py::test_each_stage_runs_alone",
    "train --devices": "e2e/test_cli_train.py::test_two_processes_train_together",
    "train --json": "e2e/test_cli_train.py::test_scores_for_people",
    "train --table": "e2e/test_cli_table.py::test_a_finished_table_is_done",
    "train --rows": "e2e/test_cli_table.py::test_a_table_is_extended_by_a_row_that_needs_others",
    "train --seeds": "e2e/test_cli_table.py::test_a_finished_table_is_done",
    "transcribe --model": "e2e/test_cli_transcribe.py::test_a_file_that_is_no_model",
    "transcribe --format": "e2e/test_cli_transcribe.py::test_json",
    "transcribe --out": "e2e/test_cli_transcribe.py::test_out_mirrors_the_folder",
    "transcribe --resume": "e2e/test_cli_transcribe.py::test_an_interrupted_run_is_resumed",
    "transcribe --method": "e2e/test_cli_transcribe.py::test_method_and_beam_size",
    "transcribe --beam-size": "e2e/test_cli_transcribe.py::test_method_and_beam_size",
    "transcribe --lm": "e2e/test_cli_transcribe.py::test_lm",
    "transcribe --lm-weight": "e2e/test_cli_transcribe.py::test_lm",
    "transcribe --word-bonus": "e2e/test_cli_transcribe.py::test_lm",
    "transcribe --lexicon": "e2e/test_cli_transcribe.py::test_vocabulary_and_lexicon",
    "transcribe --vocabulary": "e2e/test_cli_transcribe.py::test_vocabulary_and_lexicon",
    "transcribe --hotwords": "e2e/test_cli_transcribe.py::test_hotwords",
    "transcribe --hotword": "e2e/test_cli_transcribe.py::test_hotwords",
    "transcribe --nbest": "e2e/test_cli_transcribe.py::test_nbest",
    "transcribe --batch-s": "e2e/test_cli_transcribe.py::test_batch_s_limits_a_batch",
    "align --model": "e2e/test_cli_align.py::test_a_file_that_is_no_model",
    "align --format": "e2e/test_cli_align.py::test_ctm_and_textgrid",
    "align --out": "e2e/test_cli_align.py::test_a_manifest_into_a_folder",
    "score --unit": "unit/score/test_score_command.py::test_unit",
    "score --protocol": "unit/score/test_score_command.py::test_protocol",
    "score --alignments": "unit/score/test_score_command.py::test_alignments",
    "score --missing": "unit/score/test_score_command.py::test_missing",
    "score --json": "unit/score/test_score_command.py::test_json",
    "plan --set": "unit/recipe/test_plan.py::test_overrides_are_planned_with",
    "plan --run-dir": "unit/recipe/test_plan.py::test_a_plan_does_not_begin_a_run",
    "plan --device": "unit/recipe/test_plan.py::test_what_cannot_be_planned",
    "data download --to": "unit/data/test_download.py::"
    "test_one_that_fails_does_not_stop_the_others",
    "data download --subset": "unit/data/test_download.py::"
    "test_one_that_fails_does_not_stop_the_others",
    "data download --url": "unit/data/test_download.py::"
    "test_one_that_fails_does_not_stop_the_others",
    "data validate --tokens": "unit/data/test_cli.py::test_tokens",
    "data validate --unit": "unit/data/test_cli.py::test_unit",
    "transcribe --precision": "e2e/test_cli_model.py::test_precision",
    "model compress -o": "e2e/test_cli_model.py::test_compress",
    "model compress --weights": "e2e/test_cli_model.py::test_compress",
    "model export -o": "e2e/test_cli_model.py::test_export",
    "model info --json": "e2e/test_cli.py::test_model_info_as_json",
    "tune --manifest": "e2e/test_cli_tune.py::test_one_table_pictures_and_a_tuned_copy",
    "tune --check": "e2e/test_cli_tune.py::test_one_table_pictures_and_a_tuned_copy",
    "tune --lm": "e2e/test_cli_tune.py::test_one_table_pictures_and_a_tuned_copy",
    "tune --lexicon": "e2e/test_cli_tune.py::test_a_lexicon_closes_the_vocabulary",
    "tune --vocabulary": "e2e/test_cli_tune.py::test_a_lexicon_closes_the_vocabulary",
    "tune --beam-sizes": "e2e/test_cli_tune.py::test_one_table_pictures_and_a_tuned_copy",
    "tune --threads": "e2e/test_cli_tune.py::test_without_a_language_model_there_is_no_surface",
    "tune --out": "e2e/test_cli_tune.py::test_one_table_pictures_and_a_tuned_copy",
    "tune -o": "e2e/test_cli_tune.py::test_one_table_pictures_and_a_tuned_copy",
    "lm build --out": "e2e/test_cli_lm.py::test_out_is_arpa_by_its_name",
    "lm build --order": "e2e/test_cli_lm.py::test_order",
    "lm build --prune": "e2e/test_cli_lm.py::test_prune",
    "lm build --entropy-prune": "e2e/test_cli_lm.py::test_entropy_prune",
    "lm build --max-words": "e2e/test_cli_lm.py::test_max_words",
    "lm build --vocab": "e2e/test_cli_lm.py::test_vocab",
    "lm build --discount-fallback": "e2e/test_cli_lm.py::test_discount_fallback",
    "lm build --quantize": "e2e/test_cli_lm.py::test_quantize",
    "lm info --json": "e2e/test_cli_lm.py::test_build_info_and_perplexity",
    "lm perplexity --json": "e2e/test_cli_lm.py::test_build_info_and_perplexity",
    "lm convert --out": "e2e/test_cli_lm.py::test_convert",
    "lm convert --quantize": "e2e/test_cli_lm.py::test_convert",
}


def walk(command: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Find the commands below a group, groups included, by what one types for them."""
    yield name, command
    for child_name, child in getattr(command, "commands", {}).items():
        yield from walk(child, f"{name} {child_name}".strip())


COMMANDS = dict(walk(typer.main.get_command(app)))


def options_of(name: str) -> list[str]:
    params = COMMANDS[name].params
    return [p.opts[0] for p in params if p.param_type_name == "option" and p.opts != ["--help"]]


@cache
def functions_in(path: Path) -> dict[str, str]:
    source = path.read_text("utf-8")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_source_segment(source, node) or "" for node in functions}


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


# --- every option changes what its command does


def test_every_option_is_proved() -> None:
    options = {f"{name} {option}" for name in COMMANDS for option in options_of(name)}
    assert options == PROOFS.keys()


@pytest.mark.parametrize("option", PROOFS)
def test_the_proof_of_an_option_uses_it(option: str) -> None:
    path, _, function = PROOFS[option].partition("::")
    _, _, flag = option.rpartition(" ")
    assert f'"{flag}"' in functions_in(TESTS / path)[function]


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
