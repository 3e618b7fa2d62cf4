"""Score hypotheses against references, paired by utterance id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from asrkit.errors import ScoreError
from asrkit.score.alignment import align
from asrkit.score.bootstrap import bootstrap_interval
from asrkit.score.counts import ErrorCounts
from asrkit.score.listing import list_ids
from asrkit.score.protocol import Protocol
from asrkit.score.report import Fingerprint, ScoreReport
from asrkit.settings import Unit


def score(
    refs: Mapping[str, str],
    hyps: Mapping[str, str],
    unit: Unit,
    protocol: Protocol,
    speakers: Mapping[str, str] | None = None,
    *,
    allow_missing: bool = False,
) -> ScoreReport:
    """Score hypotheses against references of the same utterance ids.

    Parameters
    ----------
    refs, hyps
        Transcripts keyed by utterance id. The order of the keys changes nothing. An empty
        hypothesis is a hypothesis: all of its reference counts as deleted.
    unit
        What an error is counted in.
    protocol
        Applied to references and hypotheses alike.
    speakers
        Speaker of each utterance; utterances it lacks are in no speaker's counts.
    allow_missing
        Count a reference without a hypothesis as deleted, and name it in the report.

    Raises
    ------
    ScoreError
        If there are no references, a reference has no hypothesis (unless `allow_missing`), a
        hypothesis has no reference, or a transcript does not follow the protocol.
    UsageError
        If the protocol does not score this unit.
    """
    missing = [utt_id for utt_id in sorted(refs) if utt_id not in hyps]
    _check_pairing(refs, hyps, [] if allow_missing else missing)
    protocol.check_ids(sorted(refs))

    ref_tokens = {
        utt_id: protocol.apply(refs[utt_id], unit, f"reference of utterance {utt_id}")
        for utt_id in sorted(refs)
    }
    alignments = {
        utt_id: align(
            tokens,
            protocol.apply(hyps.get(utt_id, ""), unit, f"hypothesis of utterance {utt_id}"),
            protocol.optional,
        )
        for utt_id, tokens in ref_tokens.items()
    }
    utterances = {utt_id: ErrorCounts.from_edits(edits) for utt_id, edits in alignments.items()}
    return ScoreReport(
        protocol=protocol,
        unit=unit,
        counts=sum(utterances.values(), ErrorCounts()),
        interval=bootstrap_interval(list(utterances.values())),
        fingerprint=Fingerprint.of(ref_tokens, unit),
        alignments=alignments,
        utterances=utterances,
        speakers=_by_speaker(utterances, speakers or {}),
        missing=missing,
    )


def _check_pairing(refs: Mapping[str, str], hyps: Mapping[str, str], missing: list[str]) -> None:
    if not refs:
        raise ScoreError("references: there are none; expected at least one utterance")
    problems = []
    if missing:
        problems.append(
            f"{len(missing)} of {len(refs)} references have no hypothesis: {list_ids(missing)}; "
            "decode them, or count them as deletions (--missing delete)"
        )
    extra = [utt_id for utt_id in sorted(hyps) if utt_id not in refs]
    if extra:
        problems.append(
            f"{len(extra)} of {len(hyps)} hypotheses have no reference: {list_ids(extra)}; "
            "remove them or add their references"
        )
    if problems:
        raise ScoreError("\n".join(problems))


def _by_speaker(
    utterances: Mapping[str, ErrorCounts], speakers: Mapping[str, str]
) -> dict[str, ErrorCounts]:
    totals: defaultdict[str, ErrorCounts] = defaultdict(ErrorCounts)
    for utt_id, counts in utterances.items():
        if utt_id in speakers:
            totals[speakers[utt_id]] += counts
    return dict(sorted(totals.items()))
