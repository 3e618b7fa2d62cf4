"""A table is carried out in order, each run with its own settings, and goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from asrkit.config import load_settings
from asrkit.data.manifest import read_manifest
from asrkit.errors import ConfigError, DataError, UsageError
from asrkit.recipe.stages import RecipeRun
from asrkit.recipe.table_run import Step, TableRun
from asrkit.train.distributed import World

WORLD = World(0, 1, torch.device("cpu"))
TABLE = """
title = "Tones"
source = "nobody"
protocols = ["plain"]
[settings.train]
learning_rate = 0.01
[phases.quiet]
[phases.noisy.settings.train]
weight_noise_std = 0.1
[networks.small]
published = { weights_m = 0.1, epochs = 2, per = 30.0 }
settings.model.hidden_size = 3
[networks.large]
start_from = ["small", "other"]
phases = ["noisy"]
published = { weights_m = 0.2, epochs = 2, per = 20.0 }
settings.model = { hidden_size = 5, dropout = 0.5 }
[networks.other]
phases = ["quiet"]
"""


@pytest.fixture
def tones(make_recipe) -> Path:
    recipe_toml = make_recipe()
    (recipe_toml.parent / "tables").mkdir()
    (recipe_toml.parent / "tables" / "tones.toml").write_text(TABLE)
    return recipe_toml


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Stands for all stages but prepare; what is trained and scored is noted."""
    done: list[tuple[str, str]] = []

    def note(what: str):
        def stage(self: RecipeRun, *_: object) -> None:
            done.append((what, self.settings.recipe.description))
            if what == "train":
                self.run.final_weights.parent.mkdir(exist_ok=True)
                self.run.final_weights.touch()
            if what == "pack":
                self.run.model.touch()

        return stage

    for what in ("train", "decode", "score", "pack"):
        monkeypatch.setattr(RecipeRun, what, note(what))
    return done


def table_run(recipe_toml: Path, *overrides: str) -> TableRun:
    folder = recipe_toml.parent
    return TableRun(recipe_toml, folder / "tables" / "tones.toml", folder / "runs", overrides)


def opened(recipe_toml: Path, *overrides: str, resume: bool = False) -> TableRun:
    run = table_run(recipe_toml, *overrides)
    run.open(resume, WORLD)
    return run


def test_steps_come_in_an_order_that_works(tones: Path) -> None:
    run = table_run(tones)
    assert [str(step) for step in run.steps(["large"], [4])] == [
        "small, seed 4, quiet",
        "small, seed 4, noisy",
        "other, seed 4, quiet",
        "large, seed 4, noisy",
    ]
    steps = run.steps(["small", "large"], [1, 2])
    assert [step.seed for step in steps] == [1] * 4 + [2] * 4
    scored = [(step.network, step.phase) for step in steps if step.is_scored]
    assert scored == [("small", "noisy"), ("large", "noisy")] * 2
    # What is trained for another row only is not scored.
    assert [s.network for s in run.steps(["large"], [1]) if s.is_scored] == ["large"]


def test_set_has_the_last_word_on_every_row(tones: Path) -> None:
    run = table_run(tones, "model.dropout=0.25", "train.learning_rate=0.5")
    small = run.planned_settings("small", 2, "noisy")
    large = run.planned_settings("large", 2, "noisy")
    assert (small.model.hidden_size, large.model.hidden_size) == (3, 5)
    assert small.model.dropout == large.model.dropout == 0.25
    assert small.train.learning_rate == large.train.learning_rate == 0.5
    assert small.train.weight_noise_std == large.train.weight_noise_std == 0.1
    assert run.planned_settings("small", 2, "quiet").train.weight_noise_std == 0.0
    plain = run.planned_settings("large", 2, "noisy", with_overrides=False)
    assert (plain.model.dropout, plain.train.learning_rate) == (0.5, 0.01)


@pytest.mark.parametrize("override", ["recipe.seed=3", "train.initial_weights=[]"])
def test_what_differs_from_run_to_run_cannot_be_set(tones: Path, override: str) -> None:
    with pytest.raises(UsageError, match=rf"^--set {override.partition('=')[0]}=.*a table sets"):
        table_run(tones, override)


def test_mistakes_name_the_part_of_the_table(tones: Path) -> None:
    path = tones.parent / "tables" / "tones.toml"
    path.write_text(TABLE.replace("weight_noise_std", "weight_noise"))
    with pytest.raises(ConfigError) as caught:
        table_run(tones).planned_settings("small", 1, "noisy")
    assert str(caught.value).startswith(
        f"{path}: phases.noisy.settings: train.weight_noise is not a known key; did you mean"
    )


def test_each_run_begins_where_the_one_before_ended(
    tones: Path, trained: list[tuple[str, str]]
) -> None:
    run = opened(tones)
    for step in run.steps(["large"], [7]):
        assert not run.is_done(step)
        run.carry_out(step, WORLD)
        assert run.is_done(step)
    assert trained == [
        ("train", "Tones: small, quiet"),
        ("train", "Tones: small, noisy"),
        ("train", "Tones: other, quiet"),
        *((stage, "Tones: large, noisy") for stage in ("train", "decode", "score", "pack")),
    ]
    settings = load_settings(run.run_folder("large", 7, "noisy").settings)
    assert settings.recipe.seed == 7
    weights = [Path(path) for path in settings.train.initial_weights]
    assert [path.parts[-5:-2] for path in weights] == [
        ("small", "seed-7", "noisy"),
        ("other", "seed-7", "quiet"),
    ]
    assert all(path.is_file() for path in weights)
    # The row it began with is not trained again when it is wanted itself.
    (step,) = [step for step in run.steps(["small"], [7]) if not run.is_done(step)]
    trained.clear()
    run.carry_out(step, WORLD)
    assert [stage for stage, _ in trained] == ["decode", "score", "pack"]


