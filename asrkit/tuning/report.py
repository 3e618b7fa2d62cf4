"""What a tuning has to say: a table, a JSON record and a section of the model card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asrkit.score.report import RATE_NAMES
from asrkit.tuning.dev_set import Decoded, DevSet
from asrkit.tuning.tune import Calibration, Tuning

_SECTION = "## Tuning"
_OPTIMISTIC = (
    "Figures on the set that settings were chosen on are optimistic; a report takes those of "
    "another set."
)


@dataclass(frozen=True)
class Checked:
    """The rows of a tuning on a set that had no say in it."""

    data: DevSet
    rows: Mapping[str, Decoded]
    calibration: Calibration | None


@dataclass(frozen=True)
class TuningReport:
    """A tuning, the set it was made on, and perhaps one to check it."""

    tuning: Tuning
    dev: DevSet
    check: Checked | None = None

    @property
    def measure(self) -> str:
        """WER, CER or PER."""
        return RATE_NAMES[self.dev.unit]

    def text(self) -> str:
        """Write a Markdown table of error rates and times, and what was chosen."""
        sets = [self.dev.name] + ([self.check.data.name] if self.check else [])
        rates = [f"{self.measure} on {name}" for name in sets]
        lines = [
            f"| search | settings | {' | '.join(rates)} | ms an utterance |",
            f"|---|---|{'---:|' * (len(rates) + 1)}",
        ]
        for name, decoded in self.tuning.rows.items():
            figures = [decoded] + ([self.check.rows[name]] if self.check else [])
            shown = " | ".join(f"{100 * figure.counts.error_rate:.2f} %" for figure in figures)
            milliseconds = 1e3 * decoded.utterance_s
            lines.append(f"| {name} | {describe(decoded)} | {shown} | {milliseconds:.2f} |")
        found = [f"chosen: {self.tuning.chosen}", *self._refusals(), *self._calibration()]
        return "\n".join([*lines, "", *(f"- {line}" for line in found), "", _OPTIMISTIC])

    def _refusals(self) -> list[str]:
        greedy = self.tuning.rows["greedy"].counts
        return [
            f"refused: {name}, {100 * row.counts.error_rate:.2f} %, is not better than the greedy "
            f"search, {100 * greedy.error_rate:.2f} %"
            for name, row in self.tuning.rows.items()
            if name != "greedy" and row.counts.num_errors >= greedy.num_errors
        ]

    def _calibration(self) -> list[str]:
        found = {self.dev.name: self.tuning.calibration}
        if self.check:
            found[self.check.data.name] = self.check.calibration
        return [
            f"confidence on {name}: expected calibration error {100 * fit.ece_before:.2f} %, with "
            f"temperature {fit.temperature:.3g} and bias {fit.bias:.3g} {100 * fit.ece_after:.2f} %"
            for name, fit in found.items()
            if fit
        ]

    def to_json(self) -> dict[str, Any]:
        """Give all figures as JSON values."""
        surface = [
            {**weights._asdict(), "errors": errors}
            for weights, errors in sorted(self.tuning.surface.items())
        ]
        record: dict[str, Any] = {
            "measure": self.measure,
            "protocol": self.dev.protocol.name,
            "protocol_id": self.dev.protocol.id,
            "chosen": self.tuning.chosen,
            "settings": self.tuning.settings.model_dump(mode="json"),
            "dev": _record(self.dev, self.tuning.rows, self.tuning.calibration),
            "surface": surface,
        }
        if self.check:
            check = self.check
            record["check"] = _record(check.data, check.rows, check.calibration)
        return record

    def extend_card(self, card: str) -> str:
        """Add a section to a model card, in place of that of an earlier tuning."""
        before = card.partition(f"\n{_SECTION}\n")[0].rstrip()
        size = f"{len(self.dev.utterances)} utterances, {self.dev.hours:.2f} h"
        where = f"On {self.dev.name} ({size}), protocol {self.dev.protocol.name}:"
        return f"{before}\n\n{_SECTION}\n\n{where}\n\n{self.text()}\n"


def describe(decoded: Decoded) -> str:
    """Name the settings that matter."""
    settings = decoded.settings
    if settings.method == "greedy":
        return ""
    parts = [f"beam_size {settings.beam_size}"]
    if settings.lm:
        parts += [
            f"posterior_temperature {settings.posterior_temperature:g}",
            f"prior_weight {settings.prior_weight:g}",
            f"lm_weight {settings.lm_weight:g}",
            f"word_bonus {settings.word_bonus:g}",
        ]
        if settings.rescoring_lm:
            parts.append(f"rescoring_share {settings.rescoring_share:g}")
        if settings.vocabulary == "open":
            parts.append(f"oov_penalty {settings.oov_penalty:g}")
    return ", ".join(parts)


def _record(
    data: DevSet, rows: Mapping[str, Decoded], calibration: Calibration | None
) -> dict[str, Any]:
    return {
        "name": data.name,
        "utterances": len(data.utterances),
        "hours": data.hours,
        "rows": {
            name: {
                "error_rate": row.counts.error_rate if row.counts.num_ref else None,
                "errors": row.counts.num_errors,
                "utterance_s": row.utterance_s,
            }
            for name, row in rows.items()
        },
        "confidence": calibration
        and {
            "temperature": calibration.temperature,
            "bias": calibration.bias,
            "words": len(calibration.correct),
            "ece_before": calibration.ece_before,
            "ece_after": calibration.ece_after,
        },
    }
