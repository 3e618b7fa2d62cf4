"""What a report says, as text and as JSON."""

from __future__ import annotations

import hashlib
import json

import pytest

from asrkit.score.protocol import load_protocol, load_protocols
from asrkit.score.report import ScoreReport
from asrkit.score.scorer import score

PLAIN = load_protocol("plain")


@pytest.fixture
def report() -> ScoreReport:
    refs = {"u2": "the  cat sat", "u1": "A b"}
    hyps = {"u1": "A b", "u2": "cat sit down"}
    return score(refs, hyps, "word", PLAIN, {"u1": "anna", "u2": "bob"})


def test_text_says_all_that_a_number_needs(report: ScoreReport) -> None:
    digest = hashlib.sha256(b"u1 A b\nu2 the cat sat\n").hexdigest()
    assert report.text().splitlines() == [
        "WER 60.00 % (3 / 5)",
        "95 % interval: 0.00 % to 100.00 % (bootstrap over 2 utterances)",
        "errors: 1 substitutions, 1 deletions, 1 insertions, 3 hits",
        "protocol: plain: tokens as they are",
        f"protocol id: {PLAIN.id}",
        f"reference: 2 utterances, 5 tokens, SHA-256 {digest}",
        "hypothesis: 5 tokens",
        "speaker anna: 0.00 % (0 / 2): 0 substitutions, 0 deletions, 0 insertions",
        "speaker bob: 100.00 % (3 / 3): 1 substitutions, 1 deletions, 1 insertions",
    ]


def test_alignments_stand_in_columns(report: ScoreReport) -> None:
    text = report.text(alignments=True)
    assert text.startswith(report.text())
    assert text.splitlines()[-4:] == [
        "utterance u2: 100.00 % (3 / 3)",
        "ref: the cat *** sat",
        "hyp: *** cat sit down",
        "op:  D       I   S",
    ]


def test_json_holds_the_same(report: ScoreReport) -> None:
    content = json.loads(report.to_json())
    assert content["measure"] == "WER"
    assert (content["unit"], content["protocol"]) == ("word", "plain")
    assert content["notes"] == list(PLAIN.notes())
    assert content["protocol_id"] == PLAIN.id
    assert content["beside"] == []
    assert content["error_rate"] == pytest.approx(0.6)
    kinds = ("hits", "substitutions", "deletions", "insertions")
    assert [content[kind] for kind in kinds] == [3, 1, 1, 1]
    assert content["interval"] == {"level": 0.95, "low": 0.0, "high": 1.0}
    assert content["reference"]["utterances"] == 2
    assert content["reference"]["sha256"] == report.fingerprint.sha256
    assert content["speakers"]["bob"]["error_rate"] == 1.0
    assert content["utterances"]["u1"]["hits"] == 2
    assert content["missing"] == []
    assert "alignments" not in content
    with_edits = json.loads(report.to_json(alignments=True))
    assert with_edits.pop("alignments")["u2"][:2] == [["del", "the", None], ["hit", "cat", "cat"]]
    assert with_edits == content


@pytest.mark.parametrize(("unit", "name"), [("word", "WER"), ("char", "CER"), ("phone", "PER")])
def test_the_rate_is_named_after_the_unit(unit: str, name: str) -> None:
    report = score({"u": "a b"}, {"u": "a"}, unit, PLAIN)  # type: ignore[arg-type]
    assert report.text().startswith(f"{name} ")
    assert report.rate_name == name


def test_spaces_show_in_character_alignments() -> None:
    report = score({"u": "a b"}, {"u": "ab"}, "char", PLAIN)
    assert report.text(alignments=True).splitlines()[-3:] == [
        "ref: a <space> b",
        "hyp: a ***     b",
        "op:    D",
    ]


def test_forgiven_deletions_show() -> None:
    optional = load_protocol("timit39-optional-sil")
    report = score({"u": "h# d h#"}, {"u": "t h#"}, "phone", optional)
    text = report.text(alignments=True)
    assert text.startswith("PER 33.33 % (1 / 3)\n")
    assert "errors: 1 substitutions, 0 deletions (1 more forgiven), 0 insertions, 1 hits" in text
    assert text.splitlines()[-3:] == ["ref: sil d sil", "hyp: *** t sil", "op:  (D) S"]
    assert json.loads(report.to_json())["forgiven"] == 1


def test_fingerprint_is_of_the_normalised_reference() -> None:
    english = load_protocol("english")
    shouted = score({"u": "Hello,  WORLD!"}, {"u": ""}, "word", english).fingerprint
    plain = score({"u": "hello world"}, {"u": "x"}, "word", PLAIN).fingerprint
    assert shouted == plain
    assert score({"v": "hello world"}, {"v": ""}, "word", PLAIN).fingerprint != plain
    characters = score({"u": "hello world"}, {"u": ""}, "char", PLAIN).fingerprint
    assert (characters.sha256, characters.num_tokens) == (plain.sha256, 11)


def test_missing_hypotheses_are_named() -> None:
    report = score({"a": "x", "b": "y"}, {"b": "y"}, "word", PLAIN, allow_missing=True)
    assert "missing: 1 utterances have no hypothesis and count as deletions: a" in report.text()
    assert json.loads(report.to_json())["missing"] == ["a"]


def test_rates_that_do_not_exist() -> None:
    report = score({"a": ""}, {"a": "x"}, "word", PLAIN)
    assert report.text().splitlines()[:2] == [
        "WER inf % (1 / 0)",
        "95 % interval: none; it takes two utterances and a reference token",
    ]
    content = json.loads(report.to_json())
    assert content["error_rate"] is None
    assert content["interval"] is None


def test_other_protocols_stand_beside_the_first() -> None:
    strict, *others = load_protocols("timit39")
    report = score({"u": "h# pau d h#"}, {"u": "d h#"}, "phone", strict, beside=others)
    assert [each.error_rate for each in (report, *report.beside)] == [0.5, 0.0, 1 / 3]
    lines = report.text().splitlines()
    start = lines.index("PER by protocol, none of which compares with another:")
    assert start < lines.index(strict.notes()[0])
    assert [line.split() for line in lines[start + 1 : start + 4]] == [
        [strict.id, "50.00", "%", "(2", "/", "4)"],
        [others[0].id, "0.00", "%", "(0", "/", "4)"],
        [others[1].id, "33.33", "%", "(1", "/", "3)"],
    ]
    content = json.loads(report.to_json())
    assert [each["protocol_id"] for each in content["beside"]] == [other.id for other in others]
    lenient = content["beside"][0]
    assert (lenient["error_rate"], lenient["forgiven"]) == (0.0, 2)
    assert lenient["reference"] == content["reference"]
    assert content["beside"][1]["reference"]["tokens"] == 3
    assert set(content) - set(lenient) == {"beside", "speakers", "utterances"}


def test_the_report_names_the_evaluation_set() -> None:
    strict = load_protocol("timit39")
    ids = [f"mdab0_si{number}" for number in range(3)]
    report = score(dict.fromkeys(ids, "aa"), dict.fromkeys(ids, "aa"), "phone", strict)
    assert report.reference_set.startswith("3 of the 192 utterances of TIMIT core test set")
    assert f"reference set: {report.reference_set}" in report.text()
    assert json.loads(report.to_json())["reference"]["set"] == report.reference_set
