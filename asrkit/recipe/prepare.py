"""The prepare stage: a corpus becomes manifests, a token table and normalisation statistics."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asrkit.data.audio import MAX_OVERSHOOT_S, audio_duration_s
from asrkit.data.audio_cache import AudioCache
from asrkit.data.corpus import Corpus
from asrkit.data.manifest import Utterance, read_manifest, write_manifest
from asrkit.data.pronunciation import Pronunciations, read_pronunciations
from asrkit.data.tokens import TokenTable
from asrkit.errors import AudioError, ConfigError, DataError
from asrkit.features.extractor import FeatureExtractor
from asrkit.features.normalize import Normalizer, Statistics
from asrkit.files import write_atomically
from asrkit.inference import load_by_length
from asrkit.progress import CountProgress
from asrkit.recipe.expected import find_expected, load_expected
from asrkit.recipe.record import load_record, save_record
from asrkit.recipe.run_folder import RunFolder
from asrkit.score.protocol import load_protocol
from asrkit.settings import DataSettings, Settings
from asrkit.train.checkpoint import save_weights
from asrkit.train.spoken_text import read_sentences

# Means and variances of 40 to 130 numbers need no more: the rest would change the fourth digit.
_MAX_STATISTICS_UTTERANCES = 5000
_MAX_LISTED = 10


@dataclass(frozen=True)
class PreparationNotes:
    """What preparing a corpus found, apart from the utterances themselves."""

    remarks: list[str]
    """Of the recipe's own `prepare`."""
    deviations: list[str]
    """From the recipe's `expected.toml`; if there are any, scores do not compare."""
    speakers: list[str]
    """Whose statistics the normaliser holds."""

    def save(self, path: Path) -> None:
        """Write as JSON."""
        save_record(path, self)

    @classmethod
    def load(cls, path: Path) -> PreparationNotes:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            If the file is damaged.
        """
        return load_record(path, cls, "delete it to prepare the data anew")


def prepare(recipe_toml: Path, settings: Settings, run: RunFolder) -> None:
    """Write the manifests of all splits, `tokens.txt`, `statistics.safetensors` and `notes.json`.

    The token table is made of the training transcripts. Speaker statistics, where asked for, are
    taken over every split: they need no transcripts.
    """
    corpus = _check_audio(load_corpus(recipe_toml, settings.data))
    for split, utterances in corpus.splits.items():
        write_manifest(run.manifest(split), utterances)
    tokens = make_tokens(corpus, settings.data)
    write_atomically(run.tokens, tokens.to_text().encode())
    remarks = list(corpus.notes)
    pronunciations = make_pronunciations(recipe_toml, corpus, settings)
    if pronunciations:
        write_atomically(run.pronunciations, pronunciations.to_text().encode())
        remarks += _unpronounced(corpus.splits["train"], pronunciations)
    deviations = compare_with_expected(find_expected(recipe_toml), corpus, settings)
    normalizer = fit_normalizer(corpus, settings)
    save_weights(run.statistics, normalizer.state_dict())
    notes = PreparationNotes(remarks, deviations, normalizer.speaker_names)
    notes.save(run.notes)  # last: it marks the stage as done


def _check_audio(corpus: Corpus) -> Corpus:
    """Open every file; end at the end of its file what is declared to last a little longer.

    Raises
    ------
    DataError
        Listing the files that are missing or unreadable, and the utterances that go far beyond.
    """
    problems: list[str] = []
    splits: dict[str, list[Utterance]] = {}
    with CountProgress("opening audio", sum(map(len, corpus.splits.values()))) as progress:
        for split, utterances in corpus.splits.items():
            splits[split] = []
            for utterance in utterances:
                progress.advance()
                try:
                    splits[split].append(end_with_file(utterance))
                except (AudioError, DataError) as error:
                    problems.append(f"{split}: utterance {utterance.utt_id}: {error}")
    if problems:
        more = [f"and {len(problems) - _MAX_LISTED} more"] if len(problems) > _MAX_LISTED else []
        raise DataError("\n".join([*problems[:_MAX_LISTED], *more]))
    return Corpus(splits, corpus.notes)


def end_with_file(utterance: Utterance) -> Utterance:
    """End at the end of its file what is declared to last a little longer.

    Raises
    ------
    AudioError
        If the file is missing or unreadable.
    DataError
        If the utterance goes far beyond it.
    """
    left_s = audio_duration_s(utterance.audio_path) - utterance.offset_s
    if left_s <= 0 or utterance.duration_s > left_s + MAX_OVERSHOOT_S:
        raise DataError(
            f"{utterance.duration_s:g} s are declared but {utterance.audio_path} has {left_s:g} s "
            "left; correct it"
        )
    return replace(utterance, duration_s=min(utterance.duration_s, left_s))


def make_tokens(corpus: Corpus, settings: DataSettings) -> TokenTable:
    """Make the token table of the training transcripts."""
    texts = [utterance.text for utterance in corpus.splits["train"]]
    return TokenTable.from_texts(texts, settings.unit, settings.vocabulary_size)


def make_pronunciations(
    recipe_toml: Path, corpus: Corpus, settings: Settings
) -> Pronunciations | None:
    """Read the pronunciations of the training transcripts, if the model is to learn phones.

    Raises
    ------
    ConfigError
        If the settings name no lexicon.
    TokenError
        If it cannot be read, or has none of their words.
    """
    if not settings.model.phone_layer:
        return None
    if not settings.data.lexicon:
        raise ConfigError(
            f"{recipe_toml}: model.phone_layer = {settings.model.phone_layer} needs data.lexicon; "
            "expected a file with a word and its phones a line"
        )
    lexicon = read_pronunciations(recipe_toml.parent / settings.data.lexicon)
    texts = [utterance.text for utterance in corpus.splits["train"]]
    paths = [recipe_toml.parent / text for text in settings.data.text]
    sentences = (line for _, _, line in read_sentences(paths))
    return Pronunciations.for_texts(texts, lexicon, sentences)


def _unpronounced(utterances: Sequence[Utterance], pronunciations: Pronunciations) -> list[str]:
    """Tell how many utterances teach no phones, and by which words."""
    lacking: Counter[str] = Counter()
    num_utterances = 0
    for utterance in utterances:
        unknown = [w for w in utterance.text.split() if w not in pronunciations.phones_of]
        lacking.update(unknown)
        num_utterances += bool(unknown)
    if not lacking:
        return []
    commonest = ", ".join(word for word, _ in lacking.most_common(_MAX_LISTED))
    return [
        f"{num_utterances} of {len(utterances)} training utterances teach no phones: data.lexicon "
        f"lacks {len(lacking)} of their words, most often {commonest}"
    ]


def compare_with_expected(expected_toml: Path, corpus: Corpus, settings: Settings) -> list[str]:
    """List how a prepared corpus differs from the counts its recipe expects; empty if it does not.

    `[splits.NAME]` gives `utterances`, `speakers` and `tokens`, the last counted under `protocol`.
    """
    expected = load_expected(expected_toml)
    protocol = load_protocol(expected.protocol or settings.score.protocol)
    deviations = []
    for split, counts in expected.splits.items():
        utterances = corpus.splits.get(split, [])
        found = {
            "utterances": len(utterances),
            "speakers": len({u.speaker for u in utterances if u.speaker}),
            "tokens": sum(
                len(protocol.apply(u.text, settings.score.unit, f"utterance {u.utt_id}"))
                for u in utterances
            ),
        }
        deviations += [
            f"{split}: {found[name]} {name}, the full corpus has {count}"
            for name, count in counts.model_dump(exclude_none=True).items()
            if found[name] != count
        ]
    return deviations


def load_corpus(recipe_toml: Path, settings: DataSettings) -> Corpus:
    """Read the manifests of a recipe, or have its `prepare.py` read the raw corpus.

    Raises
    ------
    ConfigError
        If the settings name neither, or both.
    DataError
        If there is nothing to train on, or nothing to develop on.
    """
    corpus = _read_splits(recipe_toml, settings)
    for split in ("train", "dev"):
        if not corpus.splits.get(split):
            raise DataError(f"{recipe_toml}: the {split} set is empty; training needs one")
    return corpus


def _read_splits(recipe_toml: Path, settings: DataSettings) -> Corpus:
    paths = {"train": settings.train, "dev": settings.dev, "test": settings.test}
    script = recipe_toml.parent / "prepare.py"
    if script.is_file():
        if any(paths.values()):
            raise ConfigError(
                f"{recipe_toml}: data.train, dev and test are set, but {script} makes the splits; "
                "leave them out, or remove the script"
            )
        return _run_prepare_script(script, settings)
    for split in ("train", "dev"):
        if not paths[split]:
            raise ConfigError(f"{recipe_toml}: data.{split} is not set; expected a JSONL manifest")
    return Corpus(
        {split: read_manifest(recipe_toml.parent / path) for split, path in paths.items() if path}
    )


def _run_prepare_script(script: Path, settings: DataSettings) -> Corpus:
    name = f"asrkit_recipe_{script.parent.name}"
    spec = importlib.util.spec_from_file_location(name, script)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{script}: cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    if not hasattr(module, "prepare"):
        raise ConfigError(f"{script}: defines no prepare(settings: DataSettings) -> Corpus")
    corpus = module.prepare(settings)
    if not isinstance(corpus, Corpus):
        raise ConfigError(f"{script}: prepare() returned {type(corpus).__name__}, not a Corpus")
    return corpus


def fit_normalizer(corpus: Corpus, settings: Settings) -> Normalizer:
    """Take feature statistics over the training set, or per speaker over every split."""
    extractor = FeatureExtractor(settings.features, settings.data.sample_rate_hz)
    mode = settings.features.normalization
    utterances = corpus.splits["train"]
    if mode == "speaker":
        utterances = [utterance for split in corpus.splits.values() for utterance in split]
    elif mode == "global":
        utterances = utterances[:: -(-len(utterances) // _MAX_STATISTICS_UTTERANCES)]
    else:
        return Normalizer(mode, extractor.num_features)
    statistics = Statistics(extractor.num_features)
    cache = AudioCache(settings.data.sample_rate_hz, max_bytes=0)
    batches = load_by_length(utterances, None, cache, settings.data.max_batch_s)
    with CountProgress("feature statistics", len(utterances)) as progress:
        for batch in batches:
            feats, feat_lens = extractor(batch.waves, batch.wave_lens)
            statistics.update(feats, feat_lens, batch.speakers)
            progress.advance(len(batch.utt_ids))
    normalizer = Normalizer(mode, extractor.num_features)
    normalizer.set_statistics(statistics)
    return normalizer
