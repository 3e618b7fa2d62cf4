"""Where a recipe's training should be after so many steps, and whether a run was there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from asrkit.settings_types import NonNegativeFloat, PositiveInt, Share, Table
from asrkit.train.metrics import read_metrics


class Figure(Table):
    """One figure of a training: what seeds gave, and the range that another run should be in.

    Attributes
    ----------
    of, at
        `train_loss` is the mean over the `window_steps` steps that end with step `at`, in nats an
        utterance; `dev_loss` is that after epoch `at`; `dev_error` is that of the weights kept,
        `at` being the last epoch.
    low, high
        Ends of the range; both are in it.
    values
        Of each seed.
    """

    of: Literal["train_loss", "dev_loss", "dev_error"]
    at: PositiveInt
    low: NonNegativeFloat
    high: NonNegativeFloat
    values: tuple[float, ...]

    @property
    def name(self) -> str:
        """In words."""
        where = f"{'step' if self.of == 'train_loss' else 'epoch'} {self.at}"
        return f"{self.of.replace('_', ' ')}, {'end' if self.of == 'dev_error' else where}"


class SeedBand(Table):
    """`[band]` of a recipe's `expected.toml`: what its training gave with several seeds.

    Attributes
    ----------
    seeds
        `recipe.seed` of each run.
    confidence
        Of another run, how likely all figures are within their ranges.
    made_with
        Versions, in words.
    settings
        All settings that are not the defaults, by `table.key`.
    """

    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    confidence: Share
    made_with: str
    window_steps: PositiveInt
    figures: Annotated[tuple[Figure, ...], Field(min_length=1)]
    settings: dict[str, Any]


class Curve:
    """The figures of a training, read from the metrics in its run folder."""

    def __init__(self, folder: Path) -> None:
        self.losses: list[float] = [item["loss"] for item in read_metrics(folder, "step")]
        self._epochs = {item["epoch"]: item for item in read_metrics(folder, "epoch")}
        self._final = read_metrics(folder, "final")

    @property
    def num_epochs(self) -> int:
        """Epochs that were trained to their ends."""
        return len(self._epochs)

    def find(self, of: str, at: int, window_steps: int) -> tuple[int, float] | None:
        """Give a `Figure` and the step it is of; None where training ended before it."""
        if of == "train_loss":
            window = self.losses[at - window_steps : at]
            return (at, sum(window) / window_steps) if at <= len(self.losses) else None
        event = self._epochs.get(at)
        if of == "dev_error":  # of the weights that were kept, however many epochs there were
            event = self._final[-1] if self._final else None
        return (event["step"], event[of]) if event else None


@dataclass(frozen=True)
class Finding:
    """A figure as a run has it; without step and value if its training ended before."""

    figure: Figure
    step: int | None
    value: float | None

    @property
    def is_in_band(self) -> bool:
        """Whether it lies in its range."""
        return self.value is not None and self.figure.low <= self.value <= self.figure.high


def judge(band: SeedBand, curve: Curve) -> list[Finding]:
    """Hold a run against a band; in the order of the steps, and what it did not come to last."""
    findings = []
    for figure in band.figures:
        step, value = curve.find(figure.of, figure.at, band.window_steps) or (None, None)
        findings.append(Finding(figure, step, value))
    return sorted(findings, key=lambda finding: (finding.step is None, finding.step or 0))


def first_out(findings: Sequence[Finding]) -> Finding | None:
    """Give the finding where a run left the band first, if it did."""
    return next((finding for finding in findings if not finding.is_in_band), None)
