"""The LibriSpeech recipe on a fabricated corpus in the published layout, and on real speech."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from asrkit.bundled import RECIPES_DIR
from asrkit.cli import app
from asrkit.config import load_settings
from asrkit.data.corpus import Corpus
from asrkit.data.tokens import TokenTable
from asrkit.errors import AsrkitError, ConfigError, DataError
from asrkit.recipe.locate import find_recipe
from asrkit.recipe.prepare import compare_with_expected
from asrkit.recipe.run_folder import RunFolder
from asrkit.settings import DataSettings

RECIPE = RECIPES_DIR / "librispeech"
TRAIN = ("train-clean-100", "train-clean-360", "train-other-500")
EVALUATION = ("dev-clean", "dev-other", "test-clean", "test-other")
TEXTS = ("CHAPTER ONE", "IT WASN'T A QUIET DAY", "HE SAID SO")
# A network and a training of seconds, in place of those of days.
TINY = {
    "features.num_mel_bins": 20,
    "model.num_layers": 2,
    "model.hidden_size": 16,
    "train.intermediate_layers": [1],
    "train.max_epochs": 2,
    "train.warmup_steps": 1,
    "train.average_checkpoints": 2,
}

Build = Callable[..., Path]


@cache
def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("librispeech_prepare", RECIPE / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prepare(root: Path | str, *subsets: str) -> Corpus:
    corpus = _module().prepare(DataSettings(root=str(root), train_subsets=subsets))
    assert isinstance(corpus, Corpus)
    return corpus


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A second and a half of noise at 16 kHz, as FLAC."""
    samples = np.random.default_rng(1).integers(-500, 500, 24000, dtype=np.int16)
    path = tmp_path_factory.mktemp("recording") / "noise.flac"
    soundfile.write(path, samples, 16000)
    return path.read_bytes()


@pytest.fixture
def build(tmp_path: Path, recording: bytes) -> Build:
    """Write subsets of two speakers with a chapter each; return the folder of the corpus."""

    def write(*subsets: str) -> Path:
        corpus = tmp_path / "corpora" / "LibriSpeech"
        for subset in subsets:
            first = 100 * (1 + (*TRAIN, *EVALUATION).index(subset))
            for speaker in (first, first + 1):
                chapter = corpus / subset / str(speaker) / f"{speaker}00"
                chapter.mkdir(parents=True)
                name = f"{speaker}-{speaker}00"
                lines = [f"{name}-{n:04d} {text}\n" for n, text in enumerate(TEXTS)]
                (chapter / f"{name}.trans.txt").write_text("".join(lines))
                for number in range(len(TEXTS)):
                    (chapter / f"{name}-{number:04d}.flac").write_bytes(recording)
        for name in ("README.TXT", "SPEAKERS.TXT"):
            (corpus / name).write_text("not read\n")
        return corpus

    return write


@pytest.fixture(autouse=True)
def short_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrkit.recipe.trial._ENOUGH_S", 0.0)


def counts(corpus: Corpus) -> dict[str, int]:
    return {split: len(utterances) for split, utterances in corpus.splits.items()}


# Settings


@pytest.mark.parametrize(
    ("name", "subsets"), [("librispeech", TRAIN[:1]), ("librispeech/960h", TRAIN)]
)
def test_settings_are_valid_and_say_what_to_train_on(name: str, subsets: tuple[str, ...]) -> None:
    settings = load_settings(find_recipe(name))
    assert settings.data.train_subsets == subsets
    assert settings.model.num_layers >= 5
    assert settings.decode.splits == ("dev", *EVALUATION[1:])


def test_both_are_listed() -> None:
    done = CliRunner().invoke(app, ["recipes"])
    names = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert "librispeech" in names
    assert "librispeech/960h" in names
    assert find_recipe(str(RECIPE / "960h.toml")) == find_recipe("librispeech/960h")


@pytest.mark.parametrize(
    ("file", "utterances", "speakers"),
    [("expected.toml", 28539, 251), ("expected-960h.toml", 28539 + 104014 + 148688, 2338)],
)
def test_published_counts(file: str, utterances: int, speakers: int) -> None:
    splits = tomllib.loads((RECIPE / file).read_text(encoding="utf-8"))["splits"]
    assert splits["train"] == {"utterances": utterances, "speakers": speakers}
    del splits["train"]
    assert {name: (of["utterances"], of["tokens"]) for name, of in splits.items()} == {
        "dev": (2703, 54402),
        "dev-other": (2864, 50948),
        "test-clean": (2620, 52576),
        "test-other": (2939, 52343),
    }


# The corpus


