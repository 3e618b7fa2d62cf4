"""The command line keeps its word: every option changes something, what is said to be JSON is JSON,
every kind of failure has its message and its exit code.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile
import typer

from asrkit import cli, errors
from asrkit.lm.model_file import save_ngram
from asrkit.model_file import Recognizer, save_recognizer
from asrkit.pronounce.learn import learn
from asrkit.rnnlm.model_file import save_word_lstm
from asrkit.rnnlm.network import SPECIAL_WORDS, Sizes, WordLstm

REPOSITORY = Path(__file__).resolve().parents[2]

TOY_ARPA = """\\data\\
ngram 1=5
ngram 2=2

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.3
-0.7\t</s>
-0.7\tab\t-0.3
-0.7\tb\t-0.3

\\2-grams:
-0.3\t<s> ab
-0.3\tab b

\\end\\
"""
TABLE = """
title = "Two tiny networks"
source = "nowhere"
split = "dev"
protocols = ["plain"]
[phases.only]
[networks.one]
published = { weights_m = 0.1, epochs = 1, per = 10.0 }
[networks.two]
published = { weights_m = 0.1, epochs = 1, per = 20.0 }
settings.model = { hidden_size = 4 }
[settings.train]
max_epochs = 1
"""


@dataclass(frozen=True)
class Seen:
    """What a command did."""

    exit_code: int
    stdout: str
    stderr: str
    files: dict[str, str]
    """Fingerprints of the files that were not there before or have changed, by name."""


Look = Callable[[Seen], object]


def output(seen: Seen) -> str:
    # How long something took, and what memory, is another thing each time.
    return re.sub(r"\d+\.\d+(?= \||$)|[\d.]+(?= GB)", "MEASURED", seen.stdout, flags=re.MULTILINE)


def said(seen: Seen) -> tuple[int, str]:
    return seen.exit_code, seen.stderr


def everything(seen: Seen) -> Seen:
    return seen


def exit_code(seen: Seen) -> int:
    return seen.exit_code


def names(seen: Seen) -> set[str]:
    return set(seen.files)


def files(seen: Seen) -> dict[str, str]:
    return seen.files


def metrics(seen: Seen) -> list[str]:
    return [digest for name, digest in seen.files.items() if name.endswith("metrics.jsonl")]


@dataclass(frozen=True)
class Case:
    """A command without an option and with it, and where the difference is to be seen."""

    command: str
    option: str
    base: str
    given: str
    look: Look = output

    @property
    def id(self) -> str:
        return f"{self.command} {self.option}"


TRANSCRIBE = "two.wav --model model.asr"
BEAM = f"{TRANSCRIBE} --method beam --format json"
FUSED = f"{BEAM} --lm toy.arpa"
LM_BUILD = "text.txt -o lm.arpa"
LM_TRAIN = "few.txt -o few.lstm"
PAGE = "ref.jsonl hyp.jsonl --html page.html"
TABLE_RUN = "recipe.toml --table tiny --run-dir out"
CASES = [
    Case("", "--version", "", "--version"),
    Case("train", "--set", "recipe.toml", "--set train.learning_rate=0.1", metrics),
    Case("train", "--run-dir", "recipe.toml --stage prepare", "--run-dir elsewhere", names),
    Case("train", "--resume", "recipe.toml --run-dir run", "--resume", exit_code),
    Case("train", "--stage", "recipe.toml", "--stage prepare", names),
    # What speeds things up must change no result: to be seen is what it refuses.
    Case("train", "--devices", "recipe.toml --stage prepare", "--devices 2", said),
    Case("train", "--json", "recipe.toml --run-dir run --stage score", "--json"),
    Case("train", "--check", "recipe.toml --run-dir run --resume", "--check", said),
    Case("train", "--table", "recipe.toml --run-dir out", "--table tiny", names),
    Case("train", "--rows", TABLE_RUN, "--rows two", names),
    Case("train", "--seeds", f"{TABLE_RUN} --rows two", "--seeds 2", names),
    Case("plan", "--set", "recipe.toml", "--set data.train=none.jsonl", said),
    Case("plan", "--run-dir", "recipe.toml", "--run-dir elsewhere", names),
    Case("plan", "--device", "recipe.toml", "--device cuda", said),
    Case("doctor", "--set", "recipe.toml", "--set train.learning_rate=5.0"),
    Case("doctor", "--run-dir", "recipe.toml", "--run-dir run"),
    Case("doctor", "--json", "recipe.toml", "--json"),
    Case("transcribe", "--model", "two.wav", "--model model.asr"),
    Case("transcribe", "--format", TRANSCRIBE, "--format json"),
    Case("transcribe", "--out", TRANSCRIBE, "--out texts", names),
    Case("transcribe", "--resume", f"{TRANSCRIBE} --out done", "--resume", said),
    Case("transcribe", "--method", f"{TRANSCRIBE} --format json", "--method beam"),
    Case("transcribe", "--beam-size", f"{BEAM} --nbest 4", "--beam-size 1"),
    Case("transcribe", "--lm", BEAM, "--lm toy.arpa"),
    Case("transcribe", "--rescoring-lm", FUSED, "--rescoring-lm words.lstm"),
    Case("transcribe", "--lm-weight", FUSED, "--lm-weight 2.5"),
    Case("transcribe", "--word-bonus", FUSED, "--word-bonus 3"),
    Case("transcribe", "--lexicon", FUSED, "--vocabulary closed --lexicon words.lex"),
    Case(
        "transcribe",
        "--pronouncer",
        "two.wav --model phones.asr --method beam --lexicon words.lex --hotword ba:50",
        "--pronouncer letters.bin",
    ),
    Case("transcribe", "--vocabulary", FUSED, "--vocabulary closed"),
    Case("transcribe", "--hotwords", BEAM, "--hotwords hot.txt"),
    Case("transcribe", "--hotword", BEAM, "--hotword ca:20"),
    Case("transcribe", "--nbest", BEAM, "--nbest 2"),
    Case("transcribe", "--batch-s", TRANSCRIBE, "--batch-s -1", exit_code),
    Case(
        "transcribe", "--precision", f"{TRANSCRIBE} --format json", "--precision int8", everything
    ),
    Case("align", "--model", "two.wav two.txt", "--model model.asr"),
    Case("align", "--format", "two.wav two.txt --model model.asr", "--format ctm"),
    Case("align", "--out", "two.wav two.txt --model model.asr", "--out times", names),
    Case("score", "--unit", "ref.jsonl hyp.jsonl", "--unit char"),
    Case("score", "--protocol", "ref.jsonl hyp.jsonl", "--protocol english"),
    Case("score", "--alignments", "ref.jsonl hyp.jsonl", "--alignments"),
    Case("score", "--missing", "ref.jsonl few.jsonl", "--missing delete"),
    Case("score", "--against", "ref.jsonl hyp.jsonl", "--against ref.jsonl"),
    Case("score", "--json", "ref.jsonl hyp.jsonl", "--json"),
    Case("score", "--html", "ref.jsonl hyp.jsonl", "--html page.html", names),
    Case("score", "--audio", PAGE, "--audio said.jsonl", files),
    Case("score", "--model", f"{PAGE} --audio said.jsonl", "--model model.asr", files),
    Case(
        "score", "--audio-utterances", f"{PAGE} --audio said.jsonl", "--audio-utterances 0", files
    ),
    Case("tune", "--manifest", "model.asr", "--manifest said.jsonl"),
    Case("tune", "--check", "model.asr --manifest said.jsonl", "--check said.jsonl"),
    Case("tune", "--lm", "model.asr --manifest said.jsonl", "--lm toy.arpa"),
    Case(
        "tune",
        "--rescoring-lm",
        "model.asr --manifest said.jsonl --lm toy.arpa",
        "--rescoring-lm words.lstm",
    ),
    Case(
        "tune",
        "--lexicon",
        "model.asr --manifest said.jsonl --lm toy.arpa --vocabulary closed",
        "--lexicon cab.lex",
    ),
    Case(
        "tune",
        "--vocabulary",
        "model.asr --manifest said.jsonl --lm toy.arpa",
        "--vocabulary closed",
    ),
    Case("tune", "--beam-sizes", "model.asr --manifest said.jsonl", "--beam-sizes 3"),
    Case("tune", "--threads", "model.asr --manifest said.jsonl", "--threads -1", exit_code),
    Case("tune", "--out", "model.asr --manifest said.jsonl", "--out report", names),
    Case("tune", "-o", "model.asr --manifest said.jsonl", "-o tuned.asr", names),
    Case("data validate", "--tokens", "said.jsonl", "--tokens tokens.txt"),
    Case("data validate", "--unit", "said.jsonl --tokens tokens.txt", "--unit phone"),
    Case("data download", "--to", "librispeech", "--to corpora", said),
    Case("data download", "--subset", "librispeech --to corpora", "--subset nothing", said),
    Case(
        "data download",
        "--url",
        "librispeech --to corpora --subset dev-clean --url file:///one",
        "--url file:///two",
        said,
    ),
    Case("model info", "--json", "model.asr", "--json"),
    Case("model compress", "-o", "model.asr", "-o small.asr", names),
    Case("model compress", "--weights", "model.asr -o small.asr", "--weights int8", files),
    Case("model export", "-o", "model.asr", "-o net.onnx", said),
    Case("lm build", "--out", "text.txt", "--out lm.bin", names),
    Case("lm build", "--order", LM_BUILD, "--order 2", files),
    Case("lm build", "--prune", LM_BUILD, "--prune 0,1", files),
    Case("lm build", "--entropy-prune", LM_BUILD, "--entropy-prune 0.01", files),
    Case("lm build", "--max-words", LM_BUILD, "--max-words 5", files),
    Case("lm build", "--vocab", LM_BUILD, "--vocab tokens.txt", files),
    Case("lm build", "--discount-fallback", "few.txt -o lm.arpa", "--discount-fallback", exit_code),
    Case("lm build", "--quantize", "text.txt -o lm.bin", "--quantize", files),
    Case("lm train", "--out", "few.txt", "--out few.lstm", names),
    Case("lm train", "--hidden-size", LM_TRAIN, "--hidden-size 9", files),
    Case("lm train", "--epochs", LM_TRAIN, "--epochs 1", files),
    Case("lm train", "--seed", LM_TRAIN, "--seed 2", files),
    Case("lm train", "--start", LM_TRAIN, "--start words.lstm", files),
    Case("lm train", "--learning-rate", LM_TRAIN, "--learning-rate 0.1", files),
    Case("lm train", "--resume", "few.txt -o stopped.lstm", "--resume", said),
    Case("lm info", "--json", "toy.arpa", "--json"),
    Case("lm perplexity", "--json", "toy.arpa few.txt", "--json"),
    Case("lm convert", "--out", "toy.arpa", "--out toy.bin", names),
    Case("lm convert", "--quantize", "toy.arpa --out toy.bin", "--quantize", files),
    Case("lexicon learn", "--out", "words.lex", "--out learned.bin", names),
    Case("lexicon guess", "--words", "letters.bin ba", "--words two.txt"),
]


def commands() -> Iterator[tuple[str, Any]]:
    """Every command of the command line, by what is typed for it."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        yield " ".join(words), command
        for name, each in getattr(command, "commands", {}).items():
            yield from walk(each, (*words, name))

    yield from walk(typer.main.get_command(cli.app), ())


