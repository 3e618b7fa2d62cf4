"""The one file that is a trained recogniser: weights, settings, tokens and a model card in a zip.

Nothing in it can run code: weights are safetensors, settings are TOML, the rest is text. It is read
in memory, member by member, each within a size limit, and nothing is unpacked.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from asrkit.config import settings_from_toml, settings_to_toml
from asrkit.data.tokens import TokenTable
from asrkit.errors import AsrkitError, ModelFileError, UsageError
from asrkit.files import write_atomically
from asrkit.nn.model import AcousticModel
from asrkit.nn.stored_weights import Storage, from_stored, to_stored
from asrkit.settings import DecodeSettings, Settings

FORMAT_VERSION = 1
_HEADER, _SETTINGS, _TOKENS = "asrkit.json", "settings.toml", "tokens.txt"
_WEIGHTS, _CARD, _PHONES = "weights.safetensors", "README.md", "phones.txt"
_MAX_BYTES = {
    _HEADER: 16 << 20,
    _SETTINGS: 1 << 20,
    _TOKENS: 16 << 20,
    _WEIGHTS: 4 << 30,
    _CARD: 1 << 20,
    _PHONES: 1 << 20,
}
_REQUIRED = _MAX_BYTES.keys() - {_PHONES}
_MAX_FRAME_SAMPLES, _MAX_MEL_BINS = 1 << 15, 1 << 10
"""Of features: the tables that follow from these are in no file, and need memory."""
_MAX_RATE_HZ, _MIN_SHIFT_MS = 192_000, 1.0
"""Likewise of the samples and frames that a second of sound becomes."""
_DAMAGE = (
    AsrkitError,
    SafetensorError,
    RuntimeError,
    TypeError,
    ValueError,
    KeyError,
    OverflowError,
)
"""What settings and weights that are not ours can raise before the model is there."""
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a constant time stamp: the same model gives the same bytes


@dataclass(frozen=True)
class Recognizer:
    """A trained model with all it takes to turn speech into text."""

    model: AcousticModel
    tokens: TokenTable
    settings: Settings
    """Of the recipe it was trained with; paths of its data and of earlier weights are left out.
    `decode` holds the defaults for decoding."""
    card: str
    """The model card, Markdown."""
    phones: TokenTable | None = None
    """What its second output layer emits, if it has one."""

    def table(self, decode: DecodeSettings) -> TokenTable:
        """Give the table of what a search reads.

        Raises
        ------
        UsageError
            If that is phones, and the model has none.
        """
        if not decode.reads_phones:
            return self.tokens
        if self.phones is None:
            raise UsageError(
                'decode.reads = "phones", but the model was trained without model.phone_layer; '
                "leave it out, or name another model"
            )
        return self.phones

    @property
    def num_weights(self) -> int:
        """Trainable numbers."""
        return sum(parameter.numel() for parameter in self.model.parameters())


def save_recognizer(path: Path, recognizer: Recognizer, storage: Storage = "float32") -> None:
    """Write a `.asr` file, atomically; the same recogniser always gives the same bytes.

    `storage` says how its weights are rounded to save space; `load_recognizer` gives float32.
    """
    places = ("root", "train", "dev", "test", "lexicon")
    data = recognizer.settings.data.model_copy(update={**dict.fromkeys(places, ""), "text": ()})
    train = recognizer.settings.train.model_copy(update={"initial_weights": ()})
    settings = recognizer.settings.model_copy(update={"data": data, "train": train})
    header = {
        "format": "asrkit model",
        "version": FORMAT_VERSION,
        "speakers": recognizer.model.normalizer.speaker_names,
    }
    members = {
        _HEADER: json.dumps(header, indent=1).encode(),
        _CARD: recognizer.card.encode(),
        _SETTINGS: settings_to_toml(settings).encode(),
        _TOKENS: recognizer.tokens.to_text().encode(),
        **({_PHONES: recognizer.phones.to_text().encode()} if recognizer.phones else {}),
        _WEIGHTS: save(to_stored(recognizer.model, storage)),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    write_atomically(path, buffer.getvalue())


def load_recognizer(path: Path) -> Recognizer:
    """Read a `.asr` file onto the CPU, ready to recognise.

    Raises
    ------
    ModelFileError
        If it is missing, damaged, incomplete, larger inside than a model can be, or of a format
        that this version does not know.
    """
    members = _read_members(path)
    try:
        header = json.loads(members[_HEADER])
        version = header["version"]
        speakers = [str(name) for name in header["speakers"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{path}: {_HEADER} is damaged: {error}") from error
    if version != FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: format version {version}; this asrkit reads version {FORMAT_VERSION}; "
            "install the asrkit that wrote it"
        )
    try:
        settings = settings_from_toml(members[_SETTINGS].decode(), f"{path}: {_SETTINGS}")
        tokens = TokenTable.from_text(members[_TOKENS].decode(), settings.data.unit)
        phones = None
        if bool(settings.model.phone_layer) != (_PHONES in members):
            raise ModelFileError(
                f"model.phone_layer = {settings.model.phone_layer}, but there is "
                f"{'a' if _PHONES in members else 'no'} {_PHONES}"
            )
        if settings.model.phone_layer:
            phones = TokenTable.from_text(members[_PHONES].decode(), "phone")
        weights = from_stored(load(members[_WEIGHTS]))
        _check_sizes(settings, weights)
        # Shapes are compared before there is memory for what the settings declare.
        num_phones = len(phones or ())
        model = AcousticModel(settings, len(tokens), speakers, "meta", num_phones)
        model.load_state_dict(weights, assign=True)
        card = members[_CARD].decode()
    except _DAMAGE as error:
        raise ModelFileError(f"{path}: damaged: {error}") from error
    model.eval()
    return Recognizer(model, tokens, settings, card, phones)


def _check_sizes(settings: Settings, weights: Mapping[str, Tensor]) -> None:
    """Refuse settings that would take much memory or time before the weights are looked at."""
    features, rate_hz = settings.features, settings.data.sample_rate_hz
    if rate_hz > _MAX_RATE_HZ or features.frame_shift_ms < _MIN_SHIFT_MS:
        raise ModelFileError(
            f"{rate_hz} samples a second and a frame every {features.frame_shift_ms:g} ms; "
            f"expected at most {_MAX_RATE_HZ} and at least {_MIN_SHIFT_MS:g}"
        )
    frame_samples = features.frame_length_ms / 1000 * rate_hz
    if frame_samples > _MAX_FRAME_SAMPLES or features.num_mel_bins > _MAX_MEL_BINS:
        raise ModelFileError(
            f"frames of {frame_samples:.0f} samples and {features.num_mel_bins} filters; expected "
            f"at most {_MAX_FRAME_SAMPLES} and {_MAX_MEL_BINS}"
        )
    if settings.model.num_layers > len(weights):
        raise ModelFileError(
            f"{settings.model.num_layers} layers, but {len(weights)} tensors of weights"
        )


def sha256_of(path: Path) -> str:
    """Fingerprint of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_members(path: Path) -> dict[str, bytes]:
    if not path.is_file():
        raise ModelFileError(f"{path}: there is no such model file")
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(archive.namelist())
            if not _REQUIRED <= {*names} <= _MAX_BYTES.keys() or len(set(names)) < len(names):
                raise ModelFileError(
                    f"{path}: not an asrkit model: it holds {', '.join(names) or 'nothing'}; "
                    f"expected {', '.join(sorted(_REQUIRED))}"
                )
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ModelFileError(
                    f"{path}: not written by asrkit: its members are compressed, and a small file "
                    "could unpack to fill the memory; refused"
                )
            for member in archive.infolist():
                _check_size(member, path)
            return {name: archive.read(name) for name in names}
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, ValueError) as error:
        raise ModelFileError(f"{path}: not a readable model file: {error}") from error


def _check_size(member: zipfile.ZipInfo, path: Path) -> None:
    """Refuse a member before there is memory for what it declares."""
    limit, num_bytes = _MAX_BYTES[member.filename], path.stat().st_size
    if member.file_size > limit:
        raise ModelFileError(f"{path}: {member.filename} is larger than {limit} bytes; refused")
    if max(member.file_size, member.compress_size) > num_bytes:
        raise ModelFileError(
            f"{path}: not a readable model file: {member.filename} declares {member.file_size} "
            f"bytes, the file has {num_bytes}; copy or download it again"
        )
