"""Both rules of alignment against recursive references, jiwer and their own invariants."""

from __future__ import annotations

from functools import cache

import jiwer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.score.alignment import AlignmentRule, Edit, align
from asrkit.score.counts import ErrorCounts

SOME = settings(max_examples=150, deadline=None)
TOKENS = st.lists(st.sampled_from("abcd"), max_size=9)


def fewest(ref: list[str], hyp: list[str], optional: str = "") -> tuple[int, int, int]:
    """Return the fewest errors, then forgiven deletions, then substitutions."""

    @cache
    def cost(i: int, j: int) -> tuple[int, int, int]:
        options = []
        if i:
            forgiven = int(ref[i - 1] in optional)
            options.append((cost(i - 1, j), (1 - forgiven, forgiven, 0)))
        if j:
            options.append((cost(i, j - 1), (1, 0, 0)))
        if i and j:
            differ = int(ref[i - 1] != hyp[j - 1])
            options.append((cost(i - 1, j - 1), (differ, 0, differ)))
        if not options:
            return 0, 0, 0
        errors, forgiven, subs = min(
            tuple(map(sum, zip(done, more, strict=True))) for done, more in options
        )
        return errors, forgiven, subs

    return cost(len(ref), len(hyp))


def least_weight(ref: list[str], hyp: list[str], optional: str) -> int:
    """Return the weight of the alignment that NIST's sclite with -D takes."""

    @cache
    def weight(i: int, j: int) -> int:
        options = []
        if i:
            options.append(weight(i - 1, j) + (2 if ref[i - 1] in optional else 3))
        if j:
            options.append(weight(i, j - 1) + 3)
        if i and j:
            options.append(weight(i - 1, j - 1) + 4 * (ref[i - 1] != hyp[j - 1]))
        return min(options, default=0)

    return weight(len(ref), len(hyp))


def shown(ref: str, hyp: str, optional: str = "", rule: AlignmentRule = "levenshtein") -> list[str]:
    edits = align(ref.split(), hyp.split(), optional, rule)
    return [f"{edit.op} {edit.ref or '-'}{edit.hyp or '-'}" for edit in edits]


@SOME
@given(TOKENS, TOKENS)
def test_has_the_fewest_errors_and_then_the_fewest_substitutions(
    ref: list[str], hyp: list[str]
) -> None:
    counts = ErrorCounts.from_edits(align(ref, hyp))
    assert (counts.num_errors, 0, counts.substitutions) == fewest(ref, hyp)
    assert counts.forgiven == 0


@SOME
@given(TOKENS, TOKENS, st.sampled_from(["a", "ab", "abcd", "x"]))
def test_optional_tokens_are_forgiven_only_where_that_leaves_fewer_errors(
    ref: list[str], hyp: list[str], optional: str
) -> None:
    edits = align(ref, hyp, set(optional))
    counts = ErrorCounts.from_edits(edits)
    assert (counts.num_errors, counts.forgiven, counts.substitutions) == fewest(ref, hyp, optional)
    assert (counts.num_ref, counts.num_hyp) == (len(ref), len(hyp))
    assert all(edit.ref in optional for edit in edits if edit.op == "forgiven")
    assert not any(edit.op == "del" and edit.ref in optional for edit in edits)
    assert counts.num_errors <= ErrorCounts.from_edits(align(ref, hyp)).num_errors
    # sclite minimises another weight, so it can only find as many errors or more.
    by_weight = ErrorCounts.from_edits(align(ref, hyp, set(optional), "sclite"))
    assert counts.num_errors <= by_weight.num_errors


@SOME
@given(TOKENS, TOKENS, st.sampled_from(["", "a", "ab"]))
def test_the_rule_sclite_finds_the_least_weight(
    ref: list[str], hyp: list[str], optional: str
) -> None:
    edits = align(ref, hyp, set(optional), "sclite")
    counts = ErrorCounts.from_edits(edits)
    gaps = counts.deletions + counts.insertions
    weight = 4 * counts.substitutions + 3 * gaps + 2 * counts.forgiven
    assert weight == least_weight(ref, hyp, optional)
    assert [edit.ref for edit in edits if edit.ref is not None] == ref
    assert [edit.hyp for edit in edits if edit.hyp is not None] == hyp


