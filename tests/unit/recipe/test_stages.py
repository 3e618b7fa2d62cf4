"""A stage names the one it needs; training refuses a dev set that it cannot measure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from asrkit.config import load_settings
from asrkit.data.manifest import read_manifest
from asrkit.errors import FeasibilityError, TokenError, UsageError
from asrkit.model_file import load_recognizer
from asrkit.recipe import stages
from asrkit.recipe.run_folder import RunFolder
from asrkit.recipe.stages import RecipeRun
from asrkit.train.distributed import World
from asrkit.train.loop import DevResult, Trainer
from asrkit.train.metrics import read_metrics


def recipe_run(recipe_toml: Path, run: RunFolder, *overrides: str) -> RecipeRun:
    settings = load_settings(recipe_toml, overrides)
    run.open(settings, resume=True)
    return RecipeRun(recipe_toml, settings, run, World(0, 1, torch.device("cpu")))


@pytest.fixture
def prepared(make_recipe, run: RunFolder) -> RecipeRun:
    made = recipe_run(make_recipe(), run)
    made.prepare()
    return made


@pytest.mark.parametrize(
    ("stage", "missing", "first"),
    [
        ("train", "tokens.txt", "prepare"),
        ("decode", "tokens.txt", "prepare"),
        ("pack", "tokens.txt", "prepare"),
        ("notes", "notes.json", "prepare"),
    ],
)
def test_nothing_goes_before_prepare(
    make_recipe, run: RunFolder, stage: str, missing: str, first: str
) -> None:
    made = recipe_run(make_recipe(), run)
    with pytest.raises(UsageError, match=f"{missing}: is missing; run the {first} stage first"):
        getattr(made, stage)() if stage != "notes" else made.notes


def test_two_trainings_in_a_folder(prepared: RecipeRun) -> None:
    other = RunFolder(prepared.run.folder)
    with other.kept_from_others(), pytest.raises(UsageError, match="another process trains in it"):
        prepared.train()


@pytest.mark.parametrize(
    ("stage", "missing", "first"),
    [
        ("decode", "final.safetensors", "train"),
        ("pack", "final.safetensors", "train"),
        ("score", "dev.jsonl", "decode"),
    ],
)
def test_each_stage_names_the_one_it_needs(
    prepared: RecipeRun, stage: str, missing: str, first: str
) -> None:
    with pytest.raises(UsageError, match=f"{missing}: is missing; run the {first} stage first"):
        getattr(prepared, stage)()


def test_prepare_is_done_once(prepared: RecipeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "prepare", lambda *_: pytest.fail("prepared again"))
    prepared.prepare()


def test_splits_the_corpus_does_not_have(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe()
    made = recipe_run(recipe_toml, run, 'decode.splits=["tset", "dev", "eval"]')
    made.prepare()
    assert made.absent_splits == ["tset", "eval"]
    nothing = recipe_run(recipe_toml, run, 'decode.splits=["tset"]')
    with pytest.raises(UsageError, match=r"decode.splits = \['tset'\]: the corpus has none"):
        nothing.score()


def test_scores_of_timit_stand_side_by_side(make_recipe, run: RunFolder) -> None:
    overrides = ('score.protocol="timit39"', 'score.unit="phone"', 'decode.splits=["dev"]')
    made = recipe_run(make_recipe(), run, *overrides)
    for path, text in ((run.manifest("dev"), "h# pau d h#"), (run.hypotheses("dev"), "d h#")):
        path.write_text(json.dumps({"utt_id": "fadg0_si1279", "text": text}))
    report = made.score()["dev"]
    assert [each.protocol.name for each in report.beside] == [
        "timit39-optional-sil",
        "timit39-merged-sil",
    ]
    assert "PER by protocol, none of which compares with another:" in report.text()
    saved = json.loads(run.score("dev").read_text("utf-8"))
    assert [each["error_rate"] for each in (saved, *saved["beside"])] == [0.5, 0.0, 1 / 3]


def test_a_dev_set_that_cannot_be_aligned_is_refused_before_training(
    make_recipe, run: RunFolder
) -> None:
    # Its loss would be infinite, and JSON has no number for that.
    recipe_toml = make_recipe()
    manifest = recipe_toml.parent / "corpus" / "dev.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    lines[1]["text"] = "ab" * 60
    manifest.write_text("\n".join(map(json.dumps, lines)))
    made = recipe_run(recipe_toml, run)
    made.prepare()
    with pytest.raises(FeasibilityError, match="utterance dev1: 120 tokens with 0 repeats need"):
        made.train()
    assert not (run.folder / "metrics.jsonl").exists()


def test_dev_symbols_unheard_of_in_training_are_refused_before_training(
    make_recipe, run: RunFolder
) -> None:
    made = recipe_run(make_recipe({"train": ["ab"], "dev": ["b", "ac"], "test": ["a"]}), run)
    made.prepare()
    with pytest.raises(TokenError, match="utterance dev1: 'ac': the token table has no 'c'"):
        made.train()
    assert not (run.folder / "metrics.jsonl").exists()


def test_training_gets_the_whole_recipe(
    prepared: RecipeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []

    def note(trainer: Trainer) -> None:
        with torch.inference_mode():
            runs.append((trainer, trainer.evaluate(trainer.model)))

    monkeypatch.setattr(Trainer, "run", note)
    prepared.train()
    prepared.train()
    (trainer, dev), (again, _) = runs
    assert trainer.utterances == read_manifest(prepared.run.manifest("train"))
    assert isinstance(dev, DevResult)
    weights, same = trainer.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(weights[name], same[name]) for name in weights), "not seeded"
    assert not torch.equal(weights["normalizer.mean"], torch.zeros_like(weights["normalizer.mean"]))


# --- phones


@pytest.fixture
def with_phones(make_recipe, run: RunFolder, phone_overrides: list[str]) -> RecipeRun:
    reading = ("decode.method=beam", "decode.reads=phones", "decode.lexicon=lexicon.txt")
    made = recipe_run(make_recipe(), run, *phone_overrides, *reading)
    made.prepare()
    return made


def test_a_recipe_that_reads_phones(with_phones: RecipeRun) -> None:
    run = with_phones.run
    for stage in with_phones.stages:
        getattr(with_phones, stage)()
    assert "phone_loss" in (run.folder / "metrics.jsonl").read_text()
    for split in ("dev", "test"):
        for line in run.hypotheses(split).read_text().splitlines():
            assert json.loads(line)["unit"] == "phone"
        assert json.loads(run.score(split).read_text())["protocol"]
    packed = load_recognizer(run.model)
    assert packed.phones is not None
    assert packed.phones.symbols == ("<blank>", "x", "y", "z")
    assert packed.tokens.symbols == ("<blank>", " ", "a", "b", "c")
    assert packed.settings.data.lexicon == ""
    lexicon = run.folder / packed.settings.decode.lexicon  # found by its place beside the model
    assert lexicon.resolve() == with_phones.recipe_toml.parent / "lexicon.txt"


def test_a_recipe_that_learns_to_spell_from_text(
    make_recipe, run: RunFolder, phone_overrides: list[str]
) -> None:
    recipe_toml = make_recipe()
    (recipe_toml.parent / "books.txt").write_text("ab b\nnobody says this\nac\nb bc\n" * 20)
    text = ("data.text=['books.txt']", "model.num_layers=2", "model.spells_from=phones")
    made = recipe_run(recipe_toml, run, *phone_overrides, *text)
    for stage in made.stages:
        getattr(made, stage)()
    ids = {step["hardest"] for step in read_metrics(run.folder, "step")}
    assert ids
    assert all(each.startswith("books.txt:") for each in ids)
    assert load_recognizer(run.model).settings.data.text == ()


def test_pronunciations_that_are_gone(with_phones: RecipeRun) -> None:
    with_phones.run.pronunciations.unlink()
    missing = r"pronunciations\.txt: is missing; run the prepare stage first"
    with pytest.raises(UsageError, match=missing):
        with_phones.train()
