"""A score as the JSON that the page reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asrkit.score.alignment import Edit
from asrkit.score.bootstrap import LEVEL
from asrkit.score.report import ScoreReport


@dataclass(frozen=True, slots=True)
class Side:
    """Reference or hypothesis of an utterance, to be found in its audio."""

    written: str
    """The transcript, before the protocol."""
    scored: Sequence[str]
    """Its tokens, after it."""
    joint: str
    """What joins these into a text."""


def sides_of(report: ScoreReport, utt_id: str, ref: str, hyp: str) -> dict[str, Side]:
    """Give both sides, "ref" and "hyp", of an utterance with these transcripts."""
    edits = report.alignments[utt_id]
    joint = "" if report.unit == "char" else " "
    return {
        "ref": Side(ref, [edit.ref for edit in edits if edit.ref is not None], joint),
        "hyp": Side(hyp, [edit.hyp for edit in edits if edit.hyp is not None], joint),
    }


def score_data(
    report: ScoreReport, ref_name: str, hyp_name: str, speakers: Mapping[str, str]
) -> dict[str, Any]:
    """Give everything about a score but sound.

    Parameters
    ----------
    report
        The score.
    ref_name, hyp_name
        What to call its two sides.
    speakers
        Of utterances, where they are known.

    Returns
    -------
    dict
        Of JSON values. An element of an utterance's `edits` is a token, if it is a hit of itself,
        or else `[op, ref, hyp]`. An infinite rate is None.
    """
    fingerprint = report.fingerprint
    return {
        "ref_name": ref_name,
        "hyp_name": hyp_name,
        "measure": report.rate_name,
        "unit": report.unit,
        "protocol_id": report.protocol.id,
        "error_rate": _rate(report),
        "beside": [[other.protocol.name, _rate(other)] for other in report.beside],
        "interval": report.interval and {"level": LEVEL, **report.interval._asdict()},
        "notes": list(report.protocol.notes()),
        "reference": {
            "utterances": fingerprint.num_utts,
            "tokens": fingerprint.num_tokens,
            "sha256": fingerprint.sha256,
            "set": report.reference_set,
        },
        "missing": list(report.missing),
        "utterances": [
            {
                "id": utt_id,
                "speaker": speakers.get(utt_id, ""),
                "edits": [_pack(edit) for edit in edits],
            }
            for utt_id, edits in report.alignments.items()
        ],
    }


def worst_first(report: ScoreReport) -> list[str]:
    """Order utterance ids by errors, then by error rate, then by id."""

    def badness(utt_id: str) -> tuple[int, float, str]:
        counts = report.utterances[utt_id]
        return -counts.num_errors, -counts.error_rate, utt_id

    return sorted(report.utterances, key=badness)


def _rate(report: ScoreReport) -> float | None:
    return report.error_rate if math.isfinite(report.error_rate) else None


def _pack(edit: Edit) -> str | Sequence[str | None]:
    if edit.op == "hit" and edit.ref == edit.hyp and edit.ref is not None:
        return edit.ref
    return [edit.op, edit.ref, edit.hyp]