@SOME
@given(TOKENS, TOKENS)
def test_spells_both_sides_and_every_edit_is_what_it_says(ref: list[str], hyp: list[str]) -> None:
    edits = align(ref, hyp)
    assert [edit.ref for edit in edits if edit.ref is not None] == ref
    assert [edit.hyp for edit in edits if edit.hyp is not None] == hyp
    for edit in edits:
        if edit.op == "hit":
            assert edit.ref == edit.hyp
        elif edit.op == "sub":
            assert None not in (edit.ref, edit.hyp)
            assert edit.ref != edit.hyp
        else:
            assert (edit.hyp is None, edit.ref is None) == (edit.op == "del", edit.op == "ins")


@SOME
@given(TOKENS, TOKENS)
def test_counts_do_not_depend_on_direction_and_mirror_when_swapped(
    ref: list[str], hyp: list[str]
) -> None:
    counts = ErrorCounts.from_edits(align(ref, hyp))
    assert ErrorCounts.from_edits(align(ref[::-1], hyp[::-1])) == counts
    swapped = ErrorCounts.from_edits(align(hyp, ref))
    assert swapped == ErrorCounts(
        counts.hits, counts.substitutions, counts.insertions, counts.deletions
    )


@SOME
@given(TOKENS, TOKENS)
def test_agrees_with_jiwer_except_that_it_finds_every_hit(ref: list[str], hyp: list[str]) -> None:
    theirs = jiwer.process_words(" ".join(ref), " ".join(hyp))
    ours = ErrorCounts.from_edits(align(ref, hyp))
    assert ours.num_errors == theirs.substitutions + theirs.deletions + theirs.insertions
    assert ours.deletions - ours.insertions == theirs.deletions - theirs.insertions
    # jiwer does not say which of the alignments with the fewest errors it takes.
    assert ours.hits >= theirs.hits


@pytest.mark.parametrize(
    ("ref", "hyp", "expected"),
    [
        ("", "", []),
        ("a", "", ["del a-"]),
        ("", "a", ["ins -a"]),
        ("a b", "b c", ["del a-", "hit bb", "ins -c"]),
        ("a a", "a", ["del a-", "hit aa"]),
        ("a", "a a", ["ins -a", "hit aa"]),
        ("a b", "b a", ["del a-", "hit bb", "ins -a"]),
        ("a b", "c", ["del a-", "sub bc"]),
        ("a b c", "a x c", ["hit aa", "sub bx", "hit cc"]),
    ],
)
def test_ties_are_broken_as_documented(ref: str, hyp: str, expected: list[str]) -> None:
    assert shown(ref, hyp) == expected
    assert shown(ref, hyp, rule="sclite") == expected


@pytest.mark.parametrize(
    ("ref", "hyp", "expected"),
    [
        ("(", "", ["forgiven (-"]),
        ("( a (", "a", ["forgiven (-", "hit aa", "forgiven (-"]),
        ("( (", "(", ["forgiven (-", "hit (("]),
        # Silence that is there must be right, and none may be made up.
        ("( b", "a b", ["sub (a", "hit bb"]),
        ("b", "( b", ["ins -(", "hit bb"]),
        ("a ( b", "b", ["del a-", "forgiven (-", "hit bb"]),
    ],
)
def test_optional_tokens_by_hand(ref: str, hyp: str, expected: list[str]) -> None:
    assert shown(ref, hyp, "(") == expected


def test_where_the_rules_part() -> None:
    # Five substitutions weigh 20 for sclite; three insertions and three deletions weigh 18.
    ref, hyp = "a b c d e", "x y z a b"
    assert [column[:3] for column in shown(ref, hyp)] == ["sub"] * 5
    by_weight = ["ins -x", "ins -y", "ins -z", "hit aa", "hit bb", "del c-", "del d-", "del e-"]
    assert shown(ref, hyp, rule="sclite") == by_weight
    # Two substitutions and a forgiven deletion weigh 10, three errors that keep it 9.
    assert shown("a a (", "( b", "(") == ["sub a(", "sub ab", "forgiven (-"]
    by_weight = ["del a-", "del a-", "hit ((", "ins -b"]
    assert shown("a a (", "( b", "(", rule="sclite") == by_weight


def test_takes_tokens_as_wholes_and_long_sequences() -> None:
    assert align(["ab"], ["a", "b"]) == [Edit("ins", None, "a"), Edit("sub", "ab", "b")]
    words = [str(i % 977) for i in range(2000)]
    counts = ErrorCounts.from_edits(align(words, ["x", *words[:1000], *words[1005:]]))
    assert counts == ErrorCounts(hits=1995, deletions=5, insertions=1)