def test_every_option_has_a_case() -> None:
    options = {
        (name, parameter.opts[0])
        for name, command in commands()
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.opts != ["--help"]
    }
    assert {(case.command, case.option) for case in CASES} == options
    assert len(CASES) == len(options)


@pytest.fixture(scope="module")
def world(
    asrkit,
    recipe: Path,
    model: Path,
    tmp_path_factory: pytest.TempPathFactory,
    say_in_tones,
    tone_phone_recognizer: Recognizer,
) -> Path:
    """A folder with something of everything that a command may be told of."""
    folder = tmp_path_factory.mktemp("world") / "here"
    shutil.copytree(recipe.parent, folder)
    shutil.copy(model, folder / "model.asr")
    save_recognizer(folder / "phones.asr", tone_phone_recognizer)
    sounds = {"ab": ("a", "b"), "b": ("b",), "cab": ("c", "a", "b"), "a": ("a",)}
    save_ngram(folder / "letters.bin", learn(sounds))
    save_word_lstm(folder / "words.lstm", WordLstm((*SPECIAL_WORDS, "ab", "b"), Sizes(4, 8, 4)))
    (folder / "stopped.lstm.checkpoint").write_text("no checkpoint")
    for name, text in {"one": "ab ca", "two": "b ab"}.items():
        soundfile.write(folder / f"{name}.wav", say_in_tones(text), 16000)
    rows = [("one", "ab ca", "Ab c"), ("two", "b ab", "b a b")]
    for name, column in {"ref": 1, "hyp": 2}.items():
        lines = [json.dumps({"utt_id": row[0], "text": row[column]}) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    (folder / "few.jsonl").write_text((folder / "hyp.jsonl").read_text().splitlines()[0])
    said_lines = [
        {"audio_filepath": f"{name}.wav", "utt_id": name, "text": text} for name, text, _ in rows
    ]
    (folder / "said.jsonl").write_text("\n".join(map(json.dumps, said_lines)))
    (folder / "two.txt").write_text("b ab\n")
    (folder / "few.txt").write_text("ab b\nb\n")
    (folder / "toy.arpa").write_text(TOY_ARPA)
    (folder / "words.lex").write_text("ab a b\nb b\ncab c a b\n")
    (folder / "cab.lex").write_text("cab c a b\n")
    (folder / "hot.txt").write_text("ca:20\n")
    (folder / "tokens.txt").write_text("<blank>\na\nb\n")
    text = REPOSITORY / "tests" / "unit" / "lm" / "golden" / "text.txt"
    shutil.copy(text, folder / "text.txt")
    (folder / "broken.wav").write_text("no audio")
    (folder / "broken.jsonl").write_text("{")
    (folder / "empty.jsonl").write_text("")
    (folder / "tables").mkdir()
    (folder / "tables" / "tiny.toml").write_text(TABLE)
    assert asrkit("train", "recipe.toml", "--run-dir", "run", folder=folder).returncode == 0
    arguments = f"transcribe {TRANSCRIBE} --out done".split()
    assert asrkit(*arguments, folder=folder).returncode == 0
    return folder


@pytest.fixture(scope="module")
def carry_out(
    asrkit, world: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Seen]:
    """Carry out a command in a copy of the world."""

    def contents(folder: Path) -> dict[str, str]:
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and "tensorboard" not in path.parts
        }

    before = contents(world)
    folder = tmp_path_factory.mktemp("copies") / "here"

    def run(words: str) -> Seen:
        shutil.copytree(world, folder)
        done = asrkit(*words.split(), folder=folder)
        changed = dict(contents(folder).items() - before.items())
        shutil.rmtree(folder)
        return Seen(done.returncode, done.stdout, done.stderr, changed)

    return run


