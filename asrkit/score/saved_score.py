"""Scores that were written as JSON: read back, and set side by side where they compare."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from asrkit.errors import ScoreError, UsageError


class _Saved(BaseModel):
    """Some keys of a JSON object; others are ignored."""

    model_config = ConfigDict(strict=True, frozen=True)


class _Interval(_Saved):
    low: float
    high: float


class _Reference(_Saved):
    utterances: int
    tokens: int
    sha256: str


class _Rate(_Saved):
    measure: str
    protocol_id: str
    error_rate: float | None
    interval: _Interval | None
    reference: _Reference
    missing: list[str]

    @property
    def basis(self) -> str:
        """All that must agree for two rates to compare."""
        return (
            f"{self.measure} under {self.protocol_id}, {self.reference.utterances} utterances, "
            f"{self.reference.tokens} tokens, SHA-256 {self.reference.sha256}"
        )

    def text(self) -> str:
        rate = "undefined" if self.error_rate is None else f"{100 * self.error_rate:.2f} %"
        if self.interval:
            rate += f", 95 % interval {100 * self.interval.low:.2f} to "
            rate += f"{100 * self.interval.high:.2f} %"
        if self.missing:
            rate += f", {len(self.missing)} utterances without a hypothesis counted as deleted"
        return rate


class _SavedScore(_Rate):
    beside: list[_Rate]

    @property
    def rates(self) -> Mapping[str, _Rate]:
        """Under each protocol, by what they are based on."""
        return {rate.basis: rate for rate in (self, *self.beside)}


def compare_scores(paths: Sequence[Path]) -> str:
    """Set the rates of scores side by side under every protocol that all have in common.

    Parameters
    ----------
    paths
        What `asrkit score --json` wrote, or a run's `score/*.json`.

    Raises
    ------
    ScoreError
        If the scores have no measure, protocol and references in common: they do not compare. Also
        if a file is no score.
    UsageError
        If a file cannot be read.
    """
    scores = [_read(path) for path in paths]
    common = [
        basis for basis in scores[0].rates if all(basis in score.rates for score in scores[1:])
    ]
    if not common:
        found = "\n".join(
            f"  {path}: {basis}"
            for path, score in zip(paths, scores, strict=True)
            for basis in score.rates
        )
        raise ScoreError(
            "the scores do not compare: they have no measure, protocol and references in common:\n"
            f"{found}\nscore the same utterances by the same protocol"
        )
    width = max(len(str(path)) for path in paths)
    blocks = [
        "\n".join(
            [
                basis,
                *(
                    f"  {path!s:<{width}}  {score.rates[basis].text()}"
                    for path, score in zip(paths, scores, strict=True)
                ),
            ]
        )
        for basis in common
    ]
    return "\n".join(blocks)


def _read(path: Path) -> _SavedScore:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ScoreError(f"{path}: not JSON: {error}; expected a score of --json") from error
    try:
        return _SavedScore.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ScoreError(
            f"{path}: {where}: {first['msg']}; expected what `asrkit score --json` writes; score "
            "again if it was written by an older version"
        ) from error
