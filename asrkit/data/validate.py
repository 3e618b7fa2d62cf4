"""Everything about the data that is better known before training than after."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from asrkit.data.audio import audio_digest, audio_duration_s
from asrkit.data.manifest import Utterance
from asrkit.data.tokens import TokenTable
from asrkit.errors import AudioError, TokenError
from asrkit.progress import CountProgress

# Manifests round durations, and programs count the padding of MP3 differently.
_TOLERANCE_S = 0.1

# Speakers often are in several splits on purpose.
WARNINGS = frozenset({"shared-speaker"})


@dataclass(frozen=True)
class Problem:
    """Something wrong with an utterance, or with a whole split if `utt_id` is empty.

    Attributes
    ----------
    kind : str
        `empty-split`, `missing-audio`, `unreadable-audio`, `wrong-duration`, `unknown-symbol`,
        `duplicate-id`, `duplicate-audio`, or between splits `shared-id`, `shared-audio`,
        `shared-speaker`.
    utt_id : str
    message : str
        Opens with the split.
    split : str
    """

    kind: str
    utt_id: str
    message: str
    split: str = field(default="", compare=False)

    @property
    def is_warning(self) -> bool:
        """Whether it may well be intended."""
        return self.kind in WARNINGS


@dataclass(frozen=True, eq=False)
class _Entry:
    split: str
    utterance: Utterance

    @property
    def place(self) -> str:
        return f"utterance {self.utterance.utt_id} of {self.split}"


def digest_of_utterance(utterance: Utterance) -> str:
    """Give a short hash of an utterance's samples, or raise AudioError."""
    return audio_digest(utterance.audio_path, utterance.offset_s, utterance.duration_s)


def validate(
    splits: Mapping[str, Sequence[Utterance]],
    tokens: TokenTable | None,
    digest: Callable[[Utterance], str] = digest_of_utterance,
) -> list[Problem]:
    """Look for faults of utterances, repetitions within a split and leaks between splits.

    All audio is decoded, so that damage is found wherever it is, and so that the same recording is
    recognised under two names or in two formats.

    Parameters
    ----------
    splits : mapping of str to sequence of Utterance
        By name.
    tokens : TokenTable or None
        The symbols that transcripts may hold; None does not look at them.
    digest : callable
        Decodes an utterance; in several threads at once.

    Returns
    -------
    list of Problem
        The same list for the same data; empty if they are sound.
    """
    entries = [_Entry(split, utt) for split, utterances in splits.items() for utt in utterances]
    digests: dict[_Entry, str] = {}
    return [
        *(
            Problem("empty-split", "", f"{s}: no utterances", s)
            for s, utts in splits.items()
            if not utts
        ),
        *_check_audio(entries, digests, digest),
        *_check_transcripts(entries, tokens),
        *_find_repeated_ids(entries),
        *_find_repeated_audio(entries, digests),
        *_find_shared_speakers(entries),
    ]


def _check_audio(
    entries: Sequence[_Entry], digests: dict[_Entry, str], digest_of: Callable[[Utterance], str]
) -> Iterator[Problem]:
    """Decode every utterance; note the digests of those that can be."""
    num_users = Counter(entry.utterance.audio_path for entry in entries)

    def inspect(entry: _Entry) -> tuple[str | None, Problem | None]:
        is_alone = num_users[entry.utterance.audio_path] == 1
        return _inspect(entry, is_alone, digest_of)

    progress = CountProgress("checking audio", len(entries))
    with progress, ThreadPoolExecutor(os.cpu_count()) as pool:
        for entry, (digest, problem) in zip(entries, pool.map(inspect, entries), strict=True):
            progress.advance()
            if digest is not None:
                digests[entry] = digest
            if problem is not None:
                yield problem


