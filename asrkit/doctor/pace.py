"""Utterances whose length does not go with their transcript, or with that of all others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from asrkit.data.manifest import Utterance
from asrkit.doctor.finding import Case, Finding, excerpt, utterances
from asrkit.doctor.material import Material

OUTLYING_Z = 5.0
"""Robust standard deviations of the logarithm from its median: 1.4826 median absolute deviations
are one of a normal distribution (Iglewicz & Hoaglin, How to Detect and Handle Outliers, 1993)."""
MIN_SURPLUS_S = 1.0
"""A single letter takes its time; more than this beyond what is usual is silence or other words."""
MIN_UTTERANCES = 20
"""Fewer do not tell what is usual."""
_MIN_SPREAD = 0.1
"""Sentences differ by 10 % at least; a corpus of less would have outliers in its noise."""


def examine_pace(material: Material) -> Iterator[Finding]:
    """Look for labels a second that are far from usual, and for durations that are.

    What is usual is learnt of the training set.
    """
    spoken = {
        split: [(u, len(labels)) for u, labels in material.encoded(split) if labels]
        for split in material.splits
    }
    everything = [(split, *pair) for split, pairs in spoken.items() for pair in pairs]
    if len(spoken["train"]) < MIN_UTTERANCES:
        return
    pace = np.array([count / utterance.duration_s for _, utterance, count in everything])
    is_train = np.array([split == "train" for split, *_ in everything])
    z = robust_z(pace, is_train)
    usual = float(np.median(pace[is_train]))
    surplus_s = np.array([u.duration_s - count / usual for _, u, count in everything])
    what_to_do = "listen to them and correct transcripts or durations, or leave them out"
    for kind, how, outlying in (
        ("fast-transcript", "more", z > OUTLYING_Z),
        ("slow-transcript", "fewer", (z < -OUTLYING_Z) & (surplus_s > MIN_SURPLUS_S)),
    ):
        cases = [
            Case.of(
                everything[i][0],
                everything[i][1],
                f"{pace[i]:.3g} labels a second, {everything[i][1].duration_s:.4g} s of "
                f"{excerpt(everything[i][1].text)}",
            )
            for i in _furthest_first(z, outlying)
        ]
        if cases:
            yield Finding(
                "warning",
                kind,
                f"far {how} labels a second than usual: {utterances(len(cases))}; most often the "
                "transcript is another's, or cut",
                f"about {usual:.3g} labels a second, within {OUTLYING_Z:g} robust standard "
                "deviations",
                what_to_do,
                cases,
            )
    yield from _examine_durations(material)


def _examine_durations(material: Material) -> Iterator[Finding]:
    entries: list[tuple[str, Utterance]] = [
        (split, utterance) for split, whole in material.splits.items() for utterance in whole
    ]
    durations_s = np.array([utterance.duration_s for _, utterance in entries])
    is_train = np.array([split == "train" for split, _ in entries])
    z = robust_z(durations_s, is_train)
    cases = [
        Case.of(*entries[i], f"{durations_s[i]:.4g} s")
        for i in _furthest_first(z, np.abs(z) > OUTLYING_Z)
    ]
    if cases:
        yield Finding(
            "note",
            "odd-duration",
            f"far longer or shorter than all others: {utterances(len(cases))}",
            f"about {np.median(durations_s[is_train]):.3g} s",
            "cut long ones at pauses (asrkit align tells where); leave out scraps",
            cases,
        )
    max_batch_s = material.settings.data.max_batch_s
    lone = [u for u in material.splits["train"] if u.duration_s > max_batch_s]
    if lone:
        lone.sort(key=lambda utterance: -utterance.duration_s)
        yield Finding(
            "warning",
            "over-long-utterance",
            f"longer than data.max_batch_s = {max_batch_s:g} s: {utterances(len(lone))} of train, "
            "each a batch of its own that needs more memory than any other",
            f"at most {max_batch_s:g} s",
            "cut them at pauses (asrkit align tells where), or raise data.max_batch_s",
            [Case.of("train", utterance, f"{utterance.duration_s:.4g} s") for utterance in lone],
        )


def robust_z(values: NDArray[np.float64], is_usual: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Tell how far the logarithm of each value (N,) is from usual, in robust standard deviations.

    Parameters
    ----------
    values
        Above 0.
    is_usual
        Which of them tell what is usual; one at least.
    """
    logs = np.log(values)
    middle = np.median(logs[is_usual])
    spread = 1.4826 * np.median(np.abs(logs[is_usual] - middle))
    z: NDArray[np.float64] = (logs - middle) / max(spread, _MIN_SPREAD)
    return z


def _furthest_first(z: NDArray[np.float64], chosen: NDArray[np.bool_]) -> list[int]:
    return sorted(np.flatnonzero(chosen).tolist(), key=lambda i: -abs(z[i]))
