"""Recordings that cannot be right: silent, clipped, shifted, or of less than their sample rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from asrkit.data.manifest import Utterance
from asrkit.doctor.finding import Case, Finding, excerpt, utterances
from asrkit.doctor.sound import Sound

SILENT_DB = -60.0
"""Of full scale; quiet speech is 20 dB louder."""
STEADY_DB = 3.0
"""Speech comes and goes by 20 dB and more; noise and hum do not."""
CLIPPED_SHARE = 0.002
UNRELATED_SHARE = 0.02
OFFSET = 0.01
LOWER_RATES_HZ = (8000, 11025, 16000, 22050, 32000)
"""Sample rates that recordings are converted from without telling."""
_ROLL_OFF = 1.05
"""A resampling filter lets through a little beyond half the old rate."""
MANY_SHARE = 0.05

Heard = Sequence[tuple[str, Utterance, Sound]]


def examine_recordings(
    splits: Mapping[str, Sequence[Utterance]],
    sounds: Mapping[Utterance, Sound],
    sample_rate_hz: int,
) -> Iterator[Finding]:
    """Judge the sound of utterances, of those that could be read.

    Parameters
    ----------
    splits
    sounds
        What was measured of each.
    sample_rate_hz
        At which the model hears.
    """
    heard = [
        (split, utterance, sounds[utterance])
        for split, whole in splits.items()
        for utterance in whole
        if utterance in sounds
    ]
    for judge in (_silence, _steadiness, _misread, _clipping, _offset):
        yield from judge(heard)
    yield from _bandwidth(heard, sample_rate_hz)
    yield from _rates(heard, sample_rate_hz)


def _silence(heard: Heard) -> Iterator[Finding]:
    cases = _cases(
        heard,
        lambda sound: sound.loud_db < SILENT_DB,
        lambda u, sound: f"never above {sound.loud_db:.0f} dB of full scale: {excerpt(u.text)}",
    )
    if cases:
        yield Finding(
            "warning",
            "silent-audio",
            f"nothing but silence: {utterances(len(cases))}",
            f"a level above {SILENT_DB:.0f} dB of full scale somewhere",
            "record them again, correct offset and duration, or leave them out",
            cases,
        )


def _steadiness(heard: Heard) -> Iterator[Finding]:
    cases = _cases(
        heard,
        lambda sound: sound.loud_db >= SILENT_DB and sound.loud_db - sound.quiet_db < STEADY_DB,
        lambda u, sound: (
            f"between {sound.quiet_db:.0f} and {sound.loud_db:.0f} dB throughout: {excerpt(u.text)}"
        ),
    )
    if cases:
        yield Finding(
            "warning",
            "steady-audio",
            f"the same level throughout, as noise or a tone has: {utterances(len(cases))}",
            "speech, whose level rises and falls by 20 dB",
            "listen to them; leave them out if nobody speaks",
            cases,
        )


def _misread(heard: Heard) -> Iterator[Finding]:
    cases = _cases(
        heard,
        lambda sound: (
            sound.unrelated_share > UNRELATED_SHARE and sound.clipped_share <= CLIPPED_SHARE
        ),
        lambda _, sound: f"{100 * sound.unrelated_share:.2g} % of the time it is full-scale noise",
    )
    if cases:
        yield Finding(
            "warning",
            "misread-samples",
            "loud noise in which no sample tells anything of the next, as where a byte is lost or "
            f"the order of bytes is wrong: {utterances(len(cases))}",
            f"less than {100 * UNRELATED_SHARE:g} % of such noise",
            "listen to them; get the files anew, copied as bytes and not as text, or leave them "
            "out",
            cases,
        )


def _clipping(heard: Heard) -> Iterator[Finding]:
    cases = _cases(
        heard,
        lambda sound: sound.clipped_share > CLIPPED_SHARE,
        lambda _, sound: f"{100 * sound.clipped_share:.2g} % of the samples are cut off",
    )
    if cases:
        yield Finding(
            "warning",
            "clipped-audio",
            f"clipped, as by a recorder set too loud: {utterances(len(cases))}",
            f"at most {100 * CLIPPED_SHARE:g} % of the samples in flat tops",
            "find the originals, or record at a lower level",
            cases,
        )


def _offset(heard: Heard) -> Iterator[Finding]:
    cases = _cases(
        heard,
        lambda sound: abs(sound.offset) > OFFSET,
        lambda _, sound: f"the samples' mean is {sound.offset:+.3g} of full scale",
    )
    if cases:
        yield Finding(
            "note",
            "dc-offset",
            f"samples that are not centred on zero: {utterances(len(cases))}; features do without "
            "the mean of each frame, but what recorded them may be faulty",
            f"a mean within {OFFSET:g} of full scale",
            "nothing, if they sound well",
            cases,
        )


def _bandwidth(heard: Heard, sample_rate_hz: int) -> Iterator[Finding]:
    """Look for what was once sampled at a lower rate than the model's."""
    cases: list[Case] = []
    counts: Counter[int] = Counter()
    for split, utterance, sound in heard:
        audible_hz = min(sound.sample_rate_hz, sample_rate_hz) / 2
        if sound.loud_db < SILENT_DB:
            continue
        for rate_hz in LOWER_RATES_HZ:
            if rate_hz / 2 < audible_hz and sound.band_hz < _ROLL_OFF * rate_hz / 2:
                counts[rate_hz] += 1
                value = f"{sound.sample_rate_hz} Hz, nothing above {sound.band_hz:.0f} Hz"
                cases.append(Case.of(split, utterance, value))
                break
    if not cases:
        return
    is_all = len(cases) == len(heard)
    was = ", ".join(f"{rate_hz} Hz: {count}" for rate_hz, count in sorted(counts.items()))
    yield Finding(
        "warning" if len(cases) >= MANY_SHARE * len(heard) else "note",
        "narrow-band",
        f"sampled or coded at a lower rate than the files say: {utterances(len(cases))} of "
        f"{len(heard)} (at most {was})",
        f"sound up to {sample_rate_hz / 2:.0f} Hz, half of data.sample_rate_hz",
        f"set data.sample_rate_hz = {max(counts)}: there is nothing to hear above"
        if is_all
        else "find the originals; if a model is to hear both kinds, set "
        "augment.telephone_probability or augment.low_pass_hz",
        cases,
    )


