"""A small form of scripts/check-significance: agreement with sc_stats, and calibration."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "check-significance"
DEBIAN = "/usr/lib/sctk/bin"


def run(*arguments: str) -> str:
    command = [sys.executable, str(SCRIPT), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_equal_systems_differ_in_one_comparison_of_twenty() -> None:
    printed = run("--pairs", "0", "--trials", "60")
    row = re.search(r"40 speakers, 5 utterances each \|.*\| ([\d.]+) % \| [\d.]+ % \|", printed)
    assert row is not None
    assert 0 < float(row[1]) < 14
    # Z of few segments is not normal: counting out keeps to the level.
    few = re.search(r"10 speakers, 2 utterances each \|.*\| ([\d.]+) % \| [\d.]+ % \|", printed)
    assert few is not None
    assert float(few[1]) < 14


def test_agrees_with_sc_stats() -> None:
    missing = [
        tool
        for tool in ("sclite", "sc_stats")
        if not (shutil.which(tool) or shutil.which(tool, path=DEBIAN))
    ]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found (Debian: sctk)")
    printed = run("--pairs", "12", "--trials", "1")
    assert "on 12 pairs of systems" in printed
    assert "| asrkit on the alignments of sclite | 12 | 12 | 0.000 |" in printed
