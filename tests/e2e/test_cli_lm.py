"""`asrkit lm`: building, looking into, measuring and converting language models."""

from __future__ import annotations

import json
import lzma
import os
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asrkit.cli import app
from asrkit.errors import EXIT_INTERRUPTED
from asrkit.rnnlm import training

GOLDEN = Path(__file__).resolve().parents[1] / "unit" / "lm" / "golden"
TEXT = GOLDEN / "text.txt"


@pytest.fixture
def build(asrkit, tmp_path: Path):
    """Build a model and give what `info` says of it."""

    def run(*options: str, text: Path = TEXT, name: str = "lm.bin") -> dict[str, object]:
        out = tmp_path / name
        done = asrkit("lm", "build", str(text), "-o", str(out), *options)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return json.loads(asrkit("lm", "info", str(out), "--json").stdout)

    return run


def perplexity(asrkit, model: Path, text: Path) -> dict[str, float]:
    done = asrkit("lm", "perplexity", str(model), str(text), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_build_info_and_perplexity(asrkit, build, tmp_path: Path) -> None:
    facts = build("--order", "3")
    assert facts["order"] == 3
    assert facts["bytes"] == (tmp_path / "lm.bin").stat().st_size
    model = str(tmp_path / "lm.bin")
    done = asrkit("lm", "info", model)
    assert f"3-grams: {facts['ngrams'][2]}\n" in done.stdout
    assert json.loads(asrkit("lm", "info", model, "--json").stdout) == facts
    done = asrkit("lm", "perplexity", model, str(TEXT))
    result = json.loads(asrkit("lm", "perplexity", model, str(TEXT), "--json").stdout)
    assert f"perplexity: {result['perplexity']:.4f}\n" in done.stdout
    assert result["oov"] == 0
    reference = perplexity(asrkit, GOLDEN / "order3.arpa", TEXT)
    assert result["perplexity"] == pytest.approx(reference["perplexity"], rel=1e-5)


def test_order(build) -> None:
    assert build("--order", "2")["order"] == 2


def test_prune(build) -> None:
    announced = (GOLDEN / "order3_prune_0_0_1.arpa").read_text("utf-8").splitlines()[1:4]
    ngrams = build("--prune", "0,0,1")["ngrams"]
    assert announced == [f"ngram {order}={count}" for order, count in enumerate(ngrams, 1)]


def test_entropy_prune(build) -> None:
    assert sum(build("--entropy-prune", "1e-4")["ngrams"]) < sum(build()["ngrams"])


def test_max_words(build) -> None:
    assert build("--max-words", "7", "--discount-fallback")["ngrams"][0] == 10


def test_vocab(build, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("the river lamp")
    facts = build("--vocab", str(tmp_path / "words.txt"), "--discount-fallback")
    assert facts["ngrams"][0] == 6


def test_discount_fallback(asrkit, build, tmp_path: Path) -> None:
    short, out = GOLDEN / "short.txt", tmp_path / "short.bin"
    done = asrkit("lm", "build", str(short), "-o", str(out))
    assert (done.returncode, done.stdout) == (1, "")
    assert "give more text, a lower order, or --discount-fallback" in done.stderr
    assert not out.exists()
    assert build("--discount-fallback", text=short)["order"] == 3


def test_quantize(build) -> None:
    assert build("--quantize")["bytes"] < 0.9 * build()["bytes"]


def test_out_is_arpa_by_its_name(asrkit, tmp_path: Path) -> None:
    asrkit("lm", "build", str(TEXT), "--out", str(tmp_path / "lm.arpa"))
    assert (tmp_path / "lm.arpa").read_bytes().startswith(b"\\data\\\nngram 1=")


def test_compressed_text(build, tmp_path: Path) -> None:
    (tmp_path / "text.xz").write_bytes(lzma.compress(TEXT.read_bytes()))
    assert build(text=tmp_path / "text.xz")["ngrams"] == build()["ngrams"]


def test_convert(asrkit, tmp_path: Path) -> None:
    mapped, small, back = (tmp_path / name for name in ("lm.bin", "small.bin", "back.arpa"))
    for command in (
        [str(GOLDEN / "order3.arpa"), "-o", str(mapped)],
        [str(mapped), "-o", str(back)],
        [str(mapped), "--out", str(small), "--quantize"],
    ):
        done = asrkit("lm", "convert", *command)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    exact = perplexity(asrkit, mapped, TEXT)
    assert perplexity(asrkit, back, TEXT) == pytest.approx(exact, rel=1e-5)
    assert perplexity(asrkit, small, TEXT) == pytest.approx(exact, rel=5e-3)
    assert small.stat().st_size < mapped.stat().st_size


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{tmp}/absent.txt", "-o", "{tmp}/lm.bin"], 1, "absent.txt: no such file; expected"),
        ([str(TEXT), "-o", "{tmp}/no/lm.bin"], 2, "no folder"),
        ([str(TEXT), "-o", "{tmp}"], 2, "a folder; expected the name of a file"),
        ([str(TEXT), "-o", "{tmp}/a.arpa", "--quantize"], 2, "ARPA cannot be quantized"),
        ([str(TEXT), "-o", "{tmp}/lm.bin", "--order", "0"], 2, "order is 0; expected 1 to"),
        ([str(TEXT), "-o", "{tmp}/lm.bin", "--prune", "x"], 2, "--prune x: expected whole numbers"),
        ([str(TEXT), "-o", "{tmp}/lm.bin", "--vocab", "{tmp}/no"], 1, "no: no such file"),
    ],
)
def test_build_refuses(asrkit, tmp_path: Path, arguments, code: int, message: str) -> None:
    done = asrkit("lm", "build", *(each.format(tmp=tmp_path) for each in arguments))
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_train_info_and_perplexity_of_a_recurrent_model(asrkit, tmp_path: Path) -> None:
    out = tmp_path / "words.lstm"
    done = asrkit("lm", "train", TEXT, "-o", out, "--hidden-size", "16", "--epochs", "3")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    lines = done.stderr.splitlines()
    assert [line.partition(",")[0] for line in lines] == [f"epoch {n}/3" for n in (1, 2, 3)]
    facts = json.loads(asrkit("lm", "info", out, "--json").stdout)
    assert facts["bytes"] == out.stat().st_size
    assert f"{facts['words'] - 2} words" in lines[-1]
    assert f"weights: {facts['weights']}\n" in asrkit("lm", "info", out).stdout
    found = perplexity(asrkit, out, TEXT)
    assert 1 < found["perplexity"] < 2 * facts["words"]
    assert found["tokens"] == perplexity(asrkit, GOLDEN / "order3.arpa", TEXT)["tokens"]
    assert sorted(tmp_path.iterdir()) == [out]


