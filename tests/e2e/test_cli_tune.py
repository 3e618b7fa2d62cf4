"""`asrkit tune` as it is used from a shell."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from asrkit.data.manifest import Utterance, write_manifest
from asrkit.model_file import load_recognizer
from asrkit.rnnlm.model_file import save_word_lstm
from asrkit.rnnlm.network import SPECIAL_WORDS, Sizes, WordLstm

SAID = ["ab ca", "b", "ca b", ""]
TOY_ARPA = """\\data\\
ngram 1=6
ngram 2=3

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.3
-0.7\t</s>
-0.7\tab\t-0.3
-0.7\tb\t-0.3
-0.7\tca\t-0.3

\\2-grams:
-0.3\t<s> ab
-0.3\tab ca
-0.3\tca b

\\end\\
"""


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, say_in_tones: Callable) -> Path:
    """Manifests of tones, and a language model of their words."""
    folder = tmp_path_factory.mktemp("tuning")
    utterances = []
    for number, text in enumerate(SAID):
        path, samples = folder / f"{number}.wav", say_in_tones(text)
        soundfile.write(path, samples, 16000)
        utterances.append(Utterance(path.stem, path, len(samples) / 16000, text))
    write_manifest(folder / "dev.jsonl", utterances)
    write_manifest(folder / "check.jsonl", utterances[:2])
    (folder / "toy.arpa").write_text(TOY_ARPA)
    return folder


def test_one_table_pictures_and_a_tuned_copy(
    asrkit, model: Path, dev: Path, tmp_path: Path
) -> None:
    before = model.read_bytes()
    done = asrkit(
        *("tune", model, "--manifest", "dev.jsonl", "--check", "check.jsonl", "--lm", "toy.arpa"),
        *("--beam-sizes", "2,4", "--out", tmp_path / "out", "-o", tmp_path / "tuned.asr"),
        folder=dev,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split(" | ")[2:4] == ["WER on dev.jsonl", "WER on check.jsonl"]
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| greedy", "| beam", "| beam + LM"]
    # The model makes no error here, so there is nothing to win.
    assert "- chosen: greedy" in lines
    assert done.stdout.count("refused: beam") == 2
    assert model.read_bytes() == before

    record = json.loads((tmp_path / "out" / "tuning.json").read_text())
    assert record["dev"]["rows"]["greedy"]["errors"] == 0
    assert len(record["surface"]) >= 35
    for name in ("surface.png", "reliability.png"):
        assert (tmp_path / "out" / name).read_bytes()[:4] == b"\x89PNG"

    tuned = load_recognizer(tmp_path / "tuned.asr")
    assert tuned.settings.decode.method == "greedy"
    assert tuned.settings.decode.confidence_temperature == pytest.approx(
        record["dev"]["confidence"]["temperature"]
    )
    assert tuned.settings.decode.confidence_bias == pytest.approx(
        record["dev"]["confidence"]["bias"]
    )
    assert "On dev.jsonl (4 utterances, 0.00 h), protocol plain:" in tuned.card
    assert tuned.card.startswith("# tones")


def test_without_a_language_model_there_is_no_surface(
    asrkit, model: Path, dev: Path, tmp_path: Path
) -> None:
    done = asrkit(
        *("tune", model, "--manifest", "dev.jsonl", "--beam-sizes", "4", "--threads", "1"),
        *("--out", tmp_path),
        folder=dev,
    )
    assert done.returncode == 0, done.stderr
    assert "LM" not in done.stdout
    assert json.loads((tmp_path / "tuning.json").read_text())["surface"] == []
    assert not (tmp_path / "surface.png").exists()


def test_a_lexicon_closes_the_vocabulary(asrkit, model: Path, dev: Path, tmp_path: Path) -> None:
    (dev / "words.txt").write_text("ab a b\nca c a\n")
    done = asrkit(
        *("tune", model, "--manifest", "dev.jsonl", "--lm", "toy.arpa", "--lexicon", "words.txt"),
        *("--vocabulary", "closed", "--beam-sizes", "4", "-o", tmp_path / "tuned.asr"),
        folder=dev,
    )
    assert done.returncode == 0, done.stderr
    # "b", said twice among the 5 words, is not in the lexicon.
    (fused,) = [line for line in done.stdout.splitlines() if line.startswith("| beam + LM")]
    assert float(fused.split(" | ")[2].split()[0]) >= 40.0
    assert "refused: beam + LM" in done.stdout


def test_a_recurrent_model_has_a_row_of_its_own(
    asrkit, model: Path, dev: Path, tmp_path: Path
) -> None:
    words = WordLstm((*SPECIAL_WORDS, "ab", "b", "ca"), Sizes(4, 8, 4))
    save_word_lstm(dev / "words.lstm", words)
    done = asrkit(
        *("tune", model, "--manifest", "dev.jsonl", "--lm", "toy.arpa", "--beam-sizes", "4"),
        *("--rescoring-lm", "words.lstm", "--out", tmp_path),
        folder=dev,
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| beam + LM")]
    assert [row.split(" | ")[0] for row in rows] == ["| beam + LM", "| beam + LM + LSTM"]
    assert ["rescoring_share" in row for row in rows] == [False, True]
    assert "beam + LM + LSTM" in json.loads((tmp_path / "tuning.json").read_text())["dev"]["rows"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rescoring-lm", "toy.arpa"], "--rescoring-lm toy.arpa: ranks what --lm finds; add"),
        (["--beam-sizes", "4,0"], "--beam-sizes 4,0: expected whole numbers"),
        (["--beam-sizes", "many"], "--beam-sizes many: expected whole numbers"),
        (["--lexicon", "toy.arpa"], "--lexicon toy.arpa: has weights to tune only with"),
        (["-o", "MODEL"], "is MODEL itself"),
    ],
)
def test_what_makes_no_sense_is_refused(
    asrkit, model: Path, dev: Path, arguments: list[str], message: str
) -> None:
    arguments = [str(model) if word == "MODEL" else word for word in arguments]
    done = asrkit("tune", model, "--manifest", "dev.jsonl", *arguments, folder=dev)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_set_without_transcripts_is_refused(asrkit, model: Path, dev: Path) -> None:
    line = json.loads((dev / "dev.jsonl").read_text().splitlines()[0])
    (dev / "mute.jsonl").write_text(json.dumps({**line, "text": ""}) + "\n")
    done = asrkit("tune", model, "--manifest", "mute.jsonl", folder=dev)
    assert done.returncode == 1
    assert "no transcripts in 1 utterances" in done.stderr