def _rates(heard: Heard, sample_rate_hz: int) -> Iterator[Finding]:
    """Look for files of a lower rate than the model's, and for several rates."""
    counts = Counter(sound.sample_rate_hz for _, _, sound in heard)
    lower = _cases(
        heard,
        lambda sound: sound.sample_rate_hz < sample_rate_hz,
        lambda _, sound: f"{sound.sample_rate_hz} Hz",
    )
    if lower:
        yield Finding(
            "warning",
            "low-sample-rate",
            f"a lower sample rate than the model's: {utterances(len(lower))} of {len(heard)}; they "
            "are converted, but the upper part of their spectrum stays empty",
            f"at least data.sample_rate_hz = {sample_rate_hz}",
            f"set data.sample_rate_hz = {min(counts)}, which suits all of them",
            lower,
        )
    elif len(counts) > 1:
        found = ", ".join(f"{rate_hz} Hz: {count}" for rate_hz, count in sorted(counts.items()))
        yield Finding(
            "note",
            "several-sample-rates",
            f"the utterances have {len(counts)} sample rates ({found}); all are converted",
            "one rate, as they would from one source",
            "nothing, if that is intended",
        )


def _cases(
    heard: Heard,
    is_one: Callable[[Sound], bool],
    value: Callable[[Utterance, Sound], str],
) -> list[Case]:
    return [
        Case.of(split, utterance, value(utterance, sound))
        for split, utterance, sound in heard
        if is_one(sound)
    ]
