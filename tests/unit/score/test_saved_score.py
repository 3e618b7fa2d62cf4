"""Scores read back, and which of them compare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from asrkit.cli.compare import compare_command
from asrkit.errors import ScoreError, UsageError
from asrkit.score.protocol import load_protocol, load_protocols
from asrkit.score.saved_score import compare_scores
from asrkit.score.scorer import score

REFS = {"u1": "h# d t h#", "u2": "h# aa h#"}


def saved(
    folder: Path, name: str, protocols: str, hyps: Mapping[str, str], refs: Mapping[str, str] = REFS
) -> Path:
    first, *beside = load_protocols(protocols)
    report = score(refs, hyps, "phone", first, allow_missing=True, beside=beside)
    path = folder / name
    path.write_text(report.to_json(alignments=True), encoding="utf-8")
    return path


def test_scores_of_one_protocol_stand_side_by_side(tmp_path: Path) -> None:
    one = saved(tmp_path, "one.json", "timit39", REFS)
    two = saved(tmp_path, "other.json", "timit39", {"u1": "h# t h#"})
    text = compare_scores([one, two])
    blocks = [line for line in text.splitlines() if line.startswith("PER under ")]
    assert [block.split()[2].rstrip(",") for block in blocks] == [
        protocol.id for protocol in load_protocols("timit39")
    ]
    assert text.splitlines()[1:3] == [
        f"  {one}    0.00 %, 95 % interval 0.00 to 0.00 %",
        f"  {two}  57.14 %, 95 % interval 25.00 to 100.00 %, 1 utterances without a hypothesis "
        "counted as deleted",
    ]


def test_only_what_all_have_in_common_is_compared(tmp_path: Path) -> None:
    one = saved(tmp_path, "one.json", "timit39", REFS)
    two = saved(tmp_path, "two.json", "timit39-merged-sil", REFS)
    (basis,) = [line for line in compare_scores([one, two]).splitlines() if "under" in line]
    assert basis.startswith(f"PER under {load_protocol('timit39-merged-sil').id}, 2 utterances, 7")


@pytest.mark.parametrize(
    ("protocols", "refs"),
    [("plain", REFS), ("timit39-kept-q", REFS), ("timit39", {**REFS, "u2": "h# aa t h#"})],
)
def test_scores_that_do_not_compare_are_refused(
    tmp_path: Path, protocols: str, refs: Mapping[str, str]
) -> None:
    one = saved(tmp_path, "one.json", "timit39", REFS)
    two = saved(tmp_path, "two.json", protocols, refs, refs)
    with pytest.raises(
        ScoreError, match=r"do not compare: they have no measure, protocol and"
    ) as e:
        compare_scores([one, two])
    assert f"  {one}: PER under {load_protocol('timit39').id}, 2 utterances" in str(e.value)
    assert f"  {two}: PER under {load_protocol(protocols).id}, 2 utterances" in str(e.value)


def test_undefined_rates(tmp_path: Path) -> None:
    path = saved(tmp_path, "one.json", "plain", {"u": "x"}, {"u": ""})
    assert f"  {path}  undefined" in compare_scores([path, path])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "the file: .* expected what `asrkit score --json` writes"),
        (json.dumps({"measure": "PER"}), "protocol_id: Field required; expected what"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ScoreError, match=rf"x\.json: {message}"):
        compare_scores([path, path])


def run(*paths: Path) -> Result:
    app = typer.Typer()
    app.command("compare")(compare_command)
    return CliRunner().invoke(app, [str(path) for path in paths])


def test_command(tmp_path: Path) -> None:
    one = saved(tmp_path, "one.json", "plain", REFS)
    result = run(one, one)
    assert (result.exit_code, result.stdout) == (0, compare_scores([one, one]) + "\n")
    assert isinstance(run(one).exception, UsageError)
    assert isinstance(run(one, tmp_path / "none.json").exception, UsageError)
