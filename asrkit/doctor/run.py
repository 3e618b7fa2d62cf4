"""What the metrics of a run tell of it, while it goes on or after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from asrkit.data.manifest import Utterance
from asrkit.doctor.finding import Case, Finding, Severity, excerpt
from asrkit.train.course import Course, observations
from asrkit.train.metrics import read_metrics


def describe_run(folder: Path, course: Course) -> str:
    """Say where a run is."""
    epochs = read_metrics(folder, "epoch")
    if not epochs:
        steps = read_metrics(folder, "step")
        return f"{folder}: no epoch is finished, {len(steps)} steps"
    best = min(epochs, key=lambda item: item["dev_error"])
    return (
        f"{folder}: {course.state}, {epochs[-1]['epoch']} epochs, {epochs[-1]['step']} steps; dev "
        f"error {100 * epochs[-1]['dev_error']:.2f} %, lowest {100 * best['dev_error']:.2f} % "
        f"in epoch {best['epoch']}"
    )


def examine_run(folder: Path, course: Course, utterances: Sequence[Utterance]) -> Iterator[Finding]:
    """Tell of a plateau, a collapse or a divergence.

    Parameters
    ----------
    folder
        Of the run.
    course
        As `asrkit.train.course.follow` reads it there.
    utterances
        Of its training set.
    """
    if not course.summary:
        return
    known = {utterance.utt_id: utterance for utterance in utterances}
    cases = []
    for utt_id, loss in course.hardest.items():
        utterance = known.get(utt_id)
        parts = [] if loss is None else [f"loss {loss:.4g} nats a label"]
        if utterance is not None:
            parts += [f"{utterance.duration_s:.4g} s", excerpt(utterance.text)]
        path = utterance.audio_path if utterance else None
        cases.append(Case("train", utt_id, path, ", ".join(parts)))
    severity: Severity = "note" if course.state == "plateau" else "error"
    yield Finding(
        severity,
        course.state,
        course.summary.removeprefix(f"{course.state}: "),
        _expected(folder),
        course.remedy,
        cases,
    )


def _expected(folder: Path) -> str:
    lowest = min((past.loss for past in observations(folder)), default=None)
    learnt = f"; the lowest dev loss so far is {lowest:.4g}" if lowest is not None else ""
    return f"tokens from a few hundred to a few thousand steps on, and a falling loss{learnt}"
