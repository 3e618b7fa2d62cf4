"""Whether every transcript fits into the frames that the model yields for its audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from asrkit.ctc.feasibility import REMEDY
from asrkit.doctor.finding import Case, Finding, utterances
from asrkit.doctor.material import Material
from asrkit.nn.model import AcousticModel
from asrkit.train.objective import make_objective
from asrkit.train.preflight import output_frames

TIGHT_RATIO = 1.1
"""Frames for each frame needed, below which CTC has next to no choice of where to emit."""
MAX_TIGHT_SHARE = 0.01


def examine_frames(material: Material) -> Iterator[Finding]:
    """Compare frames with labels and repeats: in training at the fastest speed, else at its own."""
    settings = material.settings
    model = AcousticModel(settings, len(material.tokens), device="meta")
    objective = make_objective(model)
    infeasible: list[tuple[float, Case]] = []
    impossible: list[tuple[float, Case]] = []
    tight: list[tuple[float, Case]] = []
    for split, whole in material.splits.items():
        factors: Sequence[float] = settings.augment.speed_factors if split == "train" else ()
        pairs = list(material.encoded(split))
        num_frames = output_frames(model, [utterance for utterance, _ in pairs], factors)
        for (utterance, labels), given in zip(pairs, num_frames, strict=True):
            needed = objective.frames_needed(labels)
            value = (
                f"{utterance.duration_s:.4g} s give {given} frames, "
                f"{len(labels)} labels with {needed - len(labels)} repeats need {needed}"
                if settings.model.kind == "ctc"
                else f"{utterance.duration_s:.4g} s give {given} frames, {needed} needed"
            )
            case = (given / needed if needed else 1.0, Case.of(split, utterance, value))
            if given < needed:
                (infeasible if split in ("train", "dev") else impossible).append(case)
            elif split == "train" and len(labels) > 1 and given < TIGHT_RATIO * needed:
                tight.append(case)
        if split == "train" and tight:
            yield _tight(tight, len(whole))
    expected = "at least a frame a label, and one between equal labels"
    fastest = max(settings.augment.speed_factors, default=1.0)
    if infeasible:
        yield Finding(
            "error",
            "infeasible-transcript",
            f"more labels than the model can emit in their frames: {utterances(len(infeasible))} "
            f"of train and dev (subsampling {settings.model.subsampling}, fastest speed "
            f"{fastest:g}); training refuses them",
            expected,
            REMEDY,
            _worst_first(infeasible),
        )
    if impossible:
        yield Finding(
            "warning",
            "impossible-transcript",
            f"fewer frames than labels: {utterances(len(impossible))} outside train and dev cannot "
            "be recognised in full",
            expected,
            "lower model.subsampling, or correct their transcripts or durations",
            _worst_first(impossible),
        )


def _tight(cases: list[tuple[float, Case]], count: int) -> Finding:
    share = len(cases) / count
    is_bad = share > MAX_TIGHT_SHARE
    return Finding(
        "warning" if is_bad else "note",
        "tight-transcript",
        f"less than {100 * (TIGHT_RATIO - 1):.0f} % more frames than CTC needs: "
        f"{utterances(len(cases))} of train ({100 * share:.2g} %)"
        f"{'; a model may stay with blanks' if is_bad else ''}",
        f"at most {100 * MAX_TIGHT_SHARE:.0f} % of the training set",
        "lower model.subsampling or the highest of augment.speed_factors, or check these "
        "transcripts",
        _worst_first(cases),
    )


def _worst_first(cases: list[tuple[float, Case]]) -> list[Case]:
    return [case for _, case in sorted(cases, key=lambda pair: pair[0])]
