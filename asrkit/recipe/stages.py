"""Carry out a recipe: prepare, train, decode, score, pack."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Literal, TextIO, get_args

import torch

from asrkit.data.manifest import Utterance, read_manifest
from asrkit.data.pronunciation import Pronunciations
from asrkit.data.tokens import TokenTable
from asrkit.decode.fusion_settings import place_decode_files, relate_decode_files
from asrkit.errors import UsageError
from asrkit.files import write_atomically
from asrkit.model_file import Recognizer, save_recognizer
from asrkit.nn.model import AcousticModel
from asrkit.recipe.card import write_card
from asrkit.recipe.evaluation import decode_split, make_evaluation
from asrkit.recipe.plan import EpochClock, Plan
from asrkit.recipe.prepare import PreparationNotes, prepare
from asrkit.recipe.run_folder import RunFolder
from asrkit.score.protocol import load_protocols
from asrkit.score.reading import read_transcripts
from asrkit.score.report import ScoreReport
from asrkit.score.scorer import score
from asrkit.settings import DecodeSettings, Settings
from asrkit.train.checkpoint import load_weights, load_weights_into
from asrkit.train.distributed import World
from asrkit.train.loop import Trainer
from asrkit.train.preflight import check_utterances
from asrkit.train.spoken_text import SpokenText

Stage = Literal["prepare", "train", "decode", "score", "pack"]
STAGES: tuple[Stage, ...] = get_args(Stage)


class RecipeRun:
    """A recipe being carried out in a run folder.

    Parameters
    ----------
    recipe_toml
        The recipe.
    settings
        Resolved from it and from overrides.
    run
        The folder, already opened.
    world
        The processes that share the training; the other stages run in the main one.
    """

    def __init__(self, recipe_toml: Path, settings: Settings, run: RunFolder, world: World) -> None:
        self.recipe_toml = recipe_toml
        self.settings = settings
        self.run = run
        self.world = world

    @property
    def stages(self) -> Sequence[Stage]:
        """All that there are for its kind of model: some recognise nothing."""
        return ("prepare", "train") if self.settings.model.kind == "next_label" else STAGES

    def prepare(self) -> None:
        """Prepare the corpus, unless that is done."""
        if not self.run.notes.exists():
            prepare(self.recipe_toml, self.settings, self.run)

    @property
    def notes(self) -> PreparationNotes:
        """What the prepare stage had to say."""
        _require(self.run.notes, "prepare")
        return PreparationNotes.load(self.run.notes)

    def train(self, mirror: TextIO | None = None) -> None:
        """Train to the end, from the last checkpoint if there is one.

        Raises
        ------
        UsageError
            If another process trains in the folder.
        """
        with self.run.kept_from_others() if self.world.is_main else nullcontext():
            self._train(mirror)

    def _train(self, mirror: TextIO | None) -> None:
        tokens = self._tokens()
        torch.manual_seed(self.settings.recipe.seed)
        model = self._new_model(tokens)
        model.normalizer.load_state_dict(load_weights(self.run.statistics))
        dev = read_manifest(self.run.manifest("dev"))
        check_utterances(model, dev, tokens)  # else the dev loss is infinite
        clock = EpochClock(make_evaluation(dev, tokens, self.settings))
        utterances = read_manifest(self.run.manifest("train"))
        trainer = Trainer(
            model,
            utterances,
            tokens,
            clock,
            self.settings,
            self.run.folder,
            self.world,
            mirror,
            self._pronunciations,
            self._text(tokens, utterances),
        )
        clock.start(trainer.position)
        trainer.run()
        if self.run.plan.exists() and self.world.is_main:
            plan = Plan.load(self.run.plan)
            for line in plan.compare(self.settings, self.world, clock, self.run.folder):
                trainer.progress.say(line)
            plan.save(self.run.plan)

    def decode(self) -> None:
        """Decode every split of `decode.splits` that the corpus has."""
        tokens = self._tokens()
        model = self._trained_model(tokens).to(self.world.device)
        settings = self.settings.model_copy(update={"decode": self._decode_settings})
        if settings.decode.reads_phones:
            tokens = self._phones or tokens
        for split in self._splits():
            utterances = read_manifest(self.run.manifest(split))
            decode_split(self.run.hypotheses(split), model, utterances, tokens, settings)

    def score(self) -> dict[str, ScoreReport]:
        """Score what was decoded; reports by split."""
        protocol, *beside = load_protocols(self.settings.score.protocol)
        reports = {}
        for split in self._splits():
            _require(self.run.hypotheses(split), "decode")
            references = read_transcripts(self.run.manifest(split))
            hypotheses = read_transcripts(self.run.hypotheses(split))
            report = score(
                references.texts,
                hypotheses.texts,
                self.settings.score.unit,
                protocol,
                references.speakers,
                beside=beside,
            )
            write_atomically(self.run.score(split), report.to_json().encode())
            reports[split] = report
        return reports

    def pack(self) -> None:
        """Write the model file."""
        tokens = self._tokens()
        card = write_card(self.settings, self.run, self.notes, self.recipe_toml.parent)
        model = self._trained_model(tokens)
        decode = relate_decode_files(self._decode_settings, self.run.model.parent)
        settings = self.settings.model_copy(update={"decode": decode})
        save_recognizer(self.run.model, Recognizer(model, tokens, settings, card, self._phones))

    @property
    def absent_splits(self) -> list[str]:
        """What `decode.splits` names but the corpus does not have."""
        return [s for s in self.settings.decode.splits if not self.run.manifest(s).exists()]

    @property
    def _decode_settings(self) -> DecodeSettings:
        return place_decode_files(self.settings.decode, self.recipe_toml.parent)

    def _splits(self) -> Sequence[str]:
        present = [s for s in self.settings.decode.splits if self.run.manifest(s).exists()]
        if not present:
            raise UsageError(
                f"{self.run.folder}: decode.splits = {list(self.settings.decode.splits)}: the "
                "corpus has none of them"
            )
        return present

    def _tokens(self) -> TokenTable:
        _require(self.run.tokens, "prepare")
        return TokenTable.read(self.run.tokens, self.settings.data.unit)

    @cached_property
    def _pronunciations(self) -> Pronunciations | None:
        if not self.settings.model.phone_layer:
            return None
        _require(self.run.pronunciations, "prepare")
        return Pronunciations.read(self.run.pronunciations)

    def _text(self, tokens: TokenTable, speech: Sequence[Utterance]) -> SpokenText | None:
        if not self.settings.data.text or self._pronunciations is None:
            return None
        return SpokenText(
            [self.recipe_toml.parent / text for text in self.settings.data.text],
            self._pronunciations,
            tokens,
            speech,
            self.settings.recipe.seed,
        )

    @property
    def _phones(self) -> TokenTable | None:
        return self._pronunciations.table if self._pronunciations else None

    def _new_model(self, tokens: TokenTable) -> AcousticModel:
        num_phones = len(self._phones or ())
        return AcousticModel(self.settings, len(tokens), self.notes.speakers, num_phones=num_phones)

    def _trained_model(self, tokens: TokenTable) -> AcousticModel:
        weights = self.run.final_weights
        _require(weights, "train")
        model = self._new_model(tokens)
        load_weights_into(model, load_weights(weights), weights)
        return model


def _require(path: Path, stage: Stage) -> None:
    if not path.exists():
        raise UsageError(f"{path}: is missing; run the {stage} stage first")
