"""`asrkit score` on its own small app."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from asrkit.cli.score import score_command
from asrkit.errors import AsrkitError, ScoreError, UsageError

REFS = {"u1": "The cat.", "u2": "i", "u3": "sat down"}
HYPS = {"u1": "the cat", "u2": "i", "u3": "sat"}


def run(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command("score")(score_command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def jsonl(path: Path, texts: dict[str, str], **extra: str) -> Path:
    lines = [json.dumps({"utt_id": key, "text": text, **extra}) for key, text in texts.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return jsonl(tmp_path / "ref.jsonl", REFS, speaker="anna"), jsonl(tmp_path / "hyp.jsonl", HYPS)


def refused(error: type[AsrkitError], *arguments: str | Path) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, error)
    assert result.stdout == ""
    return str(result.exception)


def test_prints_the_rate_first_and_what_it_was_measured_on(files: tuple[Path, Path]) -> None:
    result = run(*files)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "WER 60.00 % (3 / 5)"
    assert lines[1].startswith("95 % interval: ")
    assert "protocol: plain: tokens as they are" in lines
    assert any(line.startswith("reference: 3 utterances, 5 tokens, SHA-256 ") for line in lines)
    assert any(line.startswith("speaker anna: 60.00 %") for line in lines)


def test_protocol(files: tuple[Path, Path]) -> None:
    assert run(*files, "--protocol", "english").stdout.startswith("WER 20.00 % (1 / 5)")
    assert "known: english, plain, sclite, timit39" in refused(
        UsageError, *files, "--protocol", "x"
    )
    assert "symbol 'The'" in refused(ScoreError, *files, "--protocol", "timit39")


def test_unit(files: tuple[Path, Path]) -> None:
    assert run(*files, "--unit", "char").stdout.startswith("CER 41.18 % (7 / 17)")
    assert run(*files, "--unit", "phone").stdout.startswith("PER 60.00 % (3 / 5)")
    assert run(*files, "--unit", "syllable").exit_code == 2
    message = refused(UsageError, *files, "--unit", "word", "--protocol", "timit39")
    assert "expected phone" in message


def test_the_protocol_gives_the_default_unit(tmp_path: Path) -> None:
    ref = jsonl(tmp_path / "ref.jsonl", {"fadg0_si1": "h# q aa h#"})
    result = run(ref, ref, "--protocol", "timit39")
    assert result.stdout.startswith("PER 0.00 % (0 / 3)")
    assert "removed: q (glottal stop)" in result.stdout


def test_alignments(files: tuple[Path, Path]) -> None:
    assert "ref: sat down\nhyp: sat ***\nop:      D\n" in run(*files, "--alignments").stdout
    assert "ref: " not in run(*files).stdout


def test_json(files: tuple[Path, Path]) -> None:
    content = json.loads(run(*files, "--json").stdout)
    assert content["error_rate"] == pytest.approx(0.6)
    assert content["speakers"]["anna"]["deletions"] == 1
    assert "alignments" not in content
    assert "alignments" in json.loads(run(*files, "--json", "--alignments").stdout)


def test_missing(files: tuple[Path, Path], tmp_path: Path) -> None:
    hyp = jsonl(tmp_path / "part.jsonl", {"u1": "The cat."})
    assert "no hypothesis: u2, u3" in refused(ScoreError, files[0], hyp)
    assert "u2, u3" in refused(ScoreError, files[0], hyp, "--missing", "error")
    result = run(files[0], hyp, "--missing", "delete")
    assert result.stdout.startswith("WER 60.00 % (3 / 5)")
    assert "missing: 2 utterances" in result.stdout


def test_pairs_by_id_across_formats(files: tuple[Path, Path], tmp_path: Path) -> None:
    hyp = tmp_path / "hyp.trn"
    hyp.write_text("sat down (u3)\ni (u2)\nThe cat. (u1)\n")
    assert run(files[0], hyp).stdout.startswith("WER 0.00 % (0 / 5)")


def test_the_pairing_trap(tmp_path: Path) -> None:
    # jiwer's command line prints 0.0 here: it drops the lines of one character from each file.
    ref, hyp = tmp_path / "ref.txt", tmp_path / "hyp.txt"
    ref.write_text("a b c\ni\nd e f\n")
    hyp.write_text("a b c\nd e f\ni\n")
    assert "never paired by position" in refused(ScoreError, ref, hyp)
    for path in (ref, hyp):
        lines = path.read_text().splitlines()
        path.write_text("".join(f"utt_{i} {line}\n" for i, line in enumerate(lines)))
    assert run(ref, hyp).stdout.startswith("WER 85.71 % (6 / 7)")


def test_a_file_that_is_not_there(files: tuple[Path, Path], tmp_path: Path) -> None:
    assert "none: cannot be read" in refused(UsageError, files[0], tmp_path / "none")


def test_help_names_the_protocols() -> None:
    shown = run("--help").stdout
    assert all(name in shown for name in ("english", "plain", "timit39"))


def test_help_needs_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, asrkit.cli.score; "
        "sys.exit(str({'torch', 'numpy', 'pydantic'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stderr.strip() == ""


def test_one_file_that_holds_both_sides(files: tuple[Path, Path], tmp_path: Path) -> None:
    recogs = tmp_path / "recogs-test.txt"
    recogs.write_text(
        "".join(f"{u}:\tref={REFS[u].split()}\n{u}:\thyp={HYPS[u].split()}\n" for u in REFS)
    )
    assert run(recogs).stdout.startswith("WER 60.00 % (3 / 5)")
    # Its place among the arguments says which side is meant.
    assert run(files[0], recogs).stdout.startswith("WER 60.00 % (3 / 5)")
    assert run(recogs, files[0]).stdout.startswith("WER 0.00 % (0 / 5)")
    assert "holds one transcript an utterance" in refused(UsageError, files[0])


def test_protocols_side_by_side(tmp_path: Path) -> None:
    ref = jsonl(tmp_path / "ref.jsonl", {"u": "h# pau d h#"})
    hyp = jsonl(tmp_path / "hyp.jsonl", {"u": "d h#"})
    lines = run(ref, hyp, "--protocol", "timit39").stdout.splitlines()
    start = lines.index("PER by protocol, none of which compares with another:")
    shown = [line.split("@")[0].strip() for line in lines[start + 1 : start + 4]]
    assert shown == ["timit39", "timit39-optional-sil", "timit39-merged-sil"]
    two = json.loads(run(ref, hyp, "--json", "--protocol", "timit39-merged-sil,timit39").stdout)
    assert (two["protocol"], two["error_rate"]) == ("timit39-merged-sil", 1 / 3)
    assert [(each["protocol"], each["error_rate"]) for each in two["beside"]] == [("timit39", 0.5)]
    assert "plain: is given twice" in refused(UsageError, ref, hyp, "--protocol", "plain,plain")
    message = refused(UsageError, ref, hyp, "--protocol", "plain,timit39")
    assert "protocol timit39: unit word cannot be scored" in message


def test_alternatives_are_read_from_trn_and_stm_alone(tmp_path: Path) -> None:
    ref, hyp = tmp_path / "ref.trn", jsonl(tmp_path / "hyp.jsonl", {"a_1": "gonna go"})
    ref.write_text("{ going to / gonna } go (a_1)\n")
    assert run(ref, hyp).stdout.startswith("WER 0.00 % (0 / 2)")
    ref = jsonl(tmp_path / "ref.jsonl", {"a_1": "{ going to / gonna } go"})
    assert run(ref, hyp).stdout.startswith("WER 71.43 % (5 / 7)")
