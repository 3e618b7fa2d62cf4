"""LibriSpeech (OpenSLR 12) as a training set and four sets to evaluate on.

See `README.md` beside this file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from asrkit.data.audio import audio_duration_s
from asrkit.data.corpus import Corpus
from asrkit.data.manifest import Utterance
from asrkit.errors import ConfigError, DataError
from asrkit.settings import DataSettings

_TRAIN = ("train-clean-100", "train-clean-360", "train-other-500")
_EVALUATION = {"dev": "dev-clean"} | {
    name: name for name in ("dev-other", "test-clean", "test-other")
}

_LAYOUT = "expected LibriSpeech/dev-clean/84/121123/84-121123-0000.flac beside 84-121123.trans.txt"
_GET = (
    "set the folder that holds LibriSpeech with --set data.root=FOLDER, or fetch it by "
    "`asrkit data download librispeech --help`"
)
_WORDS = re.compile(r"[a-z']+(?: [a-z']+)*")


def prepare(settings: DataSettings) -> Corpus:
    """Read LibriSpeech from `data.root`, which may be the folder of that name or its parent.

    Parameters
    ----------
    settings : DataSettings
        `root` and `train_subsets` are read; the latter names the training subsets to use, all
        three if it is empty.

    Returns
    -------
    Corpus
        Splits `train`, `dev` (dev-clean), `dev-other`, `test-clean` and `test-other`, as far as
        they are there; where dev-clean is absent, dev-other is `dev`. Texts are lower case. Notes
        tell what was found in each subset, and which subsets are absent.

    Raises
    ------
    ConfigError
        `data.root` is unset or no folder, or `data.train_subsets` names what does not exist.
    DataError
        There is no subset, none to train on or none to develop on, or a chapter is malformed.
    AudioError
        The header of a recording cannot be read.
    """
    corpus = _find_corpus(settings.root)
    wanted = settings.train_subsets or _TRAIN
    if unknown := [name for name in wanted if name not in _TRAIN]:
        raise ConfigError(
            f"recipes/librispeech: data.train_subsets names {unknown[0]!r}; expected some of "
            f"{', '.join(_TRAIN)}"
        )
    subset_of = {split: name for split, name in _EVALUATION.items() if (corpus / name).is_dir()}
    if "dev" not in subset_of and "dev-other" in subset_of:
        subset_of["dev"] = subset_of.pop("dev-other")
    train = [name for name in wanted if (corpus / name).is_dir()]
    for missing, names in ((not train, wanted), ("dev" not in subset_of, ("dev-clean",))):
        if missing:
            raise DataError(f"{corpus}: has no {' or '.join(names)}; {_GET}")

    notes: list[str] = []
    splits = {"train": [u for name in train for u in _read_subset(corpus / name, "train", notes)]}
    for split in _EVALUATION:
        if split in subset_of:
            splits[split] = _read_subset(corpus / subset_of[split], split, notes)
    absent = {*wanted, *_EVALUATION.values()} - {*train, *subset_of.values()}
    if absent:
        notes.append(f"not there: {', '.join(sorted(absent))}")
    return Corpus(splits, tuple(notes))


def _find_corpus(root: str) -> Path:
    """Folder that holds the subsets: `root`, or LibriSpeech in it."""
    if not root:
        raise ConfigError(f"recipes/librispeech: data.root is not set; {_GET}")
    top = Path(root).expanduser().resolve()
    if not top.is_dir():
        raise ConfigError(f"recipes/librispeech: data.root: {top} is not a folder; {_GET}")
    for folder in (top, top / "LibriSpeech"):
        if any((folder / name).is_dir() for name in (*_TRAIN, *_EVALUATION.values())):
            return folder
    raise DataError(f"{top}: holds no subset of LibriSpeech; {_LAYOUT}; {_GET}")


def _read_subset(subset: Path, split: str, notes: list[str]) -> list[Utterance]:
    """Every utterance that has a recording, chapter by chapter; adds a note on what was found."""
    utterances: list[Utterance] = []
    num_transcripts = 0
    for speaker in _folders(subset):
        for chapter in _folders(speaker):
            transcripts = _read_transcripts(chapter)
            num_transcripts += len(transcripts)
            utterances += _read_chapter(chapter, transcripts)
    if not utterances:
        raise DataError(f"{subset}: holds no recording; {_LAYOUT}; unpack it again")
    speakers = {utterance.speaker for utterance in utterances}
    hours = sum(utterance.duration_s for utterance in utterances) / 3600
    note = f"{split}: {subset.name}, {len(utterances)} utterances, {len(speakers)} speakers"
    unheard = num_transcripts - len(utterances)
    missing = f"; {unheard} transcripts have no recording" if unheard else ""
    notes.append(f"{note}, {hours:.2f} h{missing}")
    return utterances


def _folders(parent: Path) -> Sequence[Path]:
    """Folders in `parent` that are named by a number, as speakers and chapters are."""
    return sorted(path for path in parent.iterdir() if path.name.isdecimal() and path.is_dir())


def _read_transcripts(chapter: Path) -> dict[str, str]:
    """Lower-case words by utterance id, of the chapter's one transcript file."""
    name = f"{chapter.parent.name}-{chapter.name}"
    path = chapter / f"{name}.trans.txt"
    if not path.is_file():
        raise DataError(f"{path}: is missing; {_LAYOUT}; unpack the archive again")
    transcripts: dict[str, str] = {}
    # Undecodable bytes become characters that no line can hold, so the line is named below.
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        utt_id, _, text = line.strip().lower().partition(" ")
        if not re.fullmatch(rf"{name}-[0-9]+", utt_id) or not _WORDS.fullmatch(text):
            raise DataError(
                f"{path}, line {number}: {line!r} is not a transcript; expected `{name}-0000 WORDS`"
                " in letters and apostrophes; unpack the archive again"
            )
        if utt_id in transcripts:
            raise DataError(f"{path}, line {number}: {utt_id} has a transcript already; remove one")
        transcripts[utt_id] = text
    return transcripts


def _read_chapter(chapter: Path, transcripts: dict[str, str]) -> list[Utterance]:
    """List the recordings of a chapter, each of which must have a transcript."""
    utterances = []
    for path in sorted(chapter.glob("[!.]*.flac")):
        if path.stem not in transcripts:
            raise DataError(
                f"{path}: has no line in {chapter.parent.name}-{chapter.name}.trans.txt; "
                "unpack the archive again"
            )
        utterances.append(
            Utterance(
                utt_id=path.stem,
                audio_path=path,
                duration_s=audio_duration_s(path),
                text=transcripts[path.stem],
                speaker=chapter.parent.name,
            )
        )
    return utterances
