"""Inputs tried in processes of their own, which may crash, hang or fill their memory."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from fuzzing.speech import write_tone
from fuzzing.target import INPUT, Kind, Outcome, Target, attempt

MIB = 1 << 20
_LOG = "said.log"
_WARM_UP_S = 300.0


@dataclass(frozen=True)
class Limits:
    """What an input may take.

    Attributes
    ----------
    seconds
        Of wall time.
    growth_mib
        Of resident memory, at its peak over what it was before.
    address_mib
        Of address space, over what the process had when it began: more cannot be had at all.
    """

    seconds: float = 20.0
    growth_mib: int = 128
    address_mib: int = 2048


@dataclass
class Tally:
    """What became of the inputs of a target."""

    kinds: Counter[str] = field(default_factory=Counter)
    growth_mib: float = 0.0
    """The most that an input took."""
    seconds: float = 0.0
    """The longest that an input took."""
    failures: list[tuple[int, Outcome]] = field(default_factory=list)
    """By number."""

    @property
    def total(self) -> int:
        """Inputs that were tried."""
        return sum(self.kinds.values())


def try_inputs(
    target: Target,
    seed: int,
    numbers: Sequence[int],
    limits: Limits,
    jobs: int,
    until: float,
    on_done: Callable[[], object],
) -> Tally:
    """Try the inputs of some numbers in several processes.

    A process that ends or hangs is replaced by one that goes on after the input which did that.

    Parameters
    ----------
    until
        Time, as `time.monotonic`, when all ends; what is under way then is not counted.
    on_done
        Called for each input.
    """
    tally = Tally()
    workers = [_Worker(target, seed, numbers[k::jobs], limits) for k in range(jobs)]
    try:
        while busy := [worker for worker in workers if worker.is_busy]:
            wait([worker.connection for worker in busy], timeout=0.2)
            for worker in busy:
                for number, outcome, growth_mib, seconds in worker.collect():
                    tally.kinds[outcome.kind] += 1
                    tally.growth_mib = max(tally.growth_mib, growth_mib)
                    tally.seconds = max(tally.seconds, seconds)
                    if outcome.kind not in ("accepted", "refused"):
                        tally.failures.append((number, outcome))
                    on_done()
                if time.monotonic() > until:
                    worker.stop()
    finally:
        for worker in workers:
            worker.stop()
    tally.failures.sort(key=lambda failure: failure[0])
    return tally


_Result = tuple[int, Outcome, float, float]


class _Worker:
    """A process that tries inputs, and its successors."""

    def __init__(self, target: Target, seed: int, numbers: Sequence[int], limits: Limits) -> None:
        self._target, self._seed, self._limits = target, seed, limits
        self._left = list(numbers)
        self.is_busy = bool(self._left)
        if self.is_busy:
            self._start()

    def _start(self) -> None:
        self.connection, theirs = _FORK.Pipe(duplex=False)
        self._scratch = tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True)
        folder = Path(self._scratch.name)
        arguments = (self._target, self._seed, self._left, self._limits, theirs, folder)
        self._process = _FORK.Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        self._is_warm = False
        self._since = time.monotonic()

    def collect(self) -> list[_Result]:
        """Take what results there are; judge an input that has ended its process, or hangs."""
        results: list[_Result] = []
        try:
            while self.connection.poll():
                result = self.connection.recv()
                self._since = time.monotonic()
                if result is None:
                    self._is_warm = True
                    continue
                results.append((self._left.pop(0), *result))
        except EOFError:
            self._process.join()
            if self._left:
                ended = f"process ended with {self._process.exitcode}"
                results += self._replace(self._judged("crash", ended))
        limit_s = self._limits.seconds if self._is_warm else _WARM_UP_S
        waited_s = time.monotonic() - self._since
        if not results and self._left and waited_s > limit_s:
            os.kill(self._process.pid or 0, signal.SIGABRT)  # it writes down where it hangs
            self._process.join(5.0)
            results += self._replace(self._judged("hang", f"more than {limit_s:g} s"))
        if not self._left:
            self.stop()
        return results

    def _judged(self, kind: Kind, what: str) -> Outcome:
        """Add what the process has said, and in the last line where it was."""
        said = Path(self._scratch.name, _LOG).read_text("utf-8", errors="replace")
        frames = [line.strip() for line in said.splitlines() if line.startswith("  File ")]
        return Outcome(kind, f"{said[:4000]}\n{what}{''.join(f', {each}' for each in frames[:1])}")

    def _replace(self, outcome: Outcome) -> list[_Result]:
        if not self._is_warm:
            raise RuntimeError(f"{self._target.name}: a valid input fails: {outcome.report}")
        seconds = time.monotonic() - self._since
        result = (self._left.pop(0), outcome, 0.0, seconds)
        self.stop()
        if self._left:
            self.is_busy = True
            self._start()
        return [result]

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        if self.is_busy:
            self.is_busy = False
            self._process.kill()
            self._process.join()
            self.connection.close()
            self._scratch.cleanup()


_FORK = multiprocessing.get_context("fork")
"""The readers are imported once; a process that fails is replaced at once."""


def _work(
    target: Target,
    seed: int,
    numbers: Sequence[int],
    limits: Limits,
    connection: Connection,
    folder: Path,
) -> None:
    os.chdir(folder)
    with Path(_LOG).open("w", encoding="utf-8") as log:
        for descriptor in (1, 2):  # what C libraries and a dying process say
            os.dup2(log.fileno(), descriptor)
        faulthandler.enable(log, all_threads=False)
        try:
            try_seeds(target)
        except RuntimeError as error:
            log.write(str(error))
            return
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        allowed = _memory("VmSize") + limits.address_mib * MIB
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
        connection.send(None)
        for number in numbers:
            files = target.draw(seed, number)
            before = _begin_peak()
            begun = time.perf_counter()
            outcome = attempt(target, files)
            seconds = time.perf_counter() - begun
            growth_mib = max(0, _memory("VmHWM") - before) / MIB
            if growth_mib > limits.growth_mib:
                outcome = Outcome(
                    "memory", f"took {growth_mib:.0f} MiB\n{outcome.kind}: {outcome.report}"
                )
            connection.send((outcome, growth_mib, seconds))
            log.truncate(0)
        connection.close()


def make_seeds(target: Target) -> None:
    """Have a target's valid inputs made, once and for all, in the working directory."""
    Path(INPUT).mkdir(exist_ok=True)
    assert target.seeds


def try_seeds(target: Target) -> None:
    """Have a target read its valid inputs, in the working directory, which loads what is lazy.

    Raises
    ------
    RuntimeError
        If one is not accepted.
    """
    make_seeds(target)
    write_tone()
    for files in target.seed_files:
        outcome = attempt(target, files)
        if outcome.kind != "accepted":
            raise RuntimeError(f"{target.name}: a valid input is {outcome.kind}: {outcome.report}")


def _begin_peak() -> int:
    """Forget the peak of resident memory; give what is resident now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(name: str) -> int:
    """Read a figure of this process's memory, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")
