"""Protocols: the TIMIT fold, English text, units and what the notes say."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from asrkit.errors import ScoreError, UsageError
from asrkit.score.protocol import Protocol, load_protocol, load_protocols, protocol_names

# The 61 labels of TIMIT's phoncode.doc, each with its class in Lee and Hon (1989).
TIMIT_61 = """
iy:iy ih:ih eh:eh ey:ey ae:ae aa:aa aw:aw ay:ay ah:ah ao:aa oy:oy ow:ow uh:uh uw:uw ux:uw er:er
ax:ah ix:ih axr:er ax-h:ah jh:jh ch:ch b:b d:d g:g p:p t:t k:k dx:dx s:s sh:sh z:z zh:sh f:f th:th
v:v dh:dh m:m n:n ng:ng em:m en:n eng:ng nx:n l:l r:r w:w y:y hh:hh hv:hh el:l
bcl:sil dcl:sil gcl:sil pcl:sil tcl:sil kcl:sil pau:sil epi:sil h#:sil q:
"""


@pytest.fixture(scope="module")
def timit39() -> Protocol:
    return load_protocol("timit39")


def test_timit39_folds_61_labels_to_39(timit39: Protocol) -> None:
    expected = dict(pair.split(":") for pair in TIMIT_61.split())
    assert len(expected) == 61
    assert len(set(expected.values()) - {""}) == 39
    assert {label: "".join(timit39.apply(label)) for label in expected} == expected
    # Nothing else is scored: the fold holds just these labels.
    labels = {label for group in timit39.fold.values() for label in group}
    assert labels | set(timit39.remove) == set(expected)


def test_timit39_takes_folded_symbols_as_they_are(timit39: Protocol) -> None:
    folded = sorted(timit39.fold)
    assert timit39.apply(" ".join(folded)) == folded


def test_timit39_removes_q_and_keeps_every_silence(timit39: Protocol) -> None:
    text = "h# q ao r dcl d tcl q epi pau kcl k ax-h nx hv zh h#"
    expected = "sil aa r sil d sil sil sil sil k ah n hh sh sil"
    assert timit39.apply(text) == expected.split()
    assert timit39.apply("q") == []
    assert timit39.apply("") == []


def test_silence_runs_can_be_merged(timit39: Protocol) -> None:
    merging = timit39.model_copy(update={"silence_runs": "merge"})
    # q goes before the runs are merged, so the silences around it are one.
    tokens = merging.apply("h# pau q bcl b aa aa tcl t h# h#")
    assert tokens == ["sil", "b", "aa", "aa", "sil", "t", "sil"]
    assert "silence: sil is kept and scored; a run counts once" in merging.notes()


def test_lenient_protocols_differ_from_the_strict_one_in_silence_alone(timit39: Protocol) -> None:
    text = "h# pau q bcl b aa aa tcl t h# h#"
    optional = load_protocol("timit39-optional-sil")
    merged = load_protocol("timit39-merged-sil")
    assert optional.apply(text) == timit39.apply(text)
    assert merged.apply(text) == ["sil", "b", "aa", "aa", "sil", "t", "sil"]
    no_rules = {"name", "description", "beside"}
    rules = timit39.model_dump(exclude=no_rules)
    for protocol, change in (
        (optional, {"optional": ("sil",), "alignment": "sclite"}),
        (merged, {"silence_runs": "merge"}),
    ):
        assert protocol.model_dump(exclude=no_rules) == {**rules, **change}
        assert protocol.beside == ()
        with pytest.raises(ScoreError, match="SA sentences"):
            protocol.check_ids(["fadg0_sa1"])
    assert optional.notes()[-1].startswith("alignment: as sclite's")
    assert optional.notes()[-2] == (
        "optional: sil; deleting it is no error, and it counts as a reference token"
    )
    assert "silence: sil is kept and scored; a run counts once" in merged.notes()


def test_timit39_names_an_unknown_symbol(timit39: Protocol) -> None:
    with pytest.raises(ScoreError, match=r"utterance x: symbol 'tcI' is unknown.*mean tcl"):
        timit39.apply("h# tcI t", where="utterance x")
    with pytest.raises(ScoreError, match="'H#'"):
        timit39.apply("H#")


@pytest.mark.parametrize("utt_id", ["sa1", "fadg0_sa1", "FADG0_SA2", "dr1-mcpm0-sa2"])
def test_timit39_refuses_sa_sentences(timit39: Protocol, utt_id: str) -> None:
    with pytest.raises(ScoreError, match=rf"1 SA sentences \(sa1, sa2\): {utt_id};"):
        timit39.check_ids(["fadg0_si1279", utt_id])


def test_timit39_admits_other_sentences(timit39: Protocol) -> None:
    timit39.check_ids(["fadg0_si1279", "fsa1_sx1", "msa20_sx22", "sa1_si3", "sa12"])


def test_timit39_counts_tokens_of_real_labels(timit39: Protocol, shared_data: Path) -> None:
    num_tokens = num_labels = num_q = 0
    for path in (shared_data / "timit_sample" / "TIMIT").rglob("S[IX]*.PHN"):
        labels = [line.split()[2] for line in path.read_text().splitlines()]
        num_labels += len(labels)
        num_q += labels.count("q")
        tokens = timit39.apply(" ".join(labels))
        assert (tokens[0], tokens[-1]) == ("sil", "sil")
        num_tokens += len(tokens)
    assert num_q > 0
    assert num_tokens == num_labels - num_q


def test_english_lowers_case_and_drops_punctuation() -> None:
    english = load_protocol("english")
    text = "Well-known, he said: “Don’t—stop!” (1.5)  the dogs' O'Brien…"
    expected = "well known he said don't stop 1 5 the dogs' o'brien"
    assert english.apply(text) == expected.split()
    assert "".join(english.apply(text, "char")) == expected
    # Composed and decomposed accents are the same letter.
    assert english.apply("CAFE\u0301") == english.apply("caf\u00e9")


def test_plain_leaves_tokens_alone() -> None:
    plain = load_protocol("plain")
    assert plain.apply(" Don’t,  STOP\tq \n") == ["Don’t,", "STOP", "q"]
    assert plain.apply(" a  b ", "char") == ["a", " ", "b"]
    assert plain.apply("ax-h q", "phone") == ["ax-h", "q"]
    assert plain.apply("", "char") == []


def test_units_a_protocol_does_not_score_are_refused(timit39: Protocol) -> None:
    with pytest.raises(UsageError, match="timit39: unit word cannot be scored; expected phone"):
        timit39.apply("h#", "word")
    with pytest.raises(UsageError, match="expected word or char"):
        load_protocol("english").apply("a", "phone")


def test_shipped_protocols_are_consistent() -> None:
    assert protocol_names() == [
        "english",
        "plain",
        "sclite",
        "timit39",
        "timit39-kept-q",
        "timit39-merged-sil",
        "timit39-optional-sil",
    ]
    for name in protocol_names():
        protocol = load_protocol(name)
        assert protocol.name == name
        labels = [label for group in protocol.fold.values() for label in group]
        assert len(labels) == len(set(labels))
        assert not set(labels) & set(protocol.remove)
        for folded, group in protocol.fold.items():
            assert folded in group or folded not in labels
        assert not protocol.fold or protocol.silence in protocol.fold
        assert set(protocol.optional) <= set(protocol.fold)
        assert set(protocol.beside) <= set(protocol_names()) - {name}


def test_notes_state_every_rule(timit39: Protocol) -> None:
    plain = load_protocol("plain")
    assert plain.notes() == (
        "protocol: plain: tokens as they are",
        f"protocol id: {plain.id}",
    )
    assert timit39.notes()[2:] == (
        "left out: SA sentences (sa1, sa2); none are present",
        "removed: q (glottal stop)",
        "fold: 60 symbols to 39",
        "silence: sil is kept and scored; runs are not merged",
    )
    assert timit39.details()[0] == "units: phone"
    assert "class sil: h# pau epi bcl dcl gcl pcl tcl kcl" in timit39.details()
    assert timit39.details()[-1] == "shown beside: timit39-merged-sil"
    assert load_protocol("english").notes()[2:] == (
        "text: Unicode NFKC",
        "text: ’ read as '",
        "text: ʼ read as '",
        "text: lower case",
        "text: punctuation except ' read as space",
    )


def test_unknown_protocols_and_rules_are_refused() -> None:
    with pytest.raises(UsageError, match=r"'timit' is unknown; known: english, plain, .*timit39, "):
        load_protocol("timit")
    with pytest.raises(ValidationError):
        Protocol(name="x", description="", units=("word",), folds={})  # type: ignore[call-arg]


def test_the_glottal_stop_can_be_kept(timit39: Protocol) -> None:
    kept = load_protocol("timit39-kept-q")
    assert kept.apply("h# q ao q h#") == ["sil", "q", "aa", "q", "sil"]
    assert {**timit39.fold, "q": ("q",)} == kept.fold
    changed = {"name", "description", "beside", "fold", "remove"}
    assert kept.model_dump(exclude=changed) == timit39.model_dump(exclude=changed)


# Changing what a protocol does makes its rates incomparable with all that were quoted before. If
# that is meant, so is the new id.
IDS = """
english@924833e4 plain@44136fa3 timit39@a1bb94b4 timit39-kept-q@e75541a2
timit39-merged-sil@edf5b478 timit39-optional-sil@ea59cbd1
"""


@pytest.mark.parametrize("protocol_id", IDS.split())
def test_ids_of_shipped_protocols_stay(protocol_id: str) -> None:
    assert load_protocol(protocol_id.partition("@")[0]).id == protocol_id


@pytest.mark.parametrize(
    "change",
    [
        {"exclude": {}},
        {"remove": {}},
        {"fold": {"sil": ("h#",)}},
        {"silence_runs": "merge"},
        {"optional": ("sil",)},
        {"lower_case": True},
        {"replace": {"a": "b"}},
        {"alignment": "sclite"},
    ],
)
def test_the_id_is_another_if_a_rule_is(timit39: Protocol, change: dict[str, object]) -> None:
    changed = Protocol.model_validate({**timit39.model_dump(), **change})
    assert changed.id.partition("@")[0] == "timit39"
    assert changed.id != timit39.id


def test_the_id_is_not_that_of_words_about_the_protocol(timit39: Protocol) -> None:
    described = {"description": "x", "beside": (), "lower_case": False}
    assert Protocol.model_validate({**timit39.model_dump(), **described}).id == timit39.id


def test_several_protocols_by_name() -> None:
    def names(given: str) -> list[str]:
        return [protocol.name for protocol in load_protocols(given)]

    assert names("timit39") == ["timit39", "timit39-optional-sil", "timit39-merged-sil"]
    assert names("timit39-merged-sil, timit39") == ["timit39-merged-sil", "timit39"]
    assert names("plain") == ["plain"]
    with pytest.raises(UsageError, match="protocol plain: is given twice"):
        load_protocols("plain,plain")
    with pytest.raises(UsageError, match="protocol '' is unknown"):
        load_protocols("plain,")