def test_an_interrupted_training_is_not_begun_anew(asrkit, tmp_path: Path) -> None:
    checkpoint = tmp_path / "words.lstm.checkpoint"
    checkpoint.write_text("of another run")
    refused = asrkit("lm", "train", TEXT, "-o", tmp_path / "words.lstm")
    assert refused.returncode == 2
    assert f"{checkpoint}: a run was interrupted; add --resume" in refused.stderr
    damaged = asrkit("lm", "train", TEXT, "-o", tmp_path / "words.lstm", "--resume")
    assert damaged.returncode == 1
    assert f"{checkpoint}: damaged" in damaged.stderr


def test_an_interrupted_training_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "words.lstm"
    arguments = ["lm", "train", str(TEXT), "-o", str(out), "--hidden-size", "16"]
    whole = CliRunner().invoke(app, [*arguments[:4], str(tmp_path / "whole"), *arguments[5:]])
    assert whole.exit_code == 0
    save = training.save_checkpoint

    monkeypatch.setattr(training, "_CHECKPOINT_STEPS", 1)
    monkeypatch.setattr(
        training,
        "save_checkpoint",
        lambda *given, **named: (save(*given, **named), os.kill(os.getpid(), signal.SIGINT)),
    )
    stopped = CliRunner().invoke(app, arguments)
    assert stopped.exit_code == EXIT_INTERRUPTED
    assert "repeat the command with --resume" in stopped.stderr
    assert not out.exists()
    monkeypatch.undo()
    assert CliRunner().invoke(app, [*arguments, "--resume"]).exit_code == 0
    assert out.read_bytes() == (tmp_path / "whole").read_bytes()
    assert not out.with_name("words.lstm.checkpoint").exists()