def _inspect(
    entry: _Entry, is_alone: bool, digest_of: Callable[[Utterance], str]
) -> tuple[str | None, Problem | None]:
    utt = entry.utterance
    if not utt.audio_path.exists():
        message = f"{entry.split}: {utt.audio_path} does not exist"
        return None, Problem("missing-audio", utt.utt_id, message, entry.split)
    try:
        length_s = audio_duration_s(utt.audio_path)
        end_s = utt.offset_s + utt.duration_s
        declared = (
            f"{entry.split}: {utt.duration_s:.6g} s from {utt.offset_s:.6g} s are declared, but "
            f"{utt.audio_path} lasts {length_s:.6g} s"
        )
        if end_s > length_s + _TOLERANCE_S:
            return None, Problem("wrong-duration", utt.utt_id, declared, entry.split)
        digest = digest_of(utt)
    except AudioError as error:
        message = f"{entry.split}: {error}"
        return None, Problem("unreadable-audio", utt.utt_id, message, entry.split)
    if is_alone and utt.offset_s == 0 and end_s < length_s - _TOLERANCE_S:
        return digest, Problem("wrong-duration", utt.utt_id, declared, entry.split)
    return digest, None


def _check_transcripts(entries: Sequence[_Entry], tokens: TokenTable | None) -> Iterator[Problem]:
    if tokens is None:
        return
    for entry in entries:
        try:
            tokens.encode(entry.utterance.text)
        except TokenError as error:
            message = f"{entry.split}: {error}"
            yield Problem("unknown-symbol", entry.utterance.utt_id, message, entry.split)


def _find_repeated_ids(entries: Sequence[_Entry]) -> Iterator[Problem]:
    first: dict[str, _Entry] = {}
    for entry in entries:
        utt_id = entry.utterance.utt_id
        earlier = first.setdefault(utt_id, entry)
        if earlier.split != entry.split:
            message = f"{entry.split}: the id is also in {earlier.split}"
            yield Problem("shared-id", utt_id, message, entry.split)
        elif earlier is not entry:
            message = f"{entry.split}: the id occurs twice"
            yield Problem("duplicate-id", utt_id, message, entry.split)


def _find_repeated_audio(
    entries: Sequence[_Entry], digests: Mapping[_Entry, str]
) -> Iterator[Problem]:
    """Find audio that is used twice: in one file, or by content where the files differ."""
    by_file: dict[Path, list[_Entry]] = defaultdict(list)
    for entry in entries:
        by_file[entry.utterance.audio_path].append(entry)
    repeated: dict[_Entry, _Entry] = {}
    for users in by_file.values():
        repeated |= _find_repeated_stretches(users)
    first: dict[str, _Entry] = {}
    for entry, digest in digests.items():
        earlier = first.setdefault(digest, entry)
        if earlier is not entry:
            repeated.setdefault(entry, earlier)
    for entry in entries:
        if entry in repeated:
            earlier = repeated[entry]
            kind = "duplicate-audio" if earlier.split == entry.split else "shared-audio"
            message = f"{entry.split}: the audio is also that of {earlier.place}"
            yield Problem(kind, entry.utterance.utt_id, message, entry.split)


def _find_repeated_stretches(users: Sequence[_Entry]) -> dict[_Entry, _Entry]:
    """Pair utterances of one file that start together, or overlap and are of two splits."""
    repeated: dict[_Entry, _Entry] = {}
    first_at: dict[float, _Entry] = {}
    furthest: dict[str, _Entry] = {}  # of each split, the utterance that reaches furthest so far
    for entry in sorted(users, key=lambda entry: entry.utterance.offset_s):
        start_s = entry.utterance.offset_s
        for split, earlier in furthest.items():
            if split != entry.split and _end_s(earlier) > start_s + _TOLERANCE_S:
                repeated[entry] = earlier
        if first_at.setdefault(start_s, entry) is not entry:
            repeated[entry] = first_at[start_s]
        if entry.split not in furthest or _end_s(entry) > _end_s(furthest[entry.split]):
            furthest[entry.split] = entry
    return repeated


def _end_s(entry: _Entry) -> float:
    return entry.utterance.offset_s + entry.utterance.duration_s


def _find_shared_speakers(entries: Sequence[_Entry]) -> Iterator[Problem]:
    splits_of: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        speaker = entry.utterance.speaker
        splits = splits_of[speaker]
        if not speaker or entry.split in splits:
            continue
        if splits:
            message = f"{entry.split}: speaker {speaker} is also in {', '.join(splits)}"
            yield Problem("shared-speaker", entry.utterance.utt_id, message, entry.split)
        splits.append(entry.split)
