"""Hits, substitutions, deletions and insertions, and the error rate they give."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from asrkit.score.alignment import Edit


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Edits of one utterance, or summed over many: `sum(counts, ErrorCounts())`.

    Raises
    ------
    ValueError
        If a count is negative.
    """

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    forgiven: int = 0
    """Deletions of optional tokens: part of the reference, but no errors."""

    def __post_init__(self) -> None:
        kinds = (self.hits, self.substitutions, self.deletions, self.insertions, self.forgiven)
        if min(kinds) < 0:
            raise ValueError(f"{self}: a count is negative")

    @classmethod
    def from_edits(cls, edits: Iterable[Edit]) -> ErrorCounts:
        """Count the edits of an alignment."""
        number = Counter(edit.op for edit in edits)
        return cls(number["hit"], number["sub"], number["del"], number["ins"], number["forgiven"])

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.forgiven + other.forgiven,
        )

    @property
    def num_errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def num_ref(self) -> int:
        """Tokens of the reference: hits, substitutions and deletions, also forgiven ones."""
        return self.hits + self.substitutions + self.deletions + self.forgiven

    @property
    def num_hyp(self) -> int:
        """Tokens of the hypothesis: hits, substitutions and insertions."""
        return self.hits + self.substitutions + self.insertions

    @property
    def error_rate(self) -> float:
        """Errors for each reference token; a share, above 1 if there are many insertions.

        Without reference tokens it is 0 if nothing was inserted and infinite otherwise.
        """
        if self.num_ref == 0:
            return math.inf if self.insertions else 0.0
        return self.num_errors / self.num_ref