def test_every_subset_has_its_place(build: Build) -> None:
    corpus = prepare(build(*TRAIN, *EVALUATION))
    assert counts(corpus) == {
        "train": 18, "dev": 6, "dev-other": 6, "test-clean": 6, "test-other": 6
    }  # fmt: skip
    assert corpus.notes == (
        "train: train-clean-100, 6 utterances, 2 speakers, 0.00 h",
        "train: train-clean-360, 6 utterances, 2 speakers, 0.00 h",
        "train: train-other-500, 6 utterances, 2 speakers, 0.00 h",
        "dev: dev-clean, 6 utterances, 2 speakers, 0.00 h",
        "dev-other: dev-other, 6 utterances, 2 speakers, 0.00 h",
        "test-clean: test-clean, 6 utterances, 2 speakers, 0.00 h",
        "test-other: test-other, 6 utterances, 2 speakers, 0.00 h",
    )


def test_an_utterance(build: Build) -> None:
    root = build("train-clean-100", "dev-clean")
    utterance = prepare(root).splits["train"][1]
    assert utterance.utt_id == "100-10000-0001"
    assert utterance.speaker == "100"
    assert utterance.text == "it wasn't a quiet day"
    assert utterance.duration_s == 1.5
    assert (
        utterance.audio_path == root / "train-clean-100" / "100" / "10000" / "100-10000-0001.flac"
    )


