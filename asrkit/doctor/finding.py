"""What an examination finds: how bad it is, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asrkit.data.manifest import Utterance

Severity = Literal["error", "warning", "note"]
"""An error stops the training or makes its scores untrue; a warning makes the model worse; a note
is worth knowing."""
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Case:
    """An utterance that a finding is about."""

    split: str
    utt_id: str
    audio_path: Path | None
    """None where an id is all that is known."""
    value: str
    """What was found there."""

    @classmethod
    def of(cls, split: str, utterance: Utterance, value: str) -> Case:
        """Make a case of an utterance."""
        return cls(split, utterance.utt_id, utterance.audio_path, value)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something an examination found.

    Attributes
    ----------
    severity
    kind
        A name that stays, for programs: `infeasible-transcript`.
    message
        What is wrong, with the value.
    expected
        What a healthy recipe has.
    remedy
        What to do.
    cases
        All utterances involved, the worst first where they can be compared.
    """

    severity: Severity
    kind: str
    message: str
    expected: str
    remedy: str
    cases: Sequence[Case] = ()


def utterances(count: int) -> str:
    """Count utterances in words."""
    return f"{count} utterance{'' if count == 1 else 's'}"


def excerpt(text: str, most: int = 50) -> str:
    """Give the beginning of a transcript, in quotes."""
    return repr(text if len(text) <= most else f"{text[:most]}...")
