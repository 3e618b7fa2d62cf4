"""`asrkit train --check`: whether a run is where its recipe's seeds say it should be."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import typer

from asrkit.errors import BandError, UsageError

if TYPE_CHECKING:
    from asrkit.recipe.run_folder import RunFolder
    from asrkit.recipe.seed_band import Finding, SeedBand
    from asrkit.settings import Settings


class BandCheck:
    """Holds a run against the seed band in its recipe's `expected.toml`.

    Parameters
    ----------
    name, recipe_toml
        The recipe, as it was named and found.
    others
        Other options of the command, as given: those of parts of runs, or of several, are refused.

    Raises
    ------
    UsageError
        If the recipe has no band.
    """

    def __init__(self, name: str, recipe_toml: Path, others: Mapping[str, object]) -> None:
        from asrkit.recipe.expected import find_expected, load_expected

        for option, value in others.items():
            if value not in (None, 1):
                raise UsageError(
                    f"--check {option} {value}: one whole run of one process is checked; leave out "
                    f"{option}"
                )
        if "RANK" in os.environ:
            raise UsageError(
                "--check: one run of one process is checked; start it without torchrun"
            )
        self._path = find_expected(recipe_toml)
        band = load_expected(self._path).band
        if band is None:
            raise UsageError(
                f"--check: {name} has no seed band: {self._path} has no [band]; leave out --check, "
                f"or measure one: scripts/measure-band {name}"
            )
        self._band: SeedBand = band

    def require(self, settings: Settings, run: RunFolder) -> None:
        """Raise UsageError where the band says nothing of such a run."""
        from asrkit.recipe.band_scope import reasons_not_to_compare

        if reasons := reasons_not_to_compare(self._band, settings, run):
            raise UsageError(
                f"--check: the seed band in {self._path} is of other runs: {'; '.join(reasons)}; "
                "check a run of the recipe as it is, or measure its band again with "
                "scripts/measure-band"
            )

    def report(self, settings: Settings, run: RunFolder, as_json: bool) -> None:
        """Print all figures of a finished run and whether they are in the band.

        Raises
        ------
        BandError
            Where they are not, with the first.
        """
        from asrkit.recipe.seed_band import Curve, first_out, judge

        self.require(settings, run)
        findings = judge(self._band, Curve(run.folder))
        out = first_out(findings)
        typer.echo(_json(self._band, findings) if as_json else _table(findings), nl=as_json)
        if out is not None:
            where = "the end" if out.step is None else f"step {out.step}"
            raise BandError(
                f"{run.folder}: left the seed band at {where}: {out.figure.name}: "
                f"{_form(out.figure.of, out.value)}; expected {_range(out)}; it was measured with "
                f"{self._band.made_with}: compare {run.environment}"
            )
        if not as_json:
            share, seeds = 100 * self._band.confidence, ", ".join(map(str, self._band.seeds))
            typer.echo(
                f"in band: all {len(findings)} figures are where {share:g} % of runs have all of "
                f"them, by the seeds {seeds} ({self._band.made_with})"
            )


def _table(findings: Sequence[Finding]) -> str:
    rows = [("figure", "this run", "band", "mean and sd of the seeds", "")]
    for finding in findings:
        of, values = finding.figure.of, finding.figure.values
        spread = f"{_form(of, fmean(values))} ± {_form(of, stdev(values))}"
        remark = "" if finding.is_in_band else "out"
        rows.append(
            (finding.figure.name, _form(of, finding.value), _range(finding), spread, remark)
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        + "\n"
        for row in rows
    )


def _json(band: SeedBand, findings: Sequence[Finding]) -> str:
    content = {
        "event": "check",
        "in_band": all(finding.is_in_band for finding in findings),
        **band.model_dump(mode="json", exclude={"figures", "settings"}),
        "figures": [
            {
                **finding.figure.model_dump(mode="json"),
                "step": finding.step,
                "value": finding.value,
                "in_band": finding.is_in_band,
            }
            for finding in findings
        ],
    }
    return json.dumps(content)


def _range(finding: Finding) -> str:
    of = finding.figure.of
    return f"{_form(of, finding.figure.low)} to {_form(of, finding.figure.high)}"


def _form(of: str, value: float | None) -> str:
    if value is None:
        return "not reached"
    return f"{100 * value:.2f} %" if of == "dev_error" else f"{value:.4g}"
