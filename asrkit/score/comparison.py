"""Two scores of the same references: is the difference real, how large is it, and where is it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from asrkit.errors import ScoreError
from asrkit.score.alignment import Edit
from asrkit.score.counts import ErrorCounts
from asrkit.score.report import ScoreReport
from asrkit.score.segments import error_segments, is_error, paired_edits
from asrkit.score.significance import (
    MatchedPairs,
    RateDifference,
    bootstrap_difference,
    matched_pairs_test,
)

_LEVEL_OF_TEST = 0.05
_ENOUGH_SPEAKERS = 10


@dataclass(frozen=True, slots=True)
class Comparison:
    """A score beside that of other hypotheses for the same references.

    Differences are those of `report` less those of `against`: negative where `report` is better.
    """

    report: ScoreReport
    against: ScoreReport
    test: MatchedPairs
    bootstrap: RateDifference | None
    """None if there is nothing to resample: a single utterance."""
    drawn: Literal["speakers", "utterances"]
    """What the bootstrap resamples."""
    num_drawn: int
    right_in_both: int
    """Reference tokens."""
    wrong_in_both: int
    fixed: Counter[str]
    """How often each reference token is right in `report` and wrong in `against`."""
    broken: Counter[str]
    """How often each is wrong in `report` and right in `against`."""

    @property
    def difference(self) -> float:
        """Of the error rates, a share of the reference tokens."""
        return self.report.error_rate - self.against.error_rate

    @property
    def relative(self) -> float | None:
        """The difference over the rate of `against`; None if that makes no error."""
        rate = self.against.error_rate
        return self.difference / rate if rate else None

    @property
    def is_significant(self) -> bool:
        """Whether the matched-pairs test shows a difference at the 5 % level."""
        return self.test.p < _LEVEL_OF_TEST

    @property
    def changes(self) -> dict[str, int]:
        """By how many errors each utterance differs, where it does; the largest change first."""
        others = self.against.utterances
        by_utterance = {
            utt_id: counts.num_errors - others[utt_id].num_errors
            for utt_id, counts in self.report.utterances.items()
        }
        order = sorted(by_utterance, key=lambda utt_id: (-abs(by_utterance[utt_id]), utt_id))
        return {utt_id: by_utterance[utt_id] for utt_id in order if by_utterance[utt_id]}


def compare(report: ScoreReport, against: ScoreReport) -> Comparison:
    """Compare two scores of the same references under the same protocol.

    The bootstrap resamples speakers where all are known and there are ten or more, else utterances:
    over fewer speakers its intervals are far too narrow.

    Raises
    ------
    ScoreError
        If protocol, unit or references are not the same, or the references hold no token.
    """
    for what, ours, theirs in (
        ("protocol", report.protocol.id, against.protocol.id),
        ("unit", report.unit, against.unit),
        ("SHA-256 of the references", report.fingerprint.sha256, against.fingerprint.sha256),
    ):
        if ours != theirs:
            raise ScoreError(
                f"scores do not compare: {what} is {ours} in one and {theirs} in the other; score "
                "both against the same references under the same protocol"
            )
    if not report.fingerprint.num_tokens:
        raise ScoreError("references: all are empty; expected a token, to compare two error rates")

    pairs = [(edits, against.alignments[utt_id]) for utt_id, edits in report.alignments.items()]
    segments = [segment for ours, theirs in pairs for segment in error_segments(ours, theirs)]
    tokens = _count_tokens(pairs)
    drawn: Literal["speakers", "utterances"] = "speakers" if _has_speakers(report) else "utterances"
    ours_drawn, theirs_drawn = _counts_of(report, drawn), _counts_of(against, drawn)
    return Comparison(
        report=report,
        against=against,
        test=matched_pairs_test(segments),
        bootstrap=bootstrap_difference(list(ours_drawn.values()), list(theirs_drawn.values())),
        drawn=drawn,
        num_drawn=len(ours_drawn),
        right_in_both=tokens[True, True].total(),
        wrong_in_both=tokens[False, False].total(),
        fixed=tokens[True, False],
        broken=tokens[False, True],
    )


def _has_speakers(report: ScoreReport) -> bool:
    """Tell whether there are enough speakers, and they hold all that was counted."""
    of_speakers = sum(report.speakers.values(), ErrorCounts())
    return len(report.speakers) >= _ENOUGH_SPEAKERS and of_speakers == report.counts


def _counts_of(
    report: ScoreReport, drawn: Literal["speakers", "utterances"]
) -> Mapping[str, ErrorCounts]:
    return report.speakers if drawn == "speakers" else report.utterances


def _count_tokens(
    pairs: Iterable[tuple[Sequence[Edit], Sequence[Edit]]],
) -> dict[tuple[bool, bool], Counter[str]]:
    """Count the reference tokens by whether each of the two has them right."""
    found: dict[tuple[bool, bool], Counter[str]] = {
        (ours, theirs): Counter() for ours in (True, False) for theirs in (True, False)
    }
    for edits, other_edits in pairs:
        for ours, theirs in paired_edits(edits, other_edits):
            if ours is not None and theirs is not None and ours.ref is not None:
                found[not is_error(ours), not is_error(theirs)][ours.ref] += 1
    return found