def test_the_root_may_be_the_folder_above(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    root = build("train-clean-100", "dev-clean")
    assert prepare(root.parent) == prepare(root)
    monkeypatch.chdir(root.parent)
    assert prepare(".") == prepare(root)


def test_training_subsets_are_chosen(build: Build) -> None:
    root = build(*TRAIN, "dev-clean")
    corpus = prepare(root, "train-clean-360")
    assert {utterance.speaker for utterance in corpus.splits["train"]} == {"200", "201"}
    assert corpus.notes[-1] == "not there: dev-other, test-clean, test-other"


def test_the_expected_counts_are_those_of_the_recipe_that_runs(
    build: Build, tmp_path: Path
) -> None:
    root = build(*TRAIN, "dev-clean")
    for name, wanted in (("librispeech", 28539), ("librispeech/960h", 281241)):
        run_dir = tmp_path / name
        sets = [f"data.root={root}", "model.hidden_size=2"]
        options = [part for value in sets for part in ("--set", value)]
        command = ["train", name, "--stage", "prepare", "--run-dir", str(run_dir), *options]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        assert f"utterances, the full corpus has {wanted}\n" in done.stderr


# Partial corpora


def test_what_is_absent_is_told(build: Build) -> None:
    corpus = prepare(build("train-clean-100", "dev-clean", "test-other"))
    assert counts(corpus) == {"train": 6, "dev": 6, "test-other": 6}
    absent = "not there: dev-other, test-clean, train-clean-360, train-other-500"
    assert corpus.notes[-1] == absent


def test_dev_other_stands_in_for_dev_clean(build: Build) -> None:
    corpus = prepare(build("train-other-500", "dev-other"))
    assert counts(corpus) == {"train": 6, "dev": 6}
    assert corpus.notes[1] == "dev: dev-other, 6 utterances, 2 speakers, 0.00 h"


def test_recordings_that_are_missing_are_counted(build: Build) -> None:
    root = build("train-clean-100", "dev-clean")
    (root / "dev-clean" / "400" / "40000" / "400-40000-0001.flac").unlink()
    corpus = prepare(root)
    assert counts(corpus) == {"train": 6, "dev": 5}
    missing = "dev: dev-clean, 5 utterances, 2 speakers, 0.00 h; 1 transcripts have no recording"
    assert missing in corpus.notes


def test_other_files_and_folders_are_passed_over(build: Build) -> None:
    root = build("train-clean-100", "dev-clean")
    (root / "dev-clean" / ".DS_Store").mkdir()
    (root / "dev-clean" / "400" / "40000" / "._400-40000-0001.flac").write_bytes(b"")
    (root / "intro").mkdir()
    assert counts(prepare(root)) == {"train": 6, "dev": 6}


# Errors


def fails(
    root: Path | str, error: type[AsrkitError], *parts: str, subsets: tuple[str, ...] = ()
) -> None:
    with pytest.raises(error) as caught:
        prepare(root, *subsets)
    for part in parts:
        assert part in str(caught.value)


def test_a_root_that_is_none(tmp_path: Path) -> None:
    fails("", ConfigError, "data.root is not set", "--set data.root=FOLDER", "data download")
    fails(tmp_path / "none", ConfigError, f"{tmp_path / 'none'} is not a folder")
    fails(tmp_path, DataError, f"{tmp_path}: holds no subset of LibriSpeech")


def test_a_subset_that_does_not_exist(build: Build) -> None:
    root = build("train-clean-100", "dev-clean")
    fails(
        root,
        ConfigError,
        "'train-clean-500'; expected some of train-clean-100",
        subsets=("train-clean-500",),
    )
    fails(
        root, ConfigError, "'dev-clean'; expected some of", subsets=("train-clean-100", "dev-clean")
    )


def test_nothing_to_train_on_or_to_develop_on(build: Build) -> None:
    root = build("train-clean-100", "test-clean")
    fails(root, DataError, f"{root}: has no dev-clean")
    build("dev-clean")
    fails(root, DataError, "has no train-clean-360 or train-other-500", subsets=TRAIN[1:])


def test_an_empty_subset(build: Build) -> None:
    root = build("train-clean-100", "dev-clean")
    (root / "test-clean").mkdir()
    fails(root, DataError, f"{root / 'test-clean'}: holds no recording")


def test_a_chapter_without_transcripts(build: Build) -> None:
    root = build("train-clean-100", "dev-clean")
    path = root / "dev-clean" / "401" / "40100" / "401-40100.trans.txt"
    path.unlink()
    fails(root, DataError, f"{path}: is missing")


def test_a_recording_without_a_transcript(build: Build, recording: bytes) -> None:
    root = build("train-clean-100", "dev-clean")
    path = root / "dev-clean" / "401" / "40100" / "401-40100-0009.flac"
    path.write_bytes(recording)
    fails(root, DataError, f"{path}: has no line in 401-40100.trans.txt")


@pytest.mark.parametrize(
    "line",
    [
        b"401-40100-0003",
        b"401-40100-0003 ",
        b"401-40100-0003 FOUR 4",
        b"401-40100-0003 FOUR, FIVE",
        b"401-40100-0003 CAF\xc9",
        b"401-40200-0003 FOUR",
        b"401-40100-x FOUR",
        b"401-40100-0001 TWICE",
    ],
)
def test_a_damaged_transcript(build: Build, line: bytes) -> None:
    root = build("train-clean-100", "dev-clean")
    path = root / "dev-clean" / "401" / "40100" / "401-40100.trans.txt"
    path.write_bytes(path.read_bytes() + line)
    fails(root, DataError, f"{path}, line 4: ")


# From one end to the other


def carry_out(root: Path, run_dir: Path, settings: Mapping[str, object]) -> str:
    values = {"data.root": str(root), **settings}
    options = [f"--set={key}={json.dumps(value)}" for key, value in values.items()]
    for command in ("plan", "train"):
        done = CliRunner().invoke(app, [command, "librispeech", f"--run-dir={run_dir}", *options])
        assert done.exit_code == 0, done.output
    return done.stdout + done.stderr


def test_a_whole_run_on_a_fabricated_corpus(build: Build, tmp_path: Path) -> None:
    root = build("train-clean-100", "dev-clean", "dev-other", "test-clean")
    run = RunFolder(tmp_path / "run")
    told = carry_out(root, run.folder, TINY)
    assert "librispeech: train: train-clean-100, 6 utterances" in told
    assert "librispeech: train: 6 utterances, the full corpus has 28539" in told
    assert "librispeech: no test-other set to decode" in told
    assert "partial corpus: this score does not compare" in told
    assert "plan: an epoch: " in told
    for split in ("dev", "dev-other", "test-clean"):
        report = json.loads(run.score(split).read_text())
        assert report["reference"]["tokens"] == 20
        assert f"\n{split}: " in f"\n{told}"
    assert run.model.exists()


def test_a_whole_run_on_real_speech(shared_data: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    told = carry_out(shared_data / "librispeech_sample", run.folder, TINY)
    assert "librispeech: train: train-clean-100, 19 utterances, 1 speakers, 0.07 h" in told
    assert "librispeech: not there: dev-other, test-clean, test-other" in told
    report = json.loads(run.score("dev").read_text())
    assert report["reference"]["utterances"] == 19
    tokens = TokenTable.from_text(run.tokens.read_text("utf-8"), "char")
    assert set(tokens.symbols[1:]) <= {" ", "'", *"abcdefghijklmnopqrstuvwxyz"}
    audio = next((shared_data / "librispeech_sample").rglob("*.flac"))
    transcribed = CliRunner().invoke(app, ["transcribe", f"--model={run.model}", str(audio)])
    assert transcribed.exit_code == 0, transcribed.output


def test_the_real_sample(shared_data: Path) -> None:
    corpus = prepare(shared_data / "librispeech_sample")
    assert counts(corpus) == {"train": 19, "dev": 19}
    utterances = {u.utt_id: u for of_split in corpus.splits.values() for u in of_split}
    assert utterances["19-198-0000"].text == "northanger abbey"
    assert utterances["84-121550-0000"].speaker == "84"
    deviations = compare_with_expected(
        RECIPE / "expected.toml", corpus, load_settings(find_recipe("librispeech"))
    )
    assert deviations[0] == "train: 19 utterances, the full corpus has 28539"
