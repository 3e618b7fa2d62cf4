"""Targets of sound and of lists of utterances."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from asrkit.data.audio import audio_digest, audio_duration_s, read_audio
from asrkit.data.kaldi import read_kaldi_dir
from asrkit.data.manifest import Utterance, read_manifest, write_manifest
from asrkit.data.table import read_table
from asrkit.errors import AudioError
from asrkit.lm.text import read_lines
from asrkit.transcribe.align_inputs import find_recordings
from fuzzing.structures import Parts, join_ogg, split_ogg
from fuzzing.target import INPUT, Target

TONE = "tone.wav"
"""A sound in the working directory that is not damaged."""
_RATE_HZ = 8000
_FORMATS = {
    "wav": ("WAV", ("PCM_16", "PCM_U8", "PCM_24", "FLOAT", "IMA_ADPCM", "MS_ADPCM", "GSM610")),
    "wavex": ("WAVEX", ("PCM_16", "DOUBLE")),
    "rf64": ("RF64", ("PCM_16",)),
    "w64": ("W64", ("PCM_16",)),
    "flac": ("FLAC", ("PCM_16", "PCM_24")),
    "ogg": ("OGG", ("VORBIS", "OPUS")),
    "mp3": ("MP3", ("MPEG_LAYER_III",)),
    "aiff": ("AIFF", ("PCM_16", "FLOAT", "ALAW")),
    "au": ("AU", ("PCM_16", "ULAW", "G721_32")),
    "sphere": ("NIST", ("PCM_16", "ULAW")),
    "caf": ("CAF", ("PCM_16", "ALAC_16")),
}  # fmt: skip
_SPAN_S = 0.05


def write_tone() -> None:
    """Write the sound that manifests and tables refer to, into the working directory."""
    soundfile.write(TONE, _tone(1), _RATE_HZ)


def _tone(num_channels: int) -> np.ndarray:
    time_s = np.arange(_RATE_HZ // 8) / _RATE_HZ
    wave = 0.5 * np.sin(2 * np.pi * 440 * time_s) + 0.05 * np.sin(2 * np.pi * 1234.5 * time_s)
    return np.stack([wave] * num_channels, axis=1)


def _sounds(name: str) -> list[Parts]:
    container, subtypes = _FORMATS[name]
    found = []
    for subtype in subtypes:
        for num_channels in (1, 2):
            if num_channels == 2 and subtype in ("GSM610", "G721_32"):
                continue
            buffer = io.BytesIO()
            soundfile.write(
                buffer, _tone(num_channels), _RATE_HZ, format=container, subtype=subtype
            )
            content = buffer.getvalue()
            found.append(split_ogg(content) if name == "ogg" else {f"sound.{name}": content})
    return found


def _read_sound(folder: Path) -> None:
    (path,) = folder.iterdir()
    assert audio_duration_s(path) > 0
    audio = read_audio(path, 16000)
    assert audio.samples.dtype == np.float32
    assert audio.samples.ndim == 1
    assert len(audio.samples) > 0
    assert np.isfinite(audio.samples).all()
    assert len(audio_digest(path)) == 32
    with contextlib.suppress(AudioError):  # some codings cannot be entered midway
        assert len(read_audio(path, 16000, _SPAN_S, _SPAN_S).samples) > 0


def _manifests() -> list[Parts]:
    tone = (Path(INPUT) / ".." / TONE).absolute()
    utterances = [
        Utterance("ann-1", tone, 0.125, "call me back", 0.0, "ann"),
        Utterance("bob_2", tone, 0.05, "größer ni hao", 0.0625, "bob"),
        Utterance("3", tone, 0.1, ""),
    ]
    path = Path(INPUT) / "made.jsonl"
    write_manifest(path, utterances)
    written = path.read_bytes()
    path.unlink()
    nemo = f'{{"audio_filepath": "../{TONE}", "text": "i", "lang": "en", "offset": 0.05}}\n'
    return [{"x.jsonl": written}, {"x.jsonl": nemo.encode()}]


def _use_utterances(utterances: list[Utterance], folder: Path) -> None:
    """Write them as a manifest and read them back: they must be the same."""
    copy = folder / "copy.jsonl"
    write_manifest(copy, utterances)
    assert read_manifest(copy) == utterances
    assert sum(len(lines.content) for lines in read_lines(copy)) >= 0


def _read_manifest(folder: Path) -> None:
    _use_utterances(read_manifest(folder / "x.jsonl"), folder)
    find_recordings(folder / "x.jsonl", None)


def _tables() -> list[Parts]:
    header = ("path", "sentence", "id", "speaker", "duration", "offset", "age")
    rows = [
        (f"../{TONE}", "call me back", "ann-1", "ann", "0.1", "", "30"),
        (f"../{TONE}", "größer", "bob_2", "bob", "", "0.05", ""),
    ]
    commas = "\n".join(",".join(f'"{cell}"' for cell in row) for row in (header, *rows)) + "\n"
    tabs = "\n".join("\t".join(row) for row in (header, *rows)) + "\n"
    return [{"x.csv": commas.encode()}, {"x.csv": tabs.encode()}]


def _read_table(folder: Path) -> None:
    _use_utterances(read_table(folder / "x.csv"), folder)


def _kaldi_folders() -> list[Parts]:
    whole = {
        "wav.scp": f"ann-1 {TONE}\nbob-2 ./{TONE}\n",
        "text": "ann-1 call me back\nbob-2\n",
        "utt2spk": "ann-1 ann\nbob-2 bob\n",
    }
    cut = {
        "wav.scp": f"r1 {TONE}\n",
        "segments": "ann-1 r1 0.0 0.1\nbob-2 r1 0.05 -1\ncat-3 r1 1e-2 0.12\n",
        "text": "ann-1 call me back\nbob-2 größer\ncat-3 a b\n",
        "utt2spk": "ann-1 ann\nbob-2 bob\ncat-3 cat\n",
    }
    return [{name: content.encode() for name, content in each.items()} for each in (whole, cut)]


def _read_kaldi(folder: Path) -> None:
    _use_utterances(read_kaldi_dir(folder), folder)


def _sound_target(name: str) -> Target:
    seeds: Callable[[], list[Parts]] = partial(_sounds, name)
    if name == "ogg":
        return Target(name, seeds, _read_sound, lambda parts: {"sound.ogg": join_ogg(parts)})
    return Target(name, seeds, _read_sound)


TARGETS = (
    *map(_sound_target, _FORMATS),
    Target("manifest", _manifests, _read_manifest, named_as=""),
    Target("table", _tables, _read_table, named_as=""),
    Target("kaldi", _kaldi_folders, _read_kaldi, named_as=""),
)
"""A manifest may name any file, and a refusal that one."""
