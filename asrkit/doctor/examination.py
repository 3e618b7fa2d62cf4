"""Examine a recipe as training would begin it, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch

from asrkit.data.corpus import Corpus
from asrkit.data.manifest import Utterance, read_manifest
from asrkit.data.tokens import TokenTable
from asrkit.doctor.corpus import Hearing, examine_corpus
from asrkit.doctor.finding import Finding
from asrkit.doctor.frames import examine_frames
from asrkit.doctor.inventory import examine_inventory
from asrkit.doctor.learning import examine_learning
from asrkit.doctor.material import Material
from asrkit.doctor.memory import describe_memory, examine_memory, try_memory
from asrkit.doctor.pace import examine_pace
from asrkit.doctor.recordings import examine_recordings
from asrkit.doctor.report import Report
from asrkit.doctor.run import describe_run, examine_run
from asrkit.errors import AudioError, DataError, TokenError
from asrkit.progress import CountProgress
from asrkit.recipe.prepare import end_with_file, load_corpus, make_pronunciations, make_tokens
from asrkit.recipe.run_folder import RunFolder
from asrkit.settings import Settings
from asrkit.train.course import follow


def examine_recipe(
    recipe_toml: Path, settings: Settings, device: torch.device, run: RunFolder | None = None
) -> Report:
    """Examine a recipe's data and settings.

    The corpus is read as the prepare stage reads it, and all audio is decoded once. If nothing
    stops the training, steps are taken on a few batches, to see what memory the largest takes.

    Parameters
    ----------
    recipe_toml
    settings
        Resolved.
    device
        To train on.
    run
        Where the recipe may have been prepared; its token table is used then, else one is made.

    Raises
    ------
    AsrkitError
        If the corpus cannot be read.
    """
    corpus, refused = _end_with_files(load_corpus(recipe_toml, settings.data))
    splits = corpus.splits
    hearing = Hearing.of(splits)
    findings = [*examine_corpus(splits, hearing, refused)]
    findings += examine_recordings(splits, hearing.sounds, settings.data.sample_rate_hz)
    examined = {
        split: f"{len(whole)} utterances, {sum(u.duration_s for u in whole) / 3600:.2f} h"
        for split, whole in splits.items()
    }
    try:
        tokens = _tokens(corpus, settings, run)
    except TokenError as error:
        findings.append(_no_tokens(error))
        return Report.of(examined, findings)
    pronunciations = None
    try:
        pronunciations = make_pronunciations(recipe_toml, corpus, settings)
    except TokenError as error:
        findings.append(_no_pronunciations(error))
    material = Material.of(_without(refused, corpus), tokens, settings)
    examined["tokens"] = f"{len(tokens)}, the blank included"
    findings += examine_frames(material)
    findings += examine_pace(material)
    findings += examine_inventory(material)
    findings += examine_learning(settings, splits["train"])
    if not any(finding.severity == "error" for finding in findings):
        worst, available = try_memory(corpus, pronunciations, settings, device)
        examined["memory"] = describe_memory(worst, available, device)
        findings += examine_memory(worst, available, device)
    return Report.of(examined, findings)


def examine_course(run: RunFolder) -> Report:
    """Tell how a run fares or fared, from its metrics."""
    manifest = run.manifest("train")
    utterances = read_manifest(manifest) if manifest.exists() else []
    course = follow(run.folder)
    examined = {"run": describe_run(run.folder, course)}
    return Report.of(examined, [*examine_run(run.folder, course, utterances)])


def _end_with_files(corpus: Corpus) -> tuple[Corpus, set[Utterance]]:
    """End utterances where prepare would; give those, too, that it would refuse."""
    refused: set[Utterance] = set()
    splits: dict[str, list[Utterance]] = {}
    with CountProgress("opening audio", sum(map(len, corpus.splits.values()))) as progress:
        for split, whole in corpus.splits.items():
            splits[split] = []
            for utterance in whole:
                progress.advance()
                try:
                    splits[split].append(end_with_file(utterance))
                except (AudioError, DataError):
                    refused.add(utterance)
                    splits[split].append(utterance)
    return Corpus(splits, corpus.notes), refused


def _without(refused: Collection[Utterance], corpus: Corpus) -> Corpus:
    """Leave out utterances whose wrong durations would look like other faults."""
    return Corpus(
        {split: [u for u in whole if u not in refused] for split, whole in corpus.splits.items()}
    )


def _tokens(corpus: Corpus, settings: Settings, run: RunFolder | None) -> TokenTable:
    if run is not None and run.tokens.exists():
        return TokenTable.read(run.tokens, settings.data.unit)
    return make_tokens(corpus, settings.data)


def _no_tokens(error: TokenError) -> Finding:
    return Finding(
        "error",
        "token-table",
        f"no token table can be made: {error}",
        "transcripts that a table of this data.unit can be made of",
        "correct the transcripts or data.unit; what depends on the table was not examined",
    )


def _no_pronunciations(error: TokenError) -> Finding:
    return Finding(
        "error",
        "lexicon",
        f"no phones can be learned: {error}",
        "a lexicon with words of the training transcripts, for model.phone_layer",
        "correct data.lexicon, or set model.phone_layer to 0",
    )
