"""All that was found, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkit.doctor.finding import SEVERITIES, Case, Finding

_MAX_LISTED = 3


@dataclass(frozen=True)
class Report:
    """What was examined, and what was found.

    Attributes
    ----------
    examined
        What was looked at, and figures that are in order, by name.
    findings
        The worst first.
    """

    examined: Mapping[str, str]
    findings: Sequence[Finding]

    @classmethod
    def of(cls, examined: Mapping[str, str], findings: Sequence[Finding]) -> Report:
        """Sort findings by severity; those of one keep their order."""
        return cls(
            examined, sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
        )

    @property
    def has_errors(self) -> bool:
        """Whether anything stops a training, or makes its scores untrue."""
        return any(finding.severity == "error" for finding in self.findings)

    def text(self) -> str:
        """Write it for people, with the first utterances of each finding."""
        width = max((len(name) for name in self.examined), default=0)
        lines = [f"{name:<{width}}  {value}" for name, value in self.examined.items()]
        for finding in self.findings:
            lines += ["", f"{finding.severity}: {finding.kind}: {finding.message}"]
            lines += [f"    {_place(case)}: {case.value}" for case in finding.cases[:_MAX_LISTED]]
            if len(finding.cases) > _MAX_LISTED:
                lines.append(
                    f"    and {len(finding.cases) - _MAX_LISTED} more; --json has them all"
                )
            lines += [f"  expected: {finding.expected}", f"  to do: {finding.remedy}"]
        counts = ", ".join(f"{self._count(name)} {name}s" for name in SEVERITIES)
        return "\n".join([*lines, "", counts])

    def to_json(self) -> str:
        """Write everything as one JSON object."""
        content: dict[str, Any] = {
            "examined": dict(self.examined),
            "counts": {name: self._count(name) for name in SEVERITIES},
            "findings": [
                {
                    "severity": finding.severity,
                    "kind": finding.kind,
                    "message": finding.message,
                    "expected": finding.expected,
                    "remedy": finding.remedy,
                    "utterances": [_to_fields(case) for case in finding.cases],
                }
                for finding in self.findings
            ],
        }
        return json.dumps(content, indent=1, ensure_ascii=False)

    def _count(self, severity: str) -> int:
        return sum(finding.severity == severity for finding in self.findings)


def _place(case: Case) -> str:
    return f"{case.split} {case.utt_id}{f' ({case.audio_path})' if case.audio_path else ''}"


def _to_fields(case: Case) -> dict[str, str]:
    path: Path | None = case.audio_path
    return {
        "split": case.split,
        "utt_id": case.utt_id,
        "audio_filepath": path.as_posix() if path else "",
        "value": case.value,
    }
