"""Make the page of a score: its data, and the sound of its worst utterances."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from asrkit.browser.data import score_data, sides_of, worst_first
from asrkit.browser.page import render_page
from asrkit.browser.recordings import Recording, to_flac
from asrkit.browser.spectrogram import spectrogram_png
from asrkit.errors import AudioError
from asrkit.score.report import ScoreReport

if TYPE_CHECKING:  # without a model there is no need of torch
    from asrkit.browser.posteriors import Listener

DEFAULT_AUDIO_UTTERANCES = 50
MAX_AUDIO_S = 3600.0
"""Sound that a page may hold: an hour at 16 kHz takes some 90 MB, and a browser reads it whole."""
_SAMPLE_RATE_HZ = 16000


@dataclass(frozen=True)
class Source:
    """What a page is made of.

    Attributes
    ----------
    report : ScoreReport
    ref_name, hyp_name : str
        What to call its two sides.
    refs, hyps : mapping
        Transcripts as they were before the protocol, by utterance id.
    speakers : mapping
        Of utterances, where they are known.
    recordings : mapping
        Where utterances can be heard; empty if that is not known.
    listener : Listener or None
        Hears them.
    """

    report: ScoreReport
    ref_name: str
    hyp_name: str
    refs: Mapping[str, str]
    hyps: Mapping[str, str]
    speakers: Mapping[str, str] = field(default_factory=dict)
    recordings: Mapping[str, Recording] = field(default_factory=dict)
    listener: Listener | None = None


@dataclass(frozen=True)
class Page:
    """A page, and what has to be said about it.

    Attributes
    ----------
    content : bytes
        HTML.
    sound : str
        Whose audio is in it, and how there could be more.
    failures : dict
        Utterances whose audio should be in it and could not be read: id to message.
    remarks : list of str
        What the model could not do.
    """

    content: bytes
    sound: str
    failures: dict[str, str]
    remarks: list[str]


def sounding(source: Source, max_utterances: int | None) -> list[str]:
    """List the ids of the worst utterances that can be heard, worst first; None is all."""
    known = [utt_id for utt_id in worst_first(source.report) if utt_id in source.recordings]
    return known[:max_utterances]


def build_page(
    source: Source, max_utterances: int, advance: Callable[[], object] = lambda: None
) -> Page:
    """Make the page of a score.

    Parameters
    ----------
    source
        What it is made of.
    max_utterances
        The audio of so many, those with the most errors, is put in; as long as it is no more than
        `MAX_AUDIO_S` in all.
    advance
        Called after each of `sounding`.

    Raises
    ------
    UsageError
        If the model was not trained with CTC.
    """
    failures: dict[str, str] = {}
    remarks: list[str] = []
    sounds: dict[str, dict[str, Any]] = {}
    total_s, is_full = 0.0, False
    for utt_id in sounding(source, max_utterances):
        try:
            sound = _sound(source, utt_id)
        except AudioError as error:
            failures[utt_id] = str(error)
            sounds[utt_id] = {"problem": str(error)}
        else:
            if total_s + sound["duration_s"] > MAX_AUDIO_S:
                is_full = True
            else:
                total_s += sound["duration_s"]
                sounds[utt_id] = sound
                remarks += _problems(utt_id, sound)
        advance()
    num_heard = len(sounds) - len(failures)
    said = _say(source, num_heard, total_s, is_full, max_utterances)
    data = {
        **score_data(source.report, source.ref_name, source.hyp_name, source.speakers),
        "sound": said,
        "model": source.listener.name if source.listener else "",
        "symbols": source.listener.symbols if source.listener else [],
        "sounds": sounds,
    }
    title = f"{source.hyp_name} against {source.ref_name}"
    return Page(render_page(data, title), said, failures, remarks)


def _sound(source: Source, utt_id: str) -> dict[str, Any]:
    recording, listener = source.recordings[utt_id], source.listener
    rate_hz = listener.sample_rate_hz if listener else _SAMPLE_RATE_HZ
    audio = recording.read(rate_hz)
    sound = {
        "duration_s": round(len(audio.samples) / rate_hz, 4),
        "sample_rate_hz": rate_hz,
        "flac": b64encode(to_flac(audio)).decode(),
        "spectrogram": b64encode(spectrogram_png(audio)).decode(),
    }
    if listener is None:
        return sound
    sides = sides_of(source.report, utt_id, source.refs[utt_id], source.hyps.get(utt_id, ""))
    tokenize = partial(source.report.protocol.apply, unit=source.report.unit)
    return sound | listener.hear(audio, recording.speaker, sides, tokenize)


def _problems(utt_id: str, sound: Mapping[str, Any]) -> Sequence[str]:
    names = {"ref": "reference", "hyp": "hypothesis"}
    return [
        f"{utt_id}: {name} not aligned: {sound[side]['problem']}"
        for side, name in names.items()
        if "problem" in sound.get(side, {})
    ]


def _say(source: Source, num_heard: int, total_s: float, is_full: bool, max_utterances: int) -> str:
    if not source.recordings:
        return (
            "no audio: the references are no manifest that says where it is; --audio MANIFEST "
            "adds sound and spectrograms, and --model MODEL posteriors and times"
        )
    num_utts, num_known = len(source.report.utterances), len(sounding(source, None))
    which = ", those with the most errors" if num_heard < num_known else ""
    said = f"audio of {num_heard} of {num_utts} utterances{which}: {_time(total_s)}"
    if max_utterances < num_known:
        said += "; --audio-utterances N puts in more"
    elif is_full:
        said += f"; a page holds {_time(MAX_AUDIO_S)} at most"
    if source.listener is None:
        said += "; --model MODEL adds posteriors and times"
    return said


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