def test_data_are_prepared_once(
    tones: Path, trained: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(tones)
    monkeypatch.setattr("asrkit.recipe.stages.prepare", pytest.fail)
    step = Step("small", 1, "quiet", is_scored=False)
    run.carry_out(step, WORLD)
    own = run.run_folder("small", 1, "quiet")
    for split in ("train", "dev", "test"):
        assert read_manifest(own.manifest(split)) == read_manifest(run.prepared.manifest(split))
    for name in ("tokens", "statistics", "notes"):
        assert getattr(own, name).read_bytes() == getattr(run.prepared, name).read_bytes()


def test_pronunciations_are_shared(
    tones: Path, trained: list[tuple[str, str]], phone_overrides: list[str]
) -> None:
    run = opened(tones, *phone_overrides)
    run.carry_out(Step("small", 1, "quiet", is_scored=False), WORLD)
    own = run.run_folder("small", 1, "quiet").pronunciations
    assert own.read_bytes() == run.prepared.pronunciations.read_bytes()


def test_the_only_row_with_phones_prepares_its_own(
    tones: Path, trained: list[tuple[str, str]], phone_overrides: list[str]
) -> None:
    path = tones.parent / "tables" / "tones.toml"
    path.write_text(TABLE + "settings.model.phone_layer = 1\n")
    run = opened(tones, "data.lexicon=lexicon.txt")
    assert not run.prepared.pronunciations.exists()
    run.carry_out(Step("other", 1, "quiet", is_scored=False), WORLD)
    assert run.run_folder("other", 1, "quiet").pronunciations.exists()


def test_a_row_with_other_features_prepares_its_own(
    tones: Path, trained: list[tuple[str, str]]
) -> None:
    path = tones.parent / "tables" / "tones.toml"
    path.write_text(TABLE + "settings.features.num_mel_bins = 7\n")
    run = opened(tones)
    run.carry_out(Step("other", 1, "quiet", is_scored=False), WORLD)
    other = run.run_folder("other", 1, "quiet")
    assert other.statistics.read_bytes() != run.prepared.statistics.read_bytes()
    assert other.manifest("dev").exists()


def test_a_table_is_gone_on_with_by_its_own_settings(
    tones: Path, trained: list[tuple[str, str]]
) -> None:
    run = opened(tones, "model.dropout=0.25", "train.max_epochs=3")
    run.carry_out(Step("small", 1, "quiet", is_scored=False), WORLD)
    with pytest.raises(UsageError, match=r"holds this table already; .*--resume, or .*--run-dir"):
        opened(tones)
    again = opened(tones, "train.max_epochs=4", resume=True)
    for network, phase, seed in (("small", "noisy", 1), ("small", "quiet", 2)):
        settings = again.planned_settings(network, seed, phase)
        assert (settings.model.dropout, settings.train.max_epochs) == (0.25, 4)
    with pytest.raises(UsageError, match=r"model.dropout was 0.25 and is now 0.75"):
        opened(tones, "model.dropout=0.75", resume=True)
    third = opened(tones, resume=True)
    assert third.planned_settings("small", 2, "quiet").train.max_epochs == 4


def test_an_interrupted_run_keeps_what_it_was_begun_with(
    tones: Path, trained: list[tuple[str, str]]
) -> None:
    step = Step("small", 1, "quiet", is_scored=False)
    run = opened(tones, "train.max_epochs=3")
    run.carry_out(step, WORLD)
    folder = run.run_folder("small", 1, "quiet")
    folder.final_weights.unlink()  # as if it had been stopped
    path = tones.parent / "tables" / "tones.toml"
    path.write_text(TABLE.replace("hidden_size = 3", "hidden_size = 8"))
    opened(tones, "train.max_epochs=5", resume=True).carry_out(step, WORLD)
    settings = load_settings(folder.settings)
    assert (settings.model.hidden_size, settings.train.max_epochs) == (3, 5)


def test_a_folder_of_another_table(tones: Path) -> None:
    opened(tones)
    record = tones.parent / "runs" / "begun.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "table": "bells"}))
    with pytest.raises(UsageError, match="holds the table bells of tones, not tones of tones"):
        opened(tones, resume=True)


def test_a_damaged_record_is_named(tones: Path) -> None:
    opened(tones)
    (tones.parent / "runs" / "begun.json").write_text('{"recipe": "tones"}')
    with pytest.raises(DataError, match=r"begun\.json: damaged: .*; choose another folder"):
        opened(tones, resume=True)


def test_the_set_to_be_scored_must_be_there(tones: Path) -> None:
    with pytest.raises(UsageError, match=r"decode.splits = \['dev'\], but the table scores"):
        opened(tones, 'decode.splits=["dev"]')
    text = tones.read_text()
    tones.write_text(text.replace('test = "corpus/test.jsonl"', ""))
    with pytest.raises(DataError, match="the corpus has no test set"):
        opened(tones)
    tones.write_text(text)
    other = TableRun(tones, tones.parent / "tables" / "tones.toml", tones.parent / "more", [])
    other.open(resume=False, world=WORLD)  # a mistake is no beginning


def test_a_mistake_corrected_needs_no_other_folder(tones: Path) -> None:
    with pytest.raises(UsageError):
        opened(tones, 'decode.splits=["dev"]')
    opened(tones)
