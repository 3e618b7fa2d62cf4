"""The prepare stage: manifests, token table, statistics, and what deviates from expectation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from asrkit.config import load_settings
from asrkit.data.audio import read_audio
from asrkit.data.corpus import Corpus
from asrkit.data.manifest import Utterance, read_manifest
from asrkit.data.tokens import TokenTable
from asrkit.errors import EXIT_USAGE, ConfigError, DataError, UsageError
from asrkit.features.extractor import FeatureExtractor
from asrkit.recipe.prepare import PreparationNotes, compare_with_expected, prepare
from asrkit.recipe.run_folder import RunFolder
from asrkit.settings import Settings
from asrkit.train.checkpoint import load_weights


def settings_of(recipe_toml: Path, *overrides: str) -> Settings:
    return load_settings(recipe_toml, overrides)


# --- recipes that name manifests


def test_manifests_are_found_from_the_recipe_not_from_where_one_is(
    make_recipe, run: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recipe_toml = make_recipe()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    prepare(recipe_toml, settings_of(recipe_toml), run)
    for split in ("train", "dev", "test"):
        source = recipe_toml.parent / "corpus" / f"{split}.jsonl"
        assert read_manifest(run.manifest(split)) == read_manifest(source)


def test_manifests_elsewhere_are_absolute(make_recipe, run: RunFolder, tmp_path: Path) -> None:
    recipe_toml = make_recipe()
    moved = (recipe_toml.parent / "corpus").rename(tmp_path / "moved")
    overrides = [f"data.{split}={moved / split}.jsonl" for split in ("train", "dev", "test")]
    prepare(recipe_toml, settings_of(recipe_toml, *overrides), run)
    assert [u.utt_id for u in read_manifest(run.manifest("train"))] == [
        "train0",
        "train1",
        "train2",
    ]


def test_the_token_table_and_the_notes(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe({"train": ["ba", "a b"], "dev": ["b"], "test": ["abc"]})
    prepare(recipe_toml, settings_of(recipe_toml), run)
    table = TokenTable.from_text(run.tokens.read_text(), "char")
    assert table.symbols == ("<blank>", " ", "a", "b")  # of the training set only
    assert PreparationNotes.load(run.notes) == PreparationNotes([], [], [])


def test_a_test_set_is_optional(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe({"train": ["ab"], "dev": ["b"]})
    prepare(recipe_toml, settings_of(recipe_toml, "data.test="), run)
    assert not run.manifest("test").exists()


@pytest.mark.parametrize("split", ["train", "dev"])
def test_training_and_development_sets_are_not(make_recipe, run: RunFolder, split: str) -> None:
    recipe_toml = make_recipe()
    with pytest.raises(ConfigError, match=f"data.{split} is not set; expected a JSONL") as info:
        prepare(recipe_toml, settings_of(recipe_toml, f"data.{split}="), run)
    assert str(info.value).startswith(str(recipe_toml))

    (recipe_toml.parent / "corpus" / f"{split}.jsonl").write_text("\n")
    with pytest.raises(DataError, match=f"the {split} set is empty"):
        prepare(recipe_toml, settings_of(recipe_toml), run)
    assert not run.notes.exists()


def test_a_failure_leaves_the_stage_undone(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe()
    audio = recipe_toml.parent / "corpus" / "train1.wav"
    content = audio.read_bytes()
    audio.write_bytes(content[:1000])
    with pytest.raises(DataError, match=r"train: utterance train1: .*train1\.wav: truncated"):
        prepare(recipe_toml, settings_of(recipe_toml), run)
    assert not run.notes.exists()
    audio.write_bytes(content)
    prepare(recipe_toml, settings_of(recipe_toml), run)
    assert run.notes.exists()


def test_all_faulty_audio_is_listed_at_once(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe()
    corpus = recipe_toml.parent / "corpus"
    (corpus / "train0.wav").unlink()
    declared = [json.loads(line) for line in (corpus / "dev.jsonl").read_text().splitlines()]
    true_s = declared[0]["duration"]
    declared[0]["duration"] = true_s + 9
    (corpus / "dev.jsonl").write_text("".join(json.dumps(line) + "\n" for line in declared))
    with pytest.raises(DataError) as info:
        prepare(recipe_toml, settings_of(recipe_toml), run)
    missing, too_long = str(info.value).splitlines()
    assert missing.startswith("train: utterance train0: ")
    assert too_long.startswith("dev: utterance dev0: ")
    assert f"{true_s:g} s left" in too_long


def test_an_offset_just_beyond_the_file_is_refused(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe()
    manifest = recipe_toml.parent / "corpus" / "dev.jsonl"
    declared = [json.loads(line) for line in manifest.read_text().splitlines()]
    declared[0] |= {"offset": declared[0]["duration"] + 0.1, "duration": 0.3}
    manifest.write_text("".join(json.dumps(line) + "\n" for line in declared))
    with pytest.raises(DataError, match=r"^dev: utterance dev0: 0\.3 s are declared but "):
        prepare(recipe_toml, settings_of(recipe_toml), run)


def test_a_duration_just_beyond_the_file_ends_with_it(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe()
    manifest = recipe_toml.parent / "corpus" / "dev.jsonl"
    declared = [json.loads(line) for line in manifest.read_text().splitlines()]
    true_s = declared[0]["duration"]
    declared[0]["duration"] = true_s + 0.3
    manifest.write_text("".join(json.dumps(line) + "\n" for line in declared))
    prepare(recipe_toml, settings_of(recipe_toml), run)
    assert read_manifest(run.manifest("dev"))[0].duration_s == pytest.approx(true_s, abs=1e-4)


# --- pronunciations


def test_pronunciations_of_the_training_words(
    make_recipe, run: RunFolder, phone_overrides: list[str]
) -> None:
    recipe_toml = make_recipe()
    prepare(recipe_toml, settings_of(recipe_toml, *phone_overrides), run)
    assert run.pronunciations.read_text() == "ab x y\nac x z\nb y\n"
    assert PreparationNotes.load(run.notes).remarks == [
        "1 of 3 training utterances teach no phones: data.lexicon lacks 1 of their words, most "
        "often ca"
    ]


def test_a_complete_lexicon_needs_no_remark(
    make_recipe, run: RunFolder, phone_overrides: list[str]
) -> None:
    recipe_toml = make_recipe({"train": ["ab", "b ac"], "dev": ["cab"]})
    prepare(recipe_toml, settings_of(recipe_toml, "data.test=", *phone_overrides), run)
    assert PreparationNotes.load(run.notes).remarks == []


def test_phones_without_a_lexicon(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe()
    settings = settings_of(recipe_toml, "model.phone_layer=1")
    with pytest.raises(ConfigError, match=r"model\.phone_layer = 1 needs data\.lexicon") as caught:
        prepare(recipe_toml, settings, run)
    assert str(caught.value).startswith(f"{recipe_toml}: ")
    assert not run.notes.exists()


def test_a_lexicon_without_phones_is_not_read(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe()
    prepare(recipe_toml, settings_of(recipe_toml, "data.lexicon=nowhere.txt"), run)
    assert not run.pronunciations.exists()


# --- feature statistics


def features_of(utterances: list[Utterance], settings: Settings) -> torch.Tensor:
    extractor = FeatureExtractor(settings.features, 16000)
    frames = []
    for utterance in utterances:
        wave = torch.from_numpy(read_audio(utterance.audio_path, 16000).samples)
        frames.append(extractor(wave[None], torch.tensor([len(wave)]))[0][0])
    return torch.cat(frames).double()


def test_global_statistics_are_those_of_the_training_set(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe()
    settings = settings_of(recipe_toml)
    prepare(recipe_toml, settings, run)
    frames = features_of(read_manifest(run.manifest("train")), settings)
    statistics = load_weights(run.statistics)
    torch.testing.assert_close(statistics["mean"].double(), frames.mean(0), rtol=1e-5, atol=1e-5)
    expected = frames.std(0, correction=0)
    torch.testing.assert_close(statistics["std"].double(), expected, rtol=1e-5, atol=1e-5)


def test_speaker_statistics_are_of_every_split(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe()
    settings = settings_of(recipe_toml, "features.normalization=speaker")
    prepare(recipe_toml, settings, run)
    speakers = PreparationNotes.load(run.notes).speakers
    assert speakers == ["dev-a", "dev-b", "test-a", "train-a", "train-b"]
    of_speaker = [u for u in read_manifest(run.manifest("train")) if u.speaker == "train-a"]
    frames = features_of(of_speaker, settings)
    mean = load_weights(run.statistics)["speaker_mean"][speakers.index("train-a")]
    torch.testing.assert_close(mean.double(), frames.mean(0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["none", "utterance"])
def test_other_normalisation_needs_no_statistics(make_recipe, run: RunFolder, mode: str) -> None:
    recipe_toml = make_recipe()
    prepare(recipe_toml, settings_of(recipe_toml, f"features.normalization={mode}"), run)
    assert load_weights(run.statistics) == {}


# --- recipes with a prepare.py

SCRIPT = """
from pathlib import Path

