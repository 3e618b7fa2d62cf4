"""Score hypotheses against references, paired by utterance id."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from asrkit.errors import ScoreError
from asrkit.score.alignment import align
from asrkit.score.alternation import read_reference
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
    alternatives: bool = False,
    beside: Sequence[Protocol] = (),
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
    alternatives
        Whether the references may hold alternatives, `{ a / b }`, as trn and stm may. The tokens
        of the one that fits a hypothesis best are its reference.
    beside
        Protocols under which to score the same, for the report's `beside`.

    Raises
    ------
    ScoreError
        If there are no references, a reference has no hypothesis (unless `allow_missing`), a
        hypothesis has no reference, or a transcript does not follow the protocol.
    UsageError
        If a protocol does not score this unit.
    """
    missing = [utt_id for utt_id in sorted(refs) if utt_id not in hyps]
    _check_pairing(refs, hyps, [] if allow_missing else missing)
    protocol.check_ids(sorted(refs))

    networks = {
        utt_id: read_reference(
            refs[utt_id],
            protocol,
            unit,
            f"reference of utterance {utt_id}",
            alternatives=alternatives,
        )
        for utt_id in sorted(refs)
    }
    if alternatives or protocol.marked_references:
        _check_unmarked(hyps)
    alignments = {
        utt_id: align(
            network,
            protocol.apply(hyps.get(utt_id, ""), unit, f"hypothesis of utterance {utt_id}"),
            rule=protocol.alignment,
        )
        for utt_id, network in networks.items()
    }
    utterances = {utt_id: ErrorCounts.from_edits(edits) for utt_id, edits in alignments.items()}
    return ScoreReport(
        protocol=protocol,
        unit=unit,
        counts=sum(utterances.values(), ErrorCounts()),
        interval=bootstrap_interval(list(utterances.values())),
        fingerprint=Fingerprint.of(networks, unit),
        alignments=alignments,
        utterances=utterances,
        speakers=_by_speaker(utterances, speakers or {}),
        missing=missing,
        beside=[
            score(
                refs,
                hyps,
                unit,
                other,
                speakers,
                allow_missing=allow_missing,
                alternatives=alternatives,
            )
            for other in beside
        ],
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


def _check_unmarked(hyps: Mapping[str, str]) -> None:
    for utt_id, text in sorted(hyps.items()):
        if brace := re.search("[{}]", text):
            raise ScoreError(
                f"hypothesis of utterance {utt_id}: holds {brace[0]!r}; only references have "
                "alternatives; remove all but one"
            )


def _by_speaker(
    utterances: Mapping[str, ErrorCounts], speakers: Mapping[str, str]
) -> dict[str, ErrorCounts]:
    totals: defaultdict[str, ErrorCounts] = defaultdict(ErrorCounts)
    for utt_id, counts in utterances.items():
        if utt_id in speakers:
            totals[speakers[utt_id]] += counts
    return dict(sorted(totals.items()))
