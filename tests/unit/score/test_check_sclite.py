"""A small form of scripts/check-sclite: agreement with NIST's sclite."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "check-sclite"
DEBIAN = "/usr/lib/sctk/bin"


def run(*arguments: str) -> str:
    if not (shutil.which("sclite") or shutil.which("sclite", path=DEBIAN)):
        pytest.skip("sclite not found (Debian: sctk)")
    command = [sys.executable, str(SCRIPT), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_agrees_on_generated_pairs() -> None:
    printed = run("--pairs", "100", "--seed", "3")
    for file_format, pairs in (("trn", 100), ("stm", 20)):
        counts = rf"^{file_format}: all +{pairs} +{pairs} +{pairs} +0$"
        assert re.search(counts, printed, re.MULTILINE), printed
        speakers = re.search(rf"^{file_format}: speakers equal: (\d+) of (\d+)$", printed, re.M)
        assert speakers is not None
        assert speakers[1] == speakers[2]
    sums = [
        re.findall(rf"^trn: sum of {who}: (.*)$", printed, re.M) for who in ("asrkit", "sclite")
    ]
    assert sums[0] == sums[1]


def test_agrees_on_two_files_with_marks_and_odd_words(tmp_path: Path) -> None:
    ref, hyp = tmp_path / "ref.trn", tmp_path / "hyp.trn"
    ref.write_text('{ a / B:c } (um) d;e* (anna-1)\nx "y" z, (bob-1)\n', encoding="utf-8")
    hyp.write_text("B:C d;e (anna-1)\nx z, w (bob-1)\n", encoding="utf-8")
    printed = run("--ref", str(ref), "--hyp", str(hyp), "--protocol", "sclite")
    assert "trn: sum of sclite: 4 hits, 1 substitutions, 1 deletions, 1 insertions" in printed
    assert re.search(r"^trn: all +2 +2 +2 +0$", printed, re.MULTILINE)


def test_a_disagreement_fails(tmp_path: Path) -> None:
    # A program in sclite's place that says all is right.
    sclite = tmp_path / "sclite"
    sclite.write_text(
        """#!/bin/sh
while [ "$1" != -O ]; do shift; done
echo '<PATH id="(s000-0)">
C,"a","a"
</PATH>' > "$2/out.sgml"
echo '| s000 | 1 1 | 1 0 0 0 0 0 |
| Sum | 1 1 | 1 0 0 0 0 0 |' > "$2/out.raw"
""",
        encoding="utf-8",
    )
    sclite.chmod(0o755)
    ref, hyp = tmp_path / "ref.trn", tmp_path / "hyp.trn"
    ref.write_text("a (anna-1)\n", encoding="utf-8")
    hyp.write_text("b (anna-1)\n", encoding="utf-8")
    command = [sys.executable, str(SCRIPT), "--ref", str(ref), "--hyp", str(hyp)]
    done = subprocess.run(
        [*command, "--sclite", str(sclite)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "the first that differs: 'a' against 'b'" in done.stdout
    assert "trn: sum of sclite: 1 hits, 0 substitutions" in done.stdout
