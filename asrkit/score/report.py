"""The result of scoring, as numbers, as JSON and as text."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from asrkit.score.alignment import Edit
from asrkit.score.bootstrap import LEVEL, Interval
from asrkit.score.counts import ErrorCounts
from asrkit.score.listing import list_ids
from asrkit.score.network import WordNetwork
from asrkit.score.protocol import Protocol
from asrkit.score.reference_set import describe_references
from asrkit.settings import Unit

RATE_NAMES = {"word": "WER", "char": "CER", "phone": "PER"}
_OP_LETTERS = {"hit": "", "sub": "S", "del": "D", "ins": "I", "forgiven": "(D)"}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What was scored against: two rates compare only if these agree."""

    num_utts: int
    num_tokens: int
    """Of the first alternatives, where there are some."""
    sha256: str
    """SHA-256 of `<utt_id> <normalised text>` lines in UTF-8, sorted by id; the text is the scored
    tokens, joined by single spaces (words, phones) or by nothing (characters), with the braces,
    slashes, `@` and parentheses of alternatives and optional words."""

    @classmethod
    def of(cls, refs: Mapping[str, WordNetwork], unit: Unit) -> Fingerprint:
        """Take the fingerprint of normalised references, keyed by utterance id."""
        joint = "" if unit == "char" else " "
        digest = hashlib.sha256()
        for utt_id in sorted(refs):
            digest.update(f"{utt_id} {joint.join(refs[utt_id].spelling)}\n".encode())
        num_tokens = sum(network.num_tokens for network in refs.values())
        return cls(len(refs), num_tokens, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """An error rate with all that is needed to check it and to compare it.

    Mappings are keyed by utterance or speaker id, in sorted order.
    """

    protocol: Protocol
    unit: Unit
    counts: ErrorCounts
    interval: Interval | None
    """Of `error_rate`, at 95 %; None if there is nothing to resample."""
    fingerprint: Fingerprint
    alignments: Mapping[str, Sequence[Edit]]
    utterances: Mapping[str, ErrorCounts]
    speakers: Mapping[str, ErrorCounts]
    """Only of the utterances whose speaker is known."""
    missing: Sequence[str]
    """Utterances without a hypothesis, counted as deletions."""
    beside: Sequence[ScoreReport] = ()
    """The same transcripts under other protocols."""

    @property
    def error_rate(self) -> float:
        """The pooled rate: all errors over all reference tokens, a share."""
        return self.counts.error_rate

    @property
    def rate_name(self) -> str:
        """WER, CER or PER."""
        return RATE_NAMES[self.unit]

    @property
    def reference_set(self) -> str:
        """Whether the references are a whole evaluation set of a known corpus; empty if unknown."""
        in_default_unit = self.unit == self.protocol.units[0]
        return describe_references(
            self.utterances,
            self.fingerprint.num_tokens,
            self.protocol.name if in_default_unit else "",
        )

    def to_json(self, alignments: bool = False) -> str:
        """Write everything as one JSON object; `alignments` adds `[op, ref, hyp]` triples.

        Rates are shares; an infinite rate (insertions but no reference token) is null. Each report
        of `beside` has all keys but those of utterances and speakers.
        """
        content = {
            **self._head(),
            "beside": [other._head() for other in self.beside],
            "speakers": {name: _counts_as_dict(counts) for name, counts in self.speakers.items()},
            "utterances": {
                name: _counts_as_dict(counts) for name, counts in self.utterances.items()
            },
        }
        if alignments:
            content["alignments"] = {
                utt_id: [[edit.op, edit.ref, edit.hyp] for edit in edits]
                for utt_id, edits in self.alignments.items()
            }
        return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False)

    def _head(self) -> dict[str, object]:
        """Give what is of the whole."""
        return {
            "measure": self.rate_name,
            "unit": self.unit,
            "protocol": self.protocol.name,
            "protocol_id": self.protocol.id,
            "notes": self.protocol.notes(),
            **_counts_as_dict(self.counts),
            "interval": self.interval and {"level": LEVEL, **self.interval._asdict()},
            "reference": {
                "utterances": self.fingerprint.num_utts,
                "tokens": self.fingerprint.num_tokens,
                "sha256": self.fingerprint.sha256,
                "set": self.reference_set,
            },
            "missing": list(self.missing),
        }

    def text(self, alignments: bool = False) -> str:
        """Write the report to be read; `alignments` adds ref, hyp and op rows of each utterance."""
        counts, fingerprint = self.counts, self.fingerprint
        lines = [f"{self.rate_name} {_rate_text(counts)}", self._interval_text()]
        lines.append(f"errors: {_kinds_text(counts)}, {counts.hits} hits")
        lines += self._side_by_side()
        lines += self.protocol.notes()
        lines.append(
            f"reference: {fingerprint.num_utts} utterances, {self._reference_tokens()}, "
            f"SHA-256 {fingerprint.sha256}"
        )
        if self.reference_set:
            lines.append(f"reference set: {self.reference_set}")
        lines.append(f"hypothesis: {counts.num_hyp} tokens")
        if self.missing:
            lines.append(
                f"missing: {len(self.missing)} utterances have no hypothesis and count as "
                f"deletions: {list_ids(self.missing)}"
            )
        for speaker, of_speaker in self.speakers.items():
            lines.append(f"speaker {speaker}: {_rate_text(of_speaker)}: {_kinds_text(of_speaker)}")
        if alignments:
            for utt_id, edits in self.alignments.items():
                rate = _rate_text(self.utterances[utt_id])
                lines += ["", f"utterance {utt_id}: {rate}", *_alignment_rows(edits)]
        return "\n".join(lines)

    def _side_by_side(self) -> list[str]:
        if not self.beside:
            return []
        rows = [(each.protocol.id, _rate_text(each.counts)) for each in (self, *self.beside)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = [f"  {name:<{widths[0]}}  {rate:>{widths[1]}}" for name, rate in rows]
        return [f"{self.rate_name} by protocol, none of which compares with another:", *table]

    def _reference_tokens(self) -> str:
        tokens = f"{self.fingerprint.num_tokens} tokens"
        # The rate divides by the tokens of the alternatives that fit the hypotheses best.
        is_first = self.counts.num_ref == self.fingerprint.num_tokens
        return tokens if is_first else f"{tokens} with the first of all alternatives"

    def _interval_text(self) -> str:
        if self.interval is None:
            return "95 % interval: none; it takes two utterances and a reference token"
        return (
            f"95 % interval: {_percent(self.interval.low)} to {_percent(self.interval.high)} "
            f"(bootstrap over {len(self.utterances)} utterances)"
        )


def _counts_as_dict(counts: ErrorCounts) -> dict[str, float | None]:
    return {
        "error_rate": counts.error_rate if math.isfinite(counts.error_rate) else None,
        "hits": counts.hits,
        "substitutions": counts.substitutions,
        "deletions": counts.deletions,
        "insertions": counts.insertions,
        "forgiven": counts.forgiven,
    }


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _rate_text(counts: ErrorCounts) -> str:
    return f"{_percent(counts.error_rate)} ({counts.num_errors} / {counts.num_ref})"


def _kinds_text(counts: ErrorCounts) -> str:
    forgiven = f" ({counts.forgiven} more forgiven)" if counts.forgiven else ""
    return (
        f"{counts.substitutions} substitutions, {counts.deletions} deletions{forgiven}, "
        f"{counts.insertions} insertions"
    )


def _alignment_rows(edits: Iterable[Edit]) -> list[str]:
    """Set three rows in columns: `***` where there is no token, `<space>` for a space."""
    rows = {"ref": "ref:", "hyp": "hyp:", "op": "op: "}
    for edit in edits:
        cells = {"ref": _cell(edit.ref), "hyp": _cell(edit.hyp), "op": _OP_LETTERS[edit.op]}
        width = max(map(len, cells.values()))
        for row, cell in cells.items():
            rows[row] += f" {cell:<{width}}"
    return [row.rstrip() for row in rows.values()]


def _cell(token: str | None) -> str:
    if token is None:
        return "***"
    return "<space>" if token == " " else token
