"""The harness notices whatever a reader must not do, and says how to repeat it."""

from __future__ import annotations

import os
import runpy
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import fuzzing
import numpy as np
import pytest
from fuzzing.target import Target, attempt
from fuzzing.trial import Limits, Tally, make_seeds, try_inputs

from asrkit.errors import DataError

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "fuzz"
VALID = b"a line that is valid\n"


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def target_that(do: Callable[[bytes], object]) -> Target:
    """A reader that takes what is valid and does something to the rest."""

    def read(folder: Path) -> None:
        content = (folder / "x").read_bytes()
        if content != VALID:
            do(content)

    return Target("made-up", lambda: [{"x": VALID}], read)


def refuse(_content: bytes) -> None:
    raise DataError("fuzzed/x: damaged")


def refuse_nameless(_content: bytes) -> None:
    raise DataError("damaged")


def fail(_content: bytes) -> None:
    raise KeyError("gone")


def warn(_content: bytes) -> None:
    warnings.warn("overflow", RuntimeWarning, stacklevel=1)


def write_outside(_content: bytes) -> None:
    Path("evil").write_text("")


def abort(content: bytes) -> None:
    if len(content) % 2:
        os.abort()


def sleep(content: bytes) -> None:
    if len(content) % 20 == 1:
        time.sleep(60)


def fill_memory(content: bytes) -> None:
    if len(content) % 2:
        np.ones(16 << 20).sum()


def ask_for_all_memory(content: bytes) -> None:
    if len(content) % 2:
        np.empty(1 << 40)


@pytest.mark.parametrize(
    ("do", "kind", "report"),
    [
        (len, "accepted", ""),
        (refuse, "refused", "fuzzed/x: damaged"),
        (refuse_nameless, "crash", "refused without naming fuzzed"),
        (fail, "crash", "KeyError: 'gone'"),
        (warn, "crash", "RuntimeWarning: overflow"),
        (write_outside, "crash", "wrote outside its folder"),
    ],
)
def test_what_a_reader_does_with_an_input(
    do: Callable[[bytes], object], kind: str, report: str
) -> None:
    outcome = attempt(target_that(do), {"x": b"other"})
    assert outcome.kind == kind
    assert report in outcome.report


def tally_of(do: Callable[[bytes], object], limits: Limits, count: int = 40) -> Tally:
    target = target_that(do)
    make_seeds(target)
    done: list[None] = []
    until = time.monotonic() + 60
    tally = try_inputs(target, 1, range(count), limits, 2, until, lambda: done.append(None))
    assert tally.total == len(done) == count
    numbers = [number for number, _ in tally.failures]
    assert numbers == sorted(set(numbers))
    return tally


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("do", "kind", "report"),
    [
        (abort, "crash", "Fatal Python error: Aborted"),
        (sleep, "hang", "in sleep"),
        (fill_memory, "memory", "took 1"),
        (ask_for_all_memory, "memory", "MemoryError"),
    ],
)
def test_what_only_a_process_of_its_own_survives(
    do: Callable[[bytes], object], kind: str, report: str
) -> None:
    tally = tally_of(do, Limits(seconds=1.0, growth_mib=16, address_mib=512))
    assert set(tally.kinds) == {"accepted", kind}
    assert tally.kinds[kind] == len(tally.failures) < tally.total
    for _, outcome in tally.failures:
        assert outcome.kind == kind
        assert report in outcome.report


def test_a_valid_file_that_is_refused_is_no_result() -> None:
    target = Target("made-up", lambda: [{"x": VALID}], lambda _folder: refuse(b""))
    with pytest.raises(RuntimeError, match="made-up: a valid input fails"):
        try_inputs(target, 1, range(5), Limits(), 1, time.monotonic() + 60, lambda: None)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return int(ended.value.code or 0)


def test_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "--inputs", "60", "--target", "downloads", "--jobs", "1") == 0
    table = capsys.readouterr().out.splitlines()
    assert table[-2].startswith("| downloads | 60 | ")
    assert table[-1].startswith("| all | 60 | ")
    assert list(tmp_path.iterdir()) == []


def test_the_command_where_a_reader_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(fuzzing, "TARGETS", {"made-up": target_that(fail)})
    options = ("--seed", "3", "--failures", "kept")
    assert run(monkeypatch, "--inputs", "5", "--jobs", "1", *options) == 1
    said = capsys.readouterr()
    assert "| made-up | 5 | 0 | 0 | 5 | 0 | 0 |" in said.out
    assert "scripts/fuzz --target made-up --seed 3 --only 4" in said.err
    written = (tmp_path / "kept" / "made-up-3-4" / "x").read_bytes()
    assert "KeyError: 'gone'" in (tmp_path / "kept" / "made-up-3-4" / "report.txt").read_text()
    assert run(monkeypatch, "--target", "made-up", "--only", "4", *options) == 1
    assert "KeyError: 'gone'" in capsys.readouterr().out
    assert (tmp_path / "kept" / "made-up-3-4" / "x").read_bytes() == written