@pytest.fixture(scope="module")
def without_option(carry_out: Callable[[str], Seen]) -> Callable[[Case], object]:
    """Look at what a command does without the option, which has to be the same each time."""
    seen: dict[str, Seen] = {}
    is_steady: set[tuple[str, Look]] = set()

    def look(case: Case) -> object:
        words = f"{case.command} {case.base}"
        if words not in seen:
            seen[words] = carry_out(words)
        if (case.command, case.look) not in is_steady:
            assert case.look(carry_out(words)) == case.look(seen[words]), "look elsewhere"
            is_steady.add((case.command, case.look))
        return case.look(seen[words])

    return look


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_option_changes_what_is_done(case: Case, carry_out, without_option) -> None:
    with_option = carry_out(f"{case.command} {case.base} {case.given}")
    assert case.look(with_option) != without_option(case)


def one_object(text: str) -> None:
    assert isinstance(json.loads(text), dict)


def objects(text: str) -> None:
    lines = text.splitlines()
    assert lines
    for line in lines:
        one_object(line)


def fields(count: int) -> Callable[[str], None]:
    def check(text: str) -> None:
        lines = text.splitlines()
        assert lines
        assert all(len(line.split("\t")) == count for line in lines), text

    return check


def lines_of(count: int) -> Callable[[str], None]:
    def check(text: str) -> None:
        assert [len(line.split(" ", 1)) for line in text.splitlines()] == [2] * count, text

    return check