from asrkit.data.corpus import Corpus
from asrkit.data.manifest import Utterance, read_manifest

def prepare(settings):
    splits = {split: read_manifest(Path(settings.root) / f"{split}.jsonl")
              for split in ("train", "dev", "test")}
    return Corpus({**splits, "test_other": splits["test"]}, (f"unit {settings.unit}",))
"""


def with_script(recipe_toml: Path, script: str) -> Settings:
    (recipe_toml.parent / "prepare.py").write_text(script)
    no_manifests = [f'data.{split}=""' for split in ("train", "dev", "test")]
    return settings_of(recipe_toml, f"data.root={recipe_toml.parent / 'corpus'}", *no_manifests)


def test_a_script_gets_the_data_settings_and_gives_any_splits(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe()
    prepare(recipe_toml, with_script(recipe_toml, SCRIPT), run)
    assert read_manifest(run.manifest("test_other")) == read_manifest(run.manifest("test"))
    assert PreparationNotes.load(run.notes).remarks == ["unit char"]


def test_a_script_beside_manifests_is_refused(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe()
    (recipe_toml.parent / "prepare.py").write_text(SCRIPT)
    with pytest.raises(ConfigError, match=r"data\.train, dev and test are set, but .*prepare\.py"):
        prepare(recipe_toml, settings_of(recipe_toml), run)


def test_a_script_that_was_changed_is_read_anew(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe()
    settings = with_script(recipe_toml, SCRIPT)
    prepare(recipe_toml, settings, run)
    (recipe_toml.parent / "prepare.py").write_text(SCRIPT.replace("unit {", "now unit {"))
    prepare(recipe_toml, settings, run)
    assert PreparationNotes.load(run.notes).remarks == ["now unit char"]


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("def prepare(settings): return {'train': []}", r"prepare\(\) returned dict, not a Corpus"),
        ("def prepare(settings): pass", r"prepare\(\) returned NoneType, not a Corpus"),
        ("def prepares(settings): pass", r"defines no prepare\(settings: DataSettings\)"),
    ],
)
def test_a_script_that_does_not_do_its_part(
    make_recipe, run: RunFolder, script: str, problem: str
) -> None:
    recipe_toml = make_recipe()
    settings = with_script(recipe_toml, script)
    with pytest.raises(ConfigError, match=problem) as info:
        prepare(recipe_toml, settings, run)
    assert str(info.value).startswith(str(recipe_toml.parent / "prepare.py"))
    assert info.value.exit_code == EXIT_USAGE


# --- expected.toml


def corpus_of(**texts: list[str]) -> Corpus:
    return Corpus(
        {
            split: [
                Utterance(f"{split}{n}", Path("/x.wav"), 1.0, text, speaker="anna")
                for n, text in enumerate(of_split)
            ]
            for split, of_split in texts.items()
        }
    )


def compare(tmp_path: Path, expected: str, corpus: Corpus, **score: str) -> list[str]:
    path = tmp_path / "expected.toml"
    path.write_text(expected)
    settings = Settings.model_validate({"recipe": {"name": "x"}, "score": score})
    return compare_with_expected(path, corpus, settings)


def test_nothing_expected(tmp_path: Path) -> None:
    settings = Settings.model_validate({"recipe": {"name": "x"}})
    assert compare_with_expected(tmp_path / "none.toml", corpus_of(), settings) == []


def test_as_expected(tmp_path: Path) -> None:
    expected = "[splits.train]\nutterances = 2\nspeakers = 1\ntokens = 3\n[splits.dev]\ntokens = 1"
    assert compare(tmp_path, expected, corpus_of(train=["a b", "c"], dev=["x"], test=[])) == []


def test_every_deviation_is_told(tmp_path: Path) -> None:
    expected = (
        "[splits.train]\nutterances = 3\nspeakers = 2\ntokens = 3\n[splits.test]\nutterances = 9"
    )
    assert compare(tmp_path, expected, corpus_of(train=["a b", "c"])) == [
        "train: 2 utterances, the full corpus has 3",
        "train: 1 speakers, the full corpus has 2",
        "test: 0 utterances, the full corpus has 9",
    ]


def test_an_unknown_speaker_is_nobody(tmp_path: Path) -> None:
    corpus = Corpus({"dev": [Utterance("u", Path("/x.wav"), 1.0, "a")]})
    assert compare(tmp_path, "[splits.dev]\nspeakers = 0", corpus) == []


def test_tokens_are_counted_as_they_are_scored(tmp_path: Path) -> None:
    # timit39 drops `q` and folds the rest; `char` counts the space too.
    phones = corpus_of(dev=["h# q aa h#"])
    expected = 'protocol = "timit39"\n[splits.dev]\ntokens = 3'
    assert compare(tmp_path, expected, phones, unit="phone") == []
    assert compare(tmp_path, "[splits.dev]\ntokens = 3", corpus_of(dev=["a b"]), unit="char") == []
    with pytest.raises(UsageError, match="'nist' is unknown"):
        compare(tmp_path, 'protocol = "nist"\n[splits.dev]\ntokens = 3', phones, unit="phone")


def test_a_recipe_beside_another_expects_counts_of_its_own(make_recipe, run: RunFolder) -> None:
    folder = make_recipe().parent
    (folder / "expected.toml").write_text("[splits.train]\nutterances = 4\n")
    for name, expected in (("large", 4), ("small", 5)):
        other = folder / f"{name}.toml"
        other.write_text((folder / "recipe.toml").read_text())
        (folder / "expected-small.toml").write_text("[splits.train]\nutterances = 5\n")
        prepare(other, settings_of(other), run)
        deviations = [f"train: 3 utterances, the full corpus has {expected}"]
        assert PreparationNotes.load(run.notes).deviations == deviations


def test_deviations_are_noted(make_recipe, run: RunFolder) -> None:
    recipe_toml = make_recipe()
    (recipe_toml.parent / "expected.toml").write_text("[splits.train]\nutterances = 4\n")
    prepare(recipe_toml, settings_of(recipe_toml), run)
    expected = ["train: 3 utterances, the full corpus has 4"]
    assert PreparationNotes.load(run.notes).deviations == expected


def test_notes_survive_the_file(tmp_path: Path) -> None:
    notes = PreparationNotes(["Ω left out"], ["dev: 1"], ["anna", "žofie"])
    notes.save(tmp_path / "notes.json")
    assert PreparationNotes.load(tmp_path / "notes.json") == notes
