"""A comparison of two scores put into words: verdict, text and JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator

from asrkit.score.bootstrap import LEVEL, Interval
from asrkit.score.comparison import Comparison

_MOST = 10
_FEW_DRAWN = 20
_TOKENS = {"word": "words", "char": "characters", "phone": "phones"}


def verdict(comparison: Comparison) -> str:
    """Say in a sentence what is shown, and whether test and bootstrap agree."""
    test, drawn = comparison.test, comparison.drawn
    interval = comparison.bootstrap and comparison.bootstrap.absolute
    holds_zero = interval is not None and interval.low <= 0 <= interval.high
    by_test = f"{_probability(test.p)} (matched pairs, {test.num_segments} segments)"
    if comparison.is_significant:
        which = "fewer" if test.mean < 0 else "more"
        text = f"HYP makes {which} errors, significant at the 5 % level: {by_test}"
        if holds_zero:
            text += f"; but the interval over {drawn} holds 0: other {drawn} may show no difference"
        return text
    text = f"no difference shown at the 5 % level: {by_test}"
    if interval is None:
        return text
    if holds_zero:
        return (
            f"{text}; that does not show them equal: anything from {_points(interval.low)} to "
            f"{_points(interval.high)} points agrees with these data"
        )
    return f"{text}; but the interval over {drawn} does not hold 0: more data would tell"


def assumptions(comparison: Comparison) -> str:
    """Say what the verdict takes for granted."""
    unit = comparison.report.unit
    parts = [
        f"errors are independent of each other if two {_TOKENS[unit]} or more between them are "
        "right in both"
    ]
    if unit != "word":
        parts[0] += ", which is a short distance: p may be too small, rely on the interval"
    if comparison.drawn == "utterances":
        num_speakers = len(comparison.report.speakers)
        known = f"; {num_speakers} speakers are too few to draw" if num_speakers else ""
        parts.append(f"utterances are independent, which those of one speaker are not{known}")
    parts.append("the two were not picked among others for their scores on this set")
    return "; ".join(parts)


def comparison_json(comparison: Comparison, alignments: bool = False) -> str:
    """Write the score as `ScoreReport.to_json` does, with one more key, `comparison`."""
    test, bootstrap = comparison.test, comparison.bootstrap
    content = json.loads(comparison.report.to_json(alignments))
    content["comparison"] = {
        "against": json.loads(comparison.against.to_json(alignments)),
        "verdict": verdict(comparison),
        "assumed": assumptions(comparison),
        "significant": comparison.is_significant,
        "difference": comparison.difference,
        "relative_difference": comparison.relative,
        "matched_pairs": {
            "segments": test.num_segments,
            "mean_difference": test.mean,
            "standard_deviation": test.deviation,
            "z": test.z if math.isfinite(test.z) else None,
            "p": test.p,
            "p_is_exact": test.is_exact,
        },
        "bootstrap": bootstrap
        and {
            "level": LEVEL,
            "drawn": comparison.drawn,
            "number_drawn": comparison.num_drawn,
            "difference": bootstrap.absolute._asdict(),
            "relative_difference": bootstrap.relative and bootstrap.relative._asdict(),
            "probability_of_improvement": bootstrap.improvement,
        },
        "tokens": {
            "right_in_both": comparison.right_in_both,
            "wrong_in_both": comparison.wrong_in_both,
            "fixed": comparison.fixed.total(),
            "broken": comparison.broken.total(),
        },
        "fixed": dict(_by_count(comparison.fixed)),
        "broken": dict(_by_count(comparison.broken)),
        "changes": comparison.changes,
    }
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False)


def comparison_text(comparison: Comparison, alignments: bool = False) -> str:
    """Write the score as `ScoreReport.text` does, and below it the comparison."""
    changes = comparison.changes
    lines = [comparison.report.text(alignments), "", _against_text(comparison)]
    lines += [f"verdict: {verdict(comparison)}", f"assumed: {assumptions(comparison)}"]
    lines += [*_difference_texts(comparison), _test_text(comparison), *_token_texts(comparison)]
    num_fewer = sum(change < 0 for change in changes.values())
    lines.append(
        f"utterances: {num_fewer} with fewer errors, {len(changes) - num_fewer} with more, "
        f"{len(comparison.report.utterances) - len(changes)} with as many"
    )
    for utt_id in list(changes)[:_MOST]:
        lines += ["", *_utterance_texts(comparison, utt_id)]
    return "\n".join(lines)


def _against_text(comparison: Comparison) -> str:
    against = comparison.against
    counts = against.counts
    text = (
        f"against: {against.rate_name} {100 * counts.error_rate:.2f} % "
        f"({counts.num_errors} / {counts.num_ref}): {counts.substitutions} substitutions, "
        f"{counts.deletions} deletions, {counts.insertions} insertions"
    )
    if comparison.report.missing or against.missing:
        text += (
            f"; {len(against.missing)} utterances missing, {len(comparison.report.missing)} from "
            "HYP: what they lack is part of the difference"
        )
    return text


def _difference_texts(comparison: Comparison) -> Iterator[str]:
    bootstrap, drawn = comparison.bootstrap, comparison.drawn
    text = f"difference: {_points(comparison.difference)} points"
    if bootstrap:
        text += f", 95 % interval {_range(bootstrap.absolute)}"
    if comparison.relative is not None:
        text += f"; relative {_points(comparison.relative)} %"
        if bootstrap and bootstrap.relative:
            text += f", 95 % interval {_range(bootstrap.relative)}"
    if bootstrap is None:
        yield f"{text}; intervals take two utterances"
        return
    few = ", so few that intervals are too narrow" if comparison.num_drawn < _FEW_DRAWN else ""
    yield f"{text} (bootstrap over {comparison.num_drawn} {drawn}{few})"
    yield (
        f"probability of improvement: {100 * bootstrap.improvement:.1f} % (HYP makes fewer errors "
        f"in so many draws of {drawn})"
    )


def _test_text(comparison: Comparison) -> str:
    test = comparison.test
    by = "exact, for fewer than 50 segments" if test.is_exact else "two-sided, normal"
    return (
        f"matched pairs (MAPSSWE): {test.num_segments} segments, mean difference "
        f"{test.mean:+.3f} errors, standard deviation {test.deviation:.3f}, Z {test.z:+.3f}, "
        f"{_probability(test.p)} ({by})"
    )


def _token_texts(comparison: Comparison) -> Iterator[str]:
    fixed, broken = comparison.fixed, comparison.broken
    yield (
        f"{_TOKENS[comparison.report.unit]}: {fixed.total()} fixed (right in HYP only), "
        f"{broken.total()} broken (right in AGAINST only), {comparison.right_in_both} right in "
        f"both, {comparison.wrong_in_both} wrong in both"
    )
    for name, tokens in (("fixed", fixed), ("broken", broken)):
        if tokens:
            most = ", ".join(
                f"{'<space>' if token == ' ' else token} {count}"
                for token, count in _by_count(tokens)[:_MOST]
            )
            more = f" and {len(tokens) - _MOST} others" if len(tokens) > _MOST else ""
            yield f"{name}: {most}{more}"


def _utterance_texts(comparison: Comparison, utt_id: str) -> Iterator[str]:
    report, against = comparison.report, comparison.against
    yield (
        f"utterance {utt_id}: {report.utterances[utt_id].num_errors} errors, against "
        f"{against.utterances[utt_id].num_errors}, in {report.utterances[utt_id].num_ref} tokens"
    )
    joint = "" if report.unit == "char" else " "
    edits, other_edits = report.alignments[utt_id], against.alignments[utt_id]
    for name, tokens in (
        ("ref:", [edit.ref for edit in edits]),
        ("hyp:", [edit.hyp for edit in edits]),
        ("against:", [edit.hyp for edit in other_edits]),
    ):
        yield f"{name:<8} {joint.join(token for token in tokens if token is not None)}".rstrip()


def _by_count(tokens: Counter[str]) -> list[tuple[str, int]]:
    return sorted(tokens.items(), key=lambda item: (-item[1], item[0]))


def _points(share: float) -> str:
    return f"{100 * share:+.2f}"


def _range(interval: Interval) -> str:
    return f"{_points(interval.low)} to {_points(interval.high)}"


def _probability(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}"