READABLE = {
    "train recipe.toml --json": objects,
    "train recipe.toml --run-dir run --stage score --json": objects,
    f"train {TABLE_RUN} --rows two --json": objects,
    "doctor recipe.toml --json": one_object,
    "doctor --run-dir run --json": one_object,
    "transcribe one.wav --model model.asr --format json": one_object,
    "transcribe one.wav two.wav --model model.asr --format json": objects,
    "transcribe one.wav two.wav --model model.asr": fields(2),
    "align one.wav two.txt --model model.asr --format json": one_object,
    "score ref.jsonl hyp.jsonl --json": one_object,
    "score ref.jsonl hyp.jsonl --json --alignments": one_object,
    "score ref.jsonl hyp.jsonl --json --against ref.jsonl": one_object,
    "score ref.jsonl hyp.jsonl --json --protocol plain,english": one_object,
    "model info model.asr --json": one_object,
    "lm info toy.arpa --json": one_object,
    "lm perplexity toy.arpa few.txt --json": one_object,
    "lexicon guess letters.bin b c": lines_of(2),
    "lexicon learn words.lex -o learned.bin": lines_of(2),
    "recipes": fields(2),
    "protocols": fields(2),
    "data validate said.jsonl --tokens tokens.txt": fields(3),
}


def test_every_json_option_is_read_back() -> None:
    with_json = {
        name
        for name, command in commands()
        if any("--json" in parameter.opts for parameter in command.params)
    }
    read_back = {words.partition(" ")[0] for words in READABLE if "--json" in words}
    assert {name.split(" ")[0] for name in with_json} == read_back


