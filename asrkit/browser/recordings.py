"""Where the audio of utterances lies, as a manifest tells it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import soundfile

from asrkit.data.audio import Audio, read_audio
from asrkit.data.manifest import check_unique, read_objects, utterance_from_fields
from asrkit.errors import ManifestError


@dataclass(frozen=True, slots=True)
class Recording:
    """A stretch of an audio file, and who speaks in it."""

    audio_path: Path
    offset_s: float
    duration_s: float | None
    """None is to the end of the file."""
    speaker: str

    def read(self, sample_rate_hz: int) -> Audio:
        """Read it as mono samples of this rate; raises AudioError as `read_audio`."""
        return read_audio(self.audio_path, sample_rate_hz, self.offset_s, self.duration_s)


def is_manifest(path: Path) -> bool:
    """Tell whether a file of references says where their audio is."""
    try:
        _, fields = next(read_objects(path), ("", {}))
    except ManifestError:
        return False
    return bool(fields.get("audio_filepath"))


def read_recordings(manifest: Path) -> dict[str, Recording]:
    """Read where the utterances of a manifest are, keyed by utterance id.

    No audio file is opened: one that is missing is found when it is read. Lines that name none are
    passed over.

    Raises
    ------
    ManifestError
        If the manifest cannot be read, a line is malformed, two utterances have the same id, or no
        line names an audio file.
    """
    folder = manifest.absolute().parent
    numbered, recordings = [], {}
    for where, fields in read_objects(manifest):
        if not fields.get("audio_filepath"):
            continue
        lasts = fields.get("duration") is not None
        # Any duration keeps the header of the file from being read for it.
        known = fields if lasts else {**fields, "duration": 1.0}
        utterance = utterance_from_fields(known, folder, where)
        numbered.append((where, utterance))
        recordings[utterance.utt_id] = Recording(
            utterance.audio_path,
            utterance.offset_s,
            utterance.duration_s if lasts else None,
            utterance.speaker,
        )
    check_unique(numbered)
    if not recordings:
        raise ManifestError(
            f"{manifest}: names no audio; expected a manifest: an object a line with utt_id and "
            "audio_filepath"
        )
    return recordings


def to_flac(audio: Audio) -> bytes:
    """Compress samples without loss, as 16 bits.

    FLAC takes half the room of PCM, every browser decodes it (Safari since version 11, but Opus in
    Ogg since 18.4 only), and it has no encoder's delay that would shift times, as MP3 has.
    """
    buffer = io.BytesIO()
    soundfile.write(buffer, audio.samples, audio.sample_rate_hz, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
