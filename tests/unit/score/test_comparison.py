"""Comparing two scores: what is found, what is refused, how it is worded."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from asrkit.cli.score import score_command
from asrkit.errors import ScoreError
from asrkit.score.comparison import Comparison, compare
from asrkit.score.comparison_report import comparison_text, verdict
from asrkit.score.protocol import load_protocol
from asrkit.score.report import ScoreReport
from asrkit.score.scorer import score

PLAIN = load_protocol("plain")
REFS = {"u1": "the cat sat", "u2": "on the mat", "u3": "all day long", "u4": "it did"}
NEW = {"u1": "the cat sat", "u2": "on a mat", "u3": "all day long", "u4": "it did"}
OLD = {"u1": "a cat sat down", "u2": "on the mat", "u3": "all they long", "u4": "it did"}
SPEAKERS = {"u1": "ann", "u2": "ann", "u3": "bob", "u4": "bob"}


def of(hyps: dict[str, str], speakers: dict[str, str] | None = None) -> ScoreReport:
    return score(REFS, hyps, "word", PLAIN, speakers)


@pytest.fixture
def comparison() -> Comparison:
    return compare(of(NEW, SPEAKERS), of(OLD, SPEAKERS))


def test_which_words_changed(comparison: Comparison) -> None:
    assert comparison.fixed == {"the": 1, "day": 1}
    assert comparison.broken == {"the": 1}
    assert (comparison.right_in_both, comparison.wrong_in_both) == (8, 0)
    assert comparison.changes == {"u1": -2, "u2": 1, "u3": -1}


def test_effect_size(comparison: Comparison) -> None:
    assert comparison.difference == pytest.approx(-2 / 11)
    assert comparison.relative == pytest.approx(-2 / 3)
    assert (comparison.test.num_segments, comparison.test.mean) == (4, -0.5)
    assert not comparison.is_significant


def test_draws_speakers_if_all_are_known_and_ten() -> None:
    refs = {f"u{number:02}": "a b" for number in range(20)}
    hyps = dict.fromkeys(refs, "a c")
    ten, nine = ({utt_id: f"s{i % n}" for i, utt_id in enumerate(refs)} for n in (10, 9))
    some = {utt_id: speaker for utt_id, speaker in ten.items() if utt_id != "u19"}
    for speakers, drawn in (
        (ten, ("speakers", 10)),
        *((each, ("utterances", 20)) for each in (nine, some, None)),
    ):
        reports = [score(refs, texts, "word", PLAIN, speakers) for texts in (refs, hyps)]
        found = compare(*reports)
        assert (found.drawn, found.num_drawn) == drawn


def test_the_same_system_twice() -> None:
    same = compare(of(OLD), of(OLD))
    assert same.difference == 0.0
    assert not same.fixed + same.broken
    assert same.changes == {}
    assert same.bootstrap is not None
    assert same.bootstrap.improvement == 0.5
    assert verdict(same).startswith("no difference shown at the 5 % level: p = 1.0000")


def test_against_a_system_without_errors() -> None:
    perfect = compare(of(OLD), of(REFS))
    assert perfect.relative is None
    assert "; relative" not in comparison_text(perfect)


def test_refuses_scores_that_do_not_compare() -> None:
    report = of(NEW)
    english = score(REFS, OLD, "word", load_protocol("english"))
    with pytest.raises(ScoreError, match=r"protocol is plain.* in one and english.* in the other"):
        compare(report, english)
    with pytest.raises(ScoreError, match="unit is word in one and char"):
        compare(report, score(REFS, OLD, "char", PLAIN))
    other_refs = {**REFS, "u4": "it does"}
    with pytest.raises(ScoreError, match="SHA-256 of the references"):
        compare(report, score(other_refs, OLD, "word", PLAIN))
    empty = score({"u1": ""}, {"u1": "a"}, "word", PLAIN)
    with pytest.raises(ScoreError, match="all are empty"):
        compare(empty, empty)


def systems(num_utts: int, rates: tuple[float, float], seed: int) -> list[ScoreReport]:
    """Score two systems that get words wrong at random, for 20 speakers."""
    generator = random.Random(seed)
    refs = {f"u{number:03}": " ".join("abcdefgh") for number in range(num_utts)}
    speakers = {utt_id: f"s{number % 20:02}" for number, utt_id in enumerate(refs)}
    reports = []
    for rate in rates:
        hyps = {
            utt_id: " ".join(w if generator.random() > rate else "x" for w in text.split())
            for utt_id, text in refs.items()
        }
        reports.append(score(refs, hyps, "word", PLAIN, speakers))
    return reports


def test_verdict_on_a_real_difference() -> None:
    better, worse = systems(400, (0.05, 0.10), seed=1)
    text = verdict(compare(better, worse))
    assert text.startswith("HYP makes fewer errors, significant at the 5 % level: p < 0.0001 (")
    assert "but" not in text
    assert verdict(compare(worse, better)).startswith("HYP makes more errors, significant")


def test_verdict_on_no_difference() -> None:
    text = verdict(compare(*systems(200, (0.1, 0.1), seed=3)))
    assert text.startswith("no difference shown at the 5 % level: p = 0.")
    assert "that does not show them equal: anything from -" in text


def test_verdict_where_speakers_do_not_agree() -> None:
    # One speaker of ten has nearly all the difference.
    refs = {f"u{number:03}": "a b c d" for number in range(100)}
    speakers = {utt_id: f"s{number % 10}" for number, utt_id in enumerate(refs)}
    worse = {utt_id: "x b c d" if speakers[utt_id] == "s0" else refs[utt_id] for utt_id in refs}
    better = {**refs, "u001": "a b x d"}
    reports = [score(refs, hyps, "word", PLAIN, speakers) for hyps in (better, worse)]
    text = verdict(compare(*reports))
    assert text.startswith("HYP makes fewer errors, significant")
    assert text.endswith(
        "but the interval over speakers holds 0: other speakers may show no difference"
    )


def test_text(comparison: Comparison) -> None:
    lines = comparison_text(comparison).splitlines()
    own = comparison.report.text().splitlines()
    assert lines[: len(own)] == own
    text = "\n".join(lines[len(own) :])
    assert "against: WER 27.27 % (3 / 11): 2 substitutions, 0 deletions, 1 insertions\n" in text
    assert "verdict: no difference shown at the 5 % level: p = 0.6250 (matched pairs, 4 s" in text
    interval = r"95 % interval -\d\d\.\d\d to [+-]\d+\.\d\d"
    assert re.search(rf"difference: -18\.18 points, {interval}; relative -66\.67 %", text)
    assert "bootstrap over 4 utterances, so few that intervals are too narrow)" in text
    assert "words: 2 fixed (right in HYP only), 1 broken (right in AGAINST only), 8 right" in text
    assert "fixed: day 1, the 1\nbroken: the 1\n" in text
    assert "utterances: 2 with fewer errors, 1 with more, 1 with as many\n" in text
    assert text.endswith("ref:     all day long\nhyp:     all day long\nagainst: all they long")


def test_assumptions_by_unit() -> None:
    def text(unit: str, speakers: dict[str, str] | None) -> str:
        reports = [score(REFS, hyps, unit, PLAIN, speakers) for hyps in (NEW, OLD)]
        return comparison_text(compare(*reports))

    assert "rely on the interval" not in text("word", SPEAKERS)
    assert "if two phones or more" in text("phone", SPEAKERS)
    assert "rely on the interval" in text("char", SPEAKERS)
    assert "one speaker are not; the two" in text("word", None)
    assert "one speaker are not; 2 speakers are too few to draw; the two" in text("word", SPEAKERS)
    better, worse = systems(20, (0.1, 0.2), seed=1)
    assert "utterances are independent" not in comparison_text(compare(better, worse))


# The command


def jsonl(path: Path, texts: dict[str, str], speakers: dict[str, str] | None = None) -> Path:
    records = [
        {"utt_id": key, "text": text, "speaker": (speakers or {}).get(key, "")}
        for key, text in texts.items()
    ]
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [
        jsonl(tmp_path / "ref.jsonl", REFS, SPEAKERS),
        jsonl(tmp_path / "new.jsonl", NEW),
        jsonl(tmp_path / "old.jsonl", OLD),
    ]


def run(ref: Path, hyp: Path, against: Path, *options: str) -> Result:
    app = typer.Typer()
    app.command("score")(score_command)
    arguments = [str(ref), str(hyp), "--against", str(against), *options]
    return CliRunner().invoke(app, arguments)


def test_command_prints_both(files: list[Path]) -> None:
    result = run(*files)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("WER 9.09 % (1 / 11)\n")
    assert "\nverdict: no difference shown" in result.stdout


def test_command_json(files: list[Path]) -> None:
    content = json.loads(run(*files, "--json", "--alignments").stdout)
    assert content["measure"] == "WER"
    found = content["comparison"]
    assert found["against"]["error_rate"] == pytest.approx(3 / 11)
    assert found["against"]["reference"] == content["reference"]
    assert "u1" in content["alignments"]
    assert "u1" in found["against"]["alignments"]
    assert found["verdict"].startswith("no difference shown")
    assert found["significant"] is False
    assert found["matched_pairs"]["segments"] == 4
    assert found["matched_pairs"]["p"] == 0.625
    assert found["bootstrap"]["drawn"] == "utterances"
    assert found["bootstrap"]["difference"]["low"] < found["difference"]
    assert 0.5 < found["bootstrap"]["probability_of_improvement"] < 1
    assert found["tokens"] == {"right_in_both": 8, "wrong_in_both": 0, "fixed": 2, "broken": 1}
    assert found["fixed"] == {"day": 1, "the": 1}
    assert list(found["changes"].items()) == [("u1", -2), ("u2", 1), ("u3", -1)]


def test_json_has_no_infinity(tmp_path: Path) -> None:
    refs = {f"u{number}": "a b" for number in range(60)}
    paths = [
        jsonl(tmp_path / f"{name}.jsonl", texts)
        for name, texts in (("ref", refs), ("new", refs), ("old", dict.fromkeys(refs, "a")))
    ]
    found = json.loads(run(*paths, "--json").stdout)["comparison"]
    assert found["matched_pairs"]["z"] is None
    assert found["matched_pairs"]["p"] == 0.0
    assert found["relative_difference"] == -1.0


def test_command_names_the_file_whose_utterances_differ(files: list[Path], tmp_path: Path) -> None:
    ref, new, _ = files
    part = jsonl(tmp_path / "part.jsonl", {"u1": "the cat sat", "u2": "on the mat"})
    result = run(ref, new, part)
    assert isinstance(result.exception, ScoreError)
    assert str(result.exception).startswith(
        f"--against {part}: 2 of 4 references have no hypothesis: u3, u4"
    )
    assert result.stdout == ""
    more = jsonl(tmp_path / "more.jsonl", {**OLD, "u5": "yes"})
    result = run(ref, new, more)
    assert f"{more}: 1 of 5 hypotheses have no reference: u5" in str(result.exception)

    result = run(ref, new, part, "--missing", "delete")
    assert result.exit_code == 0
    assert "; 2 utterances missing, 0 from HYP: what they lack is part of the diff" in result.stdout
