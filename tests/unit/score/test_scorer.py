"""Scoring whole sets: against jiwer, by hand, and pairing that must not go wrong."""

from __future__ import annotations

import jiwer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.errors import ScoreError, UsageError
from asrkit.score.counts import ErrorCounts
from asrkit.score.protocol import load_protocol
from asrkit.score.scorer import score

PLAIN = load_protocol("plain")
SENTENCE = st.lists(st.text("abé", min_size=1, max_size=3), max_size=7).map(" ".join)
PAIRS = st.lists(st.tuples(SENTENCE, SENTENCE), min_size=1, max_size=5)


@settings(max_examples=100, deadline=None)
@given(PAIRS)
def test_rates_and_errors_agree_with_jiwer(pairs: list[tuple[str, str]]) -> None:
    refs, hyps = (dict(enumerate_ids(side)) for side in zip(*pairs, strict=True))
    lists = [ref for ref, _ in pairs], [hyp for _, hyp in pairs]
    words, characters = jiwer.process_words(*lists), jiwer.process_characters(*lists)
    for report, theirs, rate in (
        (score(refs, hyps, "word", PLAIN), words, words.wer),
        (score(refs, hyps, "char", PLAIN), characters, characters.cer),
    ):
        counts = report.counts
        errors = theirs.substitutions + theirs.deletions + theirs.insertions
        num_ref = theirs.hits + theirs.substitutions + theirs.deletions
        assert (counts.num_errors, counts.num_ref) == (errors, num_ref)
        assert counts.num_hyp == theirs.hits + theirs.substitutions + theirs.insertions
        if num_ref:  # without reference tokens jiwer calls any insertions 100 %
            assert report.error_rate == pytest.approx(rate)
        assert sum(report.utterances.values(), ErrorCounts()) == counts


def enumerate_ids(texts: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(f"utt{i}", text) for i, text in enumerate(texts)]


def test_a_hand_worked_timit_score() -> None:
    # Reference: sil sh iy sil sil d aa sil (q is gone), hypothesis: sil sh ih sil d aa sil sil.
    refs = {"fadg0_si1": "h# sh iy tcl epi d ao q h#", "fadg0_sx2": "h# q h#"}
    hyps = {"fadg0_si1": "h# zh ix bcl d aa q pau h#", "fadg0_sx2": "sil"}
    report = score(refs, hyps, "phone", load_protocol("timit39"), {"fadg0_si1": "fadg0"})
    assert report.utterances["fadg0_si1"] == ErrorCounts(6, 1, 1, 1)
    assert report.utterances["fadg0_sx2"] == ErrorCounts(hits=1, deletions=1)
    assert report.counts == ErrorCounts(7, 1, 2, 1)
    assert report.fingerprint.num_tokens == 10
    assert report.error_rate == pytest.approx(4 / 10)
    assert report.speakers == {"fadg0": ErrorCounts(6, 1, 1, 1)}


def test_the_same_utterance_under_three_timit_protocols() -> None:
    # Strict reference: sil sh iy sil sil d sil, hypothesis: sh iy sil d aa sil sil.
    refs, hyps = {"x": "h# sh iy tcl epi d h#"}, {"x": "sh iy bcl d aa pau h#"}

    def counts(protocol: str) -> ErrorCounts:
        report = score(refs, hyps, "phone", load_protocol(protocol))
        assert report.fingerprint.num_tokens == report.counts.num_ref
        return report.counts

    assert counts("timit39") == ErrorCounts(hits=5, deletions=2, insertions=2)
    assert counts("timit39-optional-sil") == ErrorCounts(hits=5, insertions=2, forgiven=2)
    # Merged: sil sh iy sil d sil against sh iy sil d aa sil.
    assert counts("timit39-merged-sil") == ErrorCounts(hits=5, deletions=1, insertions=1)


def test_swapped_utterances_are_errors_in_any_order() -> None:
    # Lines of one character, which jiwer's command line drops before it pairs the rest.
    refs = {"u1": "a b c", "u2": "i", "u3": "d e f"}
    hyps = {"u1": "a b c", "u2": "d e f", "u3": "i"}
    report = score(refs, hyps, "word", PLAIN)
    assert report.error_rate == pytest.approx(6 / 7)
    turned = score(
        dict(reversed(refs.items())), dict(sorted(hyps.items(), key=lambda x: x[1])), "word", PLAIN
    )
    assert turned == report


def test_speakers_are_pooled() -> None:
    refs = {"a1": "x y", "a2": "x", "b1": "z", "c1": "z"}
    hyps = {"a1": "x", "a2": "x", "b1": "w z", "c1": "z"}
    speakers = {"a1": "a", "a2": "a", "b1": "b", "elsewhere": "d"}
    report = score(refs, hyps, "word", PLAIN, speakers)
    assert report.speakers == {"a": ErrorCounts(2, 0, 1), "b": ErrorCounts(1, insertions=1)}
    assert score(refs, hyps, "word", PLAIN).speakers == {}


def test_missing_hypotheses_are_refused_or_deleted() -> None:
    refs = {"a": "x y", "b": "z", "c": "w"}
    with pytest.raises(ScoreError, match="2 of 3 references have no hypothesis: a, c; "):
        score(refs, {"b": "z"}, "word", PLAIN)
    report = score(refs, {"b": "z"}, "word", PLAIN, allow_missing=True)
    assert report.counts == ErrorCounts(hits=1, deletions=3)
    assert report.missing == ["a", "c"]
    # An empty hypothesis is not a missing one.
    empty = score(refs, {"a": "", "b": "z", "c": ""}, "word", PLAIN)
    assert (empty.counts, empty.missing) == (report.counts, [])


@pytest.mark.parametrize("allow_missing", [False, True])
def test_extra_hypotheses_are_refused(allow_missing: bool) -> None:
    with pytest.raises(ScoreError, match="1 of 2 hypotheses have no reference: b; "):
        score({"a": "x"}, {"a": "x", "b": "y"}, "word", PLAIN, allow_missing=allow_missing)


def test_both_kinds_of_stray_ids_are_named_and_long_lists_cut() -> None:
    refs = {f"r{i:02}": "x" for i in range(12)}
    with pytest.raises(ScoreError) as caught:
        score(refs, {"h": "x"}, "word", PLAIN)
    assert "r00, r01," in str(caught.value)
    assert "r09 and 2 more;" in str(caught.value)
    assert "have no reference: h;" in str(caught.value)


def test_protocol_errors_name_the_utterance_and_the_side() -> None:
    timit39 = load_protocol("timit39")
    with pytest.raises(ScoreError, match="reference of utterance a: symbol 'xx'"):
        score({"a": "h# xx"}, {"a": "h#"}, "phone", timit39)
    with pytest.raises(ScoreError, match="hypothesis of utterance a: symbol '<unk>'"):
        score({"a": "h#"}, {"a": "<unk>"}, "phone", timit39)
    with pytest.raises(ScoreError, match="SA sentences"):
        score({"a_sa1": "h#"}, {"a_sa1": "h#"}, "phone", timit39)
    with pytest.raises(UsageError, match="unit word"):
        score({"a": "h#"}, {"a": "h#"}, "word", timit39)


def test_no_references_at_all() -> None:
    with pytest.raises(ScoreError, match="there are none"):
        score({}, {}, "word", PLAIN)
