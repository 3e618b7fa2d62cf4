"""`asrkit score --html`: which utterances sound, and what is said of those that do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import typer
from typer.testing import CliRunner, Result

from asrkit.browser import build
from asrkit.cli.score import score_command
from asrkit.errors import AsrkitError, UsageError

TEXTS = {"u1": "ab ca", "u2": "b", "u3": "ac b"}
HYPS = {"u1": "ab cc", "u2": "b", "u3": "b"}


def run(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command("score")(score_command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(error: type[AsrkitError], *arguments: str | Path) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, error), result.output
    return str(result.exception)


def data_of(page: Path) -> dict:
    text = page.read_text("utf-8").split('<script type="application/json" id="data">')[1]
    return json.loads(text.split("</script>")[0])


@pytest.fixture
def files(tmp_path: Path, say_in_tones: Callable) -> tuple[Path, Path, Path]:
    """A manifest of references, hypotheses, and the page to be written."""
    lines = []
    for utt_id, text in TEXTS.items():
        soundfile.write(tmp_path / f"{utt_id}.wav", say_in_tones(text), 16000)
        fields = {"audio_filepath": f"{utt_id}.wav", "utt_id": utt_id, "text": text}
        lines.append(json.dumps({**fields, "speaker": "ann"}))
    ref, hyp = tmp_path / "ref.jsonl", tmp_path / "hyp.jsonl"
    ref.write_text("\n".join(lines))
    hyp.write_text("\n".join(json.dumps({"utt_id": k, "text": t}) for k, t in HYPS.items()))
    return ref, hyp, tmp_path / "page.html"


def test_audio_of_the_references(files: tuple[Path, Path, Path]) -> None:
    ref, hyp, page = files
    result = run(ref, hyp, "--html", page)
    assert result.exit_code == 0
    assert result.stdout.startswith("WER 40.00 % (2 / 5)")
    assert "page.html: 0.1 MB, audio of 3 of 3 utterances: 1 s; --model MODEL" in result.stderr
    sounds = data_of(page)["sounds"]
    assert list(sounds) == ["u1", "u3", "u2"]
    assert sounds["u1"].keys() == {"duration_s", "sample_rate_hz", "flac", "spectrogram"}
    assert sounds["u1"]["duration_s"] == pytest.approx(0.64)
    first = page.read_bytes()
    run(ref, hyp, "--html", page)
    assert page.read_bytes() == first


def test_the_worst_only(files: tuple[Path, Path, Path]) -> None:
    ref, hyp, page = files
    result = run(ref, hyp, "--html", page, "--audio-utterances", 2)
    assert "audio of 2 of 3 utterances, those with the most errors" in result.stderr
    assert "--audio-utterances N puts in more" in data_of(page)["sound"]
    assert list(data_of(page)["sounds"]) == ["u1", "u3"]
    run(ref, hyp, "--html", page, "--audio-utterances", 0)
    assert data_of(page)["sounds"] == {}


def test_no_more_than_a_browser_can_open(
    files: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "MAX_AUDIO_S", 1.0)
    ref, hyp, page = files
    result = run(ref, hyp, "--html", page)
    assert list(data_of(page)["sounds"]) == ["u1", "u2"]
    assert (
        "audio of 2 of 3 utterances, those with the most errors: 1 s; a page holds 1 s"
        in result.stderr
    )


def test_audio_of_another_manifest(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    ref, hyp, page = files
    text = tmp_path / "text"
    text.write_text("".join(f"{k} {t}\n" for k, t in {"u_1": "a"}.items()))
    assert run(text, text, "--html", page).exit_code == 0
    assert "no audio: the references are no manifest" in data_of(page)["sound"]
    text.write_text("".join(json.dumps({"utt_id": k, "text": t}) + "\n" for k, t in TEXTS.items()))
    run(text, hyp, "--html", page, "--audio", ref)
    assert data_of(page)["sounds"].keys() == TEXTS.keys()
    assert {each["speaker"] for each in data_of(page)["utterances"]} == {"ann"}


def test_a_model_adds_posteriors_and_times(files: tuple[Path, Path, Path], model: Path) -> None:
    ref, hyp, page = files
    result = run(ref, hyp, "--html", page, "--model", model)
    assert result.exit_code == 0, result.output
    data = data_of(page)
    assert data["symbols"] == ["<blank>", " ", "a", "b", "c"]
    assert data["model"].startswith("tones.asr, SHA-256 ")
    sound = data["sounds"]["u1"]
    assert [word[0] for word in sound["hyp"]["words"]] == ["ab", "cc"]
    assert sound["ref"]["log_prob"] > sound["hyp"]["log_prob"]
    assert sound["posteriors"]["likeliest"] == 3


def test_what_the_model_cannot_spell_is_told(files: tuple[Path, Path, Path], model: Path) -> None:
    ref, hyp, page = files
    hyp.write_text(hyp.read_text().replace("ab cc", "ab 5"))
    result = run(ref, hyp, "--html", page, "--model", model)
    assert result.exit_code == 0
    assert "u1: hypothesis not aligned: the model has no token for '5'" in result.stderr
    assert "words" in data_of(page)["sounds"]["u1"]["ref"]


def test_missing_audio_is_told_and_the_rest_goes_on(files: tuple[Path, Path, Path]) -> None:
    ref, hyp, page = files
    (ref.parent / "u1.wav").unlink()
    result = run(ref, hyp, "--html", page)
    assert result.exit_code == 1
    assert "u1.wav: cannot be read" in result.stderr
    assert "1 of 3 failed: u1" in result.stderr
    sounds = data_of(page)["sounds"]
    assert "cannot be read" in sounds["u1"]["problem"]
    assert "flac" in sounds["u3"]


def test_files_of_one_name_are_called_by_their_paths(files: tuple[Path, Path, Path]) -> None:
    ref, hyp, page = files
    run(ref, hyp, "--html", page)
    assert (data_of(page)["ref_name"], data_of(page)["hyp_name"]) == ("ref.jsonl", "hyp.jsonl")
    run(ref, ref, "--html", page)
    assert data_of(page)["ref_name"] == str(ref)


def test_options_that_would_do_nothing(files: tuple[Path, Path, Path], model: Path) -> None:
    ref, hyp, page = files
    for option in (("--audio", ref), ("--model", model), ("--audio-utterances", 3)):
        assert "expected that too" in refused(UsageError, ref, hyp, *option)
    assert "no folder" in refused(UsageError, ref, hyp, "--html", page.parent / "none" / "p.html")
    ref.write_text("".join(json.dumps({"utt_id": k, "text": t}) + "\n" for k, t in TEXTS.items()))
    assert "--audio MANIFEST" in refused(UsageError, ref, hyp, "--html", page, "--model", model)


def test_a_page_without_a_model_does_without_torch(files: tuple[Path, Path, Path]) -> None:
    import subprocess
    import sys

    ref, hyp, page = map(str, files)
    code = (
        "import sys, asrkit.cli\n"
        f"sys.argv[1:] = ['score', {ref!r}, {hyp!r}, '--html', {page!r}]\n"
        "try: asrkit.cli.main()\n"
        "except SystemExit as end: assert end.code in (0, None)\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