@pytest.mark.parametrize("words", READABLE)
def test_standard_output_is_what_it_is_said_to_be(words: str, carry_out) -> None:
    READABLE[words](carry_out(words).stdout)


USAGE, FAILED = errors.EXIT_USAGE, errors.EXIT_SOME_FAILED
FAILURES = {
    errors.UsageError: ("score ref.jsonl none.jsonl", USAGE, r"none\.jsonl: cannot be read"),
    errors.ConfigError: ("train recipe.toml --set model.layers=2", USAGE, r"layers"),
    errors.AudioError: ("transcribe broken.wav --model model.asr", FAILED, r"broken\.wav: "),
    errors.ManifestError: ("data validate broken.jsonl", FAILED, r"broken\.jsonl:1: "),
    errors.TokenError: ("data validate said.jsonl --tokens two.wav", FAILED, r"two\.wav: "),
    errors.DataError: (
        "train recipe.toml --set data.train=empty.jsonl",
        FAILED,
        r"the train set is empty",
    ),
    errors.FeasibilityError: (
        "train recipe.toml --set model.frontend=stack --set model.subsampling=40",
        FAILED,
        r"utterance dev0: 4 tokens .* need 4 frames",
    ),
    errors.DivergenceError: (
        "train recipe.toml --set train.learning_rate=1e30 --set train.clip_norm=0.0",
        FAILED,
        r"not finite",
    ),
    errors.CheckpointError: (
        "train recipe.toml --set train.initial_weights=['broken.wav']",
        FAILED,
        r"broken\.wav",
    ),
    errors.ModelFileError: ("model info two.wav", FAILED, r"two\.wav: "),
    errors.LanguageModelError: ("lm info two.wav", FAILED, r"two\.wav:"),
    errors.ScoreError: ("score ref.jsonl few.jsonl", FAILED, r"no hypothesis: two"),
}
SHOWN_ELSEWHERE = {
    errors.BandError: "test_cli_train_check.py",
    errors.LostProcessError: "test_resume.py",
    errors.TrainingError: "test_cli_train.py",
}


def test_every_kind_of_failure_is_shown() -> None:
    def tree(kind: type[errors.AsrkitError]) -> Iterator[type[errors.AsrkitError]]:
        for each in kind.__subclasses__():
            yield each
            yield from tree(each)

    assert set(tree(errors.AsrkitError)) == FAILURES.keys() | SHOWN_ELSEWHERE.keys()


@pytest.mark.parametrize("kind", FAILURES, ids=lambda kind: kind.__name__)
def test_every_kind_of_failure_has_its_message_and_exit_code(
    kind: type[errors.AsrkitError], carry_out
) -> None:
    words, code, message = FAILURES[kind]
    seen = carry_out(words)
    assert kind.exit_code == code
    assert (seen.exit_code, seen.stdout) == (code, "")
    assert re.search(message, seen.stderr), seen.stderr
    assert any(line.startswith("asrkit: ") for line in seen.stderr.splitlines())
