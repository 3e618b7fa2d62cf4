"""What `asrkit data validate` finds, and what more can be told of the same reading of the audio."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from asrkit.data.audio import audio_digest
from asrkit.data.manifest import Utterance
from asrkit.data.validate import Problem, validate
from asrkit.doctor.finding import Case, Finding, Severity, excerpt, utterances
from asrkit.doctor.sound import Sound, SoundMeter


@dataclass
class Hearing:
    """Reads the audio of a corpus once, for whoever wants to know something of it.

    Attributes
    ----------
    sounds
        What was measured of each utterance that could be read.
    digests
        A hash of the samples of each.
    problems
        Of `asrkit.data.validate`.
    """

    sounds: dict[Utterance, Sound] = field(default_factory=dict)
    digests: dict[Utterance, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def of(cls, splits: Mapping[str, Sequence[Utterance]]) -> Hearing:
        """Hear all utterances."""
        hearing = cls()
        hearing.problems = validate(splits, None, hearing._hear)
        return hearing

    def _hear(self, utterance: Utterance) -> str:
        meter = SoundMeter()
        place = (utterance.audio_path, utterance.offset_s, utterance.duration_s)
        digest = audio_digest(*place, meter.hear)
        self.sounds[utterance] = meter.result()
        self.digests[utterance] = digest
        return digest


@dataclass(frozen=True)
class _Kind:
    severity: Severity
    message: str
    expected: str
    remedy: str


_KINDS = {
    "empty-split": _Kind("error", "no utterances", "some", "name a manifest that has some"),
    "missing-audio": _Kind(
        "error",
        "no audio file, so that training would stop",
        "a file for each",
        "correct audio_filepath, or leave them out",
    ),
    "unreadable-audio": _Kind(
        "error",
        "audio that cannot be decoded, so that training would stop",
        "whole audio files",
        "copy them again, or leave them out",
    ),
    "wrong-duration": _Kind(
        "warning",
        "declared to last longer or shorter than the file",
        "durations within 0.1 s",
        "correct duration and offset, or leave duration out",
    ),
    "shared-id": _Kind(
        "error", "the id of an utterance in another split", "ids of their own", "rename them"
    ),
    "duplicate-id": _Kind(
        "error", "the id of another utterance", "ids of their own", "rename them"
    ),
    "shared-audio": _Kind(
        "error",
        "a leak: audio that is in another split too, so that scores are too good to be true",
        "no audio in two splits",
        "leave them out of one of the two, of training if it is that",
    ),
    "duplicate-audio": _Kind(
        "warning", "the audio of another utterance", "each recording once", "leave one of them out"
    ),
    "shared-speaker": _Kind(
        "warning",
        "speakers who are in training too (the first utterance of each)",
        "other speakers in each split, unless scores are to be of known voices",
        "split by speaker",
    ),
}
_REFUSED = _Kind(
    "error",
    "beyond the end of the file, which is refused before training",
    "stretches within the file",
    "correct duration and offset",
)
_NOT_OF_TRAINING = _Kind(
    "note",
    "speakers who are in dev and test (the first utterance of each)",
    "other speakers in each split, unless it is known",
    "nothing, if settings are not tuned to dev",
)


def examine_corpus(
    splits: Mapping[str, Sequence[Utterance]],
    hearing: Hearing,
    refused: Collection[Utterance] = (),
) -> Iterator[Finding]:
    """Tell what is wrong with files, ids and speakers, and what is there twice.

    Parameters
    ----------
    splits
    hearing
        Of these splits.
    refused
        Utterances that the prepare stage would refuse for their duration.
    """
    known = {(split, u.utt_id): u for split, whole in splits.items() for u in whole}
    grouped: dict[_Kind, list[Case]] = defaultdict(list)
    kinds: dict[_Kind, str] = {}
    for problem in hearing.problems:
        utterance = known.get((problem.split, problem.utt_id))
        kind = _KINDS[problem.kind]
        if problem.kind == "wrong-duration" and utterance in refused:
            kind = _REFUSED
        if problem.kind == "shared-speaker" and not _is_of_training(problem, splits):
            kind = _NOT_OF_TRAINING
        kinds[kind] = problem.kind
        path = utterance.audio_path if utterance else None
        value = problem.message.removeprefix(f"{problem.split}: ")
        grouped[kind].append(Case(problem.split, problem.utt_id, path, value))
    for kind, found in grouped.items():
        involved = sorted({case.split for case in found})
        cases = [case for case in found if case.utt_id]  # an empty split has none
        counted = f"{utterances(len(cases))} of " if cases else ""
        yield Finding(
            kind.severity,
            kinds[kind],
            f"{kind.message}: {counted}{', '.join(involved)}",
            kind.expected,
            kind.remedy,
            cases,
        )
    yield from _examine_contradictions(splits, hearing)
    yield from _examine_shared_texts(splits)


def _is_of_training(problem: Problem, splits: Mapping[str, Sequence[Utterance]]) -> bool:
    """Tell whether the speaker whom several splits share is one of training's."""
    speakers = {u.speaker for u in splits[problem.split] if u.utt_id == problem.utt_id}
    return any(utterance.speaker in speakers for utterance in splits["train"])


def _examine_contradictions(
    splits: Mapping[str, Sequence[Utterance]], hearing: Hearing
) -> Iterator[Finding]:
    """Look for the same audio under different transcripts."""
    of_digest: dict[str, list[tuple[str, Utterance]]] = defaultdict(list)
    for split, whole in splits.items():
        for utterance in whole:
            if utterance in hearing.digests:
                of_digest[hearing.digests[utterance]].append((split, utterance))
    cases = [
        Case.of(split, utterance, excerpt(utterance.text))
        for users in of_digest.values()
        if len({" ".join(utterance.text.split()) for _, utterance in users}) > 1
        for split, utterance in users
    ]
    if cases:
        yield Finding(
            "warning",
            "contradicting-transcripts",
            f"the same audio under different transcripts, of which one is wrong: "
            f"{utterances(len(cases))}",
            "one transcript for one recording",
            "listen, and keep the right one",
            cases,
        )


def _examine_shared_texts(splits: Mapping[str, Sequence[Utterance]]) -> Iterator[Finding]:
    trained = {" ".join(utterance.text.split()) for utterance in splits["train"]} - {""}
    for split, whole in splits.items():
        cases = [
            Case.of(split, utterance, excerpt(utterance.text))
            for utterance in whole
            if split != "train" and " ".join(utterance.text.split()) in trained
        ]
        if cases:
            yield Finding(
                "note",
                "shared-text",
                f"transcripts that are in training too: {utterances(len(cases))} of {len(whole)} "
                f"of {split}",
                "for commands all, for free speech few",
                "nothing, unless the score is to be of unseen sentences",
                cases,
            )
