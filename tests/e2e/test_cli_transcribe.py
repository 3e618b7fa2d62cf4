"""`asrkit transcribe` as it is used from a shell."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from asrkit import inference
from asrkit.cli import app
from asrkit.cli.transcribe import FORMATS
from asrkit.errors import EXIT_INTERRUPTED
from asrkit.transcribe import pipeline
from asrkit.transcribe.output_folder import RECORD_NAME
from asrkit.transcribe.writers import WRITERS

CORPUS = Path(__file__).resolve().parents[2] / "recipes" / "mini" / "corpus" / "audio"

SAID = {"talk.wav": "ab ca", "deep/b.flac": "c", "deep/er/silence.wav": "", "deep/er/c.wav": "bb a"}


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory, say_in_tones: Callable) -> Path:
    """A folder in which SAID was recorded, and one sentence in every kind of file."""
    folder = tmp_path_factory.mktemp("speech")
    for name, text in SAID.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, say_in_tones(text), 16000)
    (folder / "kinds").mkdir()
    samples = say_in_tones("ab cc a")
    for name in ("a.wav", "b.flac", "c.mp3"):
        soundfile.write(folder / "kinds" / name, samples, 16000)
    soundfile.write(folder / "kinds" / "d.sph", samples, 16000, format="NIST", subtype="PCM_16")
    stereo = np.stack([say_in_tones("ab cc a", 44100)] * 2, axis=1)
    soundfile.write(folder / "kinds" / "e.wav", stereo, 44100)
    return folder


@pytest.fixture
def transcribe(asrkit, model: Path, speech: Path) -> Callable:
    def run(*arguments: str | Path, stdin: Path = Path(os.devnull), folder: Path = speech):
        return asrkit("transcribe", "--model", model, *arguments, folder=folder, stdin=stdin)

    return run


def test_one_file_gives_its_text(transcribe) -> None:
    done = transcribe("talk.wav")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ab ca\n", "")


def test_several_files_give_a_line_each_in_the_order_they_are_named(transcribe) -> None:
    done = transcribe("talk.wav", "deep/er/silence.wav", "deep/b.flac")
    assert done.stdout == "talk.wav\tab ca\ndeep/er/silence.wav\t\ndeep/b.flac\tc\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_folder_and_pattern(transcribe) -> None:
    expected = "deep/b.flac\tc\ndeep/er/c.wav\tbb a\ndeep/er/silence.wav\t\n"
    assert transcribe("deep").stdout == expected
    assert transcribe("deep/**/*.*").stdout == expected


def test_standard_input(transcribe, speech: Path) -> None:
    assert transcribe("-", stdin=speech / "talk.wav").stdout == "ab ca\n"
    done = transcribe("-", stdin=speech / "kinds" / "e.wav")
    assert done.stdout == "ab cc a\n"
    assert done.stderr == "asrkit: -: 44100 Hz stereo -> 16000 Hz mono\n"
    done = transcribe("deep/b.flac", "-", "--format", "json", stdin=speech / "kinds" / "c.mp3")
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["text"], second["text"]) == ("c", "ab cc a")
    assert (second["utt_id"], second["audio_filepath"]) == ("stdin", "-")


def test_json(transcribe) -> None:
    content = json.loads(transcribe("talk.wav", "--format", "json").stdout)
    assert (content["utt_id"], content["text"]) == ("talk", "ab ca")
    assert [word["word"] for word in content["words"]] == ["ab", "ca"]
    times = [word[key] for word in content["words"] for key in ("start_s", "end_s")]
    assert times == sorted(times)
    assert 0 < times[0] < times[-1] < content["duration"] == 0.64


def test_every_kind_of_file(transcribe) -> None:
    done = transcribe("kinds")
    assert done.returncode == 0
    assert done.stdout == "".join(
        f"kinds/{name}\tab cc a\n" for name in ("a.wav", "b.flac", "c.mp3", "d.sph", "e.wav")
    )
    assert done.stderr == "asrkit: kinds/e.wav: 44100 Hz stereo -> 16000 Hz mono\n"


def test_out_mirrors_the_folder(transcribe, speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    done = transcribe("deep", "talk.wav", "--out", out, "--format", "txt,json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    written = {p.relative_to(out).as_posix(): p.read_text() for p in out.rglob("*.*")}
    assert {name: text for name, text in written.items() if name.endswith(".txt")} == {
        "talk.txt": "ab ca\n",
        "b.txt": "c\n",
        "er/c.txt": "bb a\n",
        "er/silence.txt": "\n",
    }
    assert json.loads(written["er/c.json"])["utt_id"] == "er/c"
    assert len(written) == 9  # and the record of what it was made with
    assert "model" in json.loads(written[RECORD_NAME])


def test_several_folders_do_not_clash(transcribe, speech: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "b.wav").write_bytes((speech / "talk.wav").read_bytes())
    done = transcribe(speech / "deep", tmp_path / "in" / "deep", "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    found = {path.read_text() for path in (tmp_path / "out").rglob("b.txt")}
    assert found == {"c\n", "ab ca\n"}


def test_an_interrupted_run_is_resumed(transcribe, speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = transcribe("deep", "--out", out, "--format", "txt,json")
    assert first.returncode == 0
    kept, lost = out / "er" / "c.txt", out / "b.json"
    lost.unlink()
    os.utime(out / "er" / "silence.txt", (0, 0))  # of a run before
    before = kept.stat().st_mtime_ns
    options = ("--out", out, "--format", "txt,json", "--resume")
    done = transcribe("deep", *options)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "asrkit: 1 of 3 were transcribed before\n"
    assert json.loads(lost.read_text())["text"] == "c"
    assert kept.stat().st_mtime_ns == before
    again = transcribe("deep", *options)
    assert again.stderr == "asrkit: 3 of 3 were transcribed before\n"
    refused = transcribe("deep", *options, "--method", "beam")
    assert refused.returncode == 2
    assert "were made with other settings: decode.method; expected the same" in refused.stderr
    anew = transcribe("deep", *options[:-1], "--method", "beam")
    assert (anew.returncode, anew.stderr) == (0, "")
    assert kept.stat().st_mtime_ns > before
    assert "--resume: there is nothing to go on" in transcribe("deep", "--resume").stderr


def test_an_interruption_keeps_what_is_finished(
    model: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_batches = 0

    def recognize(*arguments):
        nonlocal num_batches
        num_batches += 1
        if num_batches == 3:
            raise KeyboardInterrupt
        return inference.recognize(*arguments)

    command = ["transcribe", str(speech / "kinds"), "--model", str(model), "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "recognize", recognize)
        assert CliRunner().invoke(app, [*command, "--batch-s", "0"]).exit_code == EXIT_INTERRUPTED
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["a.txt", "b.txt"]
    done = CliRunner().invoke(app, [*command, "--resume"])
    assert done.exit_code == 0
    assert "asrkit: 2 of 5 were transcribed before" in done.output
    assert {path.read_text() for path in tmp_path.glob("*.txt")} == {"ab cc a\n"}


def test_a_long_recording(transcribe, tmp_path: Path) -> None:
    """Speech with pauses; what this model takes it for does not matter, when does."""
    files = sorted((CORPUS / "test_recorded").glob("*.ogg"))[:12]
    rng, parts, said = np.random.default_rng(0), [], []
    for path in files:
        parts.append(1e-4 * rng.normal(size=24000))
        speech_s = sum(map(len, parts)) / 16000
        parts.append(soundfile.read(path)[0])
        said.append((speech_s, sum(map(len, parts)) / 16000))
    parts.append(np.zeros(5 * 16000))
    samples = np.concatenate(parts)
    soundfile.write(tmp_path / "long.flac", np.stack([samples] * 2, axis=1), 16000)
    command = ("long.flac", "--format", "json")
    done = transcribe(*command, folder=tmp_path)
    assert done.stderr == "asrkit: long.flac: 16000 Hz stereo -> 16000 Hz mono\n"
    content = json.loads(done.stdout)
    assert content["duration"] == pytest.approx(len(samples) / 16000)
    segments = content["segments"]
    assert len(segments) >= 3
    assert max(each["end_s"] - each["start_s"] for each in segments) <= 20.5
    assert segments[-1]["end_s"] < content["duration"] - 4
    for start_s, end_s in said:  # each command is within one segment
        middle = (start_s + end_s) / 2
        (around,) = (each for each in segments if each["start_s"] < middle < each["end_s"])
        assert around["start_s"] < start_s + 0.3
        assert around["end_s"] > end_s - 0.3
    assert " ".join(each["text"] for each in segments if each["text"]) == content["text"]
    other = json.loads(transcribe(*command, "--batch-s", "0", folder=tmp_path).stdout)
    assert (other["segments"], other["text"]) == (segments, content["text"])


def test_transcripts_that_would_overwrite_each_other(transcribe, tmp_path: Path) -> None:
    done = transcribe("deep/er/c.wav", "kinds/c.mp3", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "kinds/c.mp3: its transcript would be written over that of deep/er/c.wav" in done.stderr
    assert not (tmp_path / "out").exists()


def test_method_and_beam_size(transcribe) -> None:
    def log_prob(*options: str) -> float:
        done = transcribe("talk.wav", "--format", "json", *options)
        assert json.loads(done.stdout)["text"] == "ab ca"
        return json.loads(done.stdout)["log_prob"]

    greedy, beam = log_prob("--method", "greedy"), log_prob("--method", "beam")
    narrow = log_prob("--method", "beam", "--beam-size", "1")
    assert log_prob() == greedy < narrow < beam < 0
    refused = transcribe("talk.wav", "--beam-size", "4")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--beam-size 4: the greedy search has none; add --method beam" in refused.stderr


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a language model that knows `a`, `ab` and `bb`, and a lexicon of `abb`."""
    folder = tmp_path_factory.mktemp("language")
    unigrams = "-1\t<unk>\n-9\t<s>\n-1\t</s>\n-1\ta\n-1\tab\n-1\tbb\n"
    (folder / "lm.arpa").write_text(f"\\data\\\nngram 1=6\n\n\\1-grams:\n{unigrams}\n\\end\\\n")
    (folder / "lexicon.txt").write_text("abb a b b\nAB a b\n")
    (folder / "hotwords.txt").write_text("cab:300\n\n")
    return folder


def test_lm(transcribe, language: Path) -> None:
    # A beam so wide that it prunes nothing: what it prunes would depend on the weights.
    wide = ("--method", "beam", "--beam-size", "200")

    def scores(*options: str | Path) -> tuple[float, float]:
        found = json.loads(transcribe("talk.wav", "--format", "json", *wide, *options).stdout)
        return found["score"], found["lm_log_prob"]

    lm = ("--lm", language / "lm.arpa")
    score, lm_log_prob = scores(*lm)
    assert lm_log_prob == pytest.approx(3 * np.log(0.1), abs=1e-4)  # ab, an unknown word, the end
    heavier, _ = scores(*lm, "--lm-weight", "0.51")
    assert heavier == pytest.approx(score + 0.01 * lm_log_prob, abs=1e-4)
    richer, _ = scores(*lm, "--word-bonus", "0.1")
    assert richer == pytest.approx(score + 0.2, abs=1e-2)
    for options, message in [
        (["--lm", language / "lm.arpa"], "--lm .*: the greedy search has none; add --method beam"),
        (["--method", "beam", "--lm-weight", "1"], "--lm-weight 1.0: there is no language model"),
    ]:
        refused = transcribe("talk.wav", *options)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert re.search(message, refused.stderr)


def test_vocabulary_and_lexicon(transcribe, language: Path) -> None:
    closed = ("--method", "beam", "--beam-size", "200", "--vocabulary", "closed")
    words = transcribe("talk.wav", *closed, "--lm", language / "lm.arpa").stdout.split()
    assert words[0] == "ab"
    assert set(words) <= {"a", "ab", "bb"}
    written = transcribe("talk.wav", *closed, "--lexicon", language / "lexicon.txt").stdout
    assert set(written.split()) <= {"AB", "abb"}
    refused = transcribe("talk.wav", *closed)
    assert refused.returncode == 2
    assert "nothing tells the words" in refused.stderr


def test_hotwords(transcribe, language: Path) -> None:
    plain = transcribe("talk.wav", "--method", "beam")
    empty = language / "none.txt"
    empty.write_text("")
    assert transcribe("talk.wav", "--method", "beam", "--hotwords", empty).stdout == plain.stdout
    of_file = transcribe("talk.wav", "--method", "beam", "--hotwords", language / "hotwords.txt")
    assert "cab" in of_file.stdout
    assert "cab" not in plain.stdout
    named = transcribe("talk.wav", "--method", "beam", "--hotword", "cab:300")
    assert named.stdout == of_file.stdout
    refused = transcribe("talk.wav", "--method", "beam", "--hotword", "xyz")
    assert refused.returncode == 2
    assert "cannot spell 'xyz'" in refused.stderr


def test_nbest(transcribe) -> None:
    done = transcribe("talk.wav", "--method", "beam", "--format", "json", "--nbest", "3")
    best = json.loads(done.stdout)
    assert best["text"] == "ab ca"
    assert len(best["alternatives"]) == 2
    assert best["log_prob"] > best["alternatives"][0]["log_prob"]
    for options in (["--format", "json"], ["--method", "beam"]):
        assert transcribe("talk.wav", "--nbest", "3", *options).returncode == 2


def test_batch_s_changes_nothing_but_speed(transcribe) -> None:
    whole = transcribe("deep", "talk.wav", "kinds", "--format", "json").stdout
    for batch_s in ("0", "0.8", "2.5"):
        done = transcribe("deep", "talk.wav", "kinds", "--format", "json", "--batch-s", batch_s)
        assert done.stdout == whole


def test_batch_s_limits_a_batch(model: Path, speech: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []

    def recognize(model, batch, *settings):
        batches.append(len(batch.utt_ids))
        return inference.recognize(model, batch, *settings)

    monkeypatch.setattr(pipeline, "recognize", recognize)
    command = ["transcribe", str(speech / "kinds"), "--model", str(model)]
    assert CliRunner().invoke(app, [*command, "--batch-s", "2"]).exit_code == 0
    assert batches == [2, 2, 1]  # each lasts 0.88 s
    batches.clear()
    assert CliRunner().invoke(app, command).exit_code == 0
    assert batches == [5]


def test_bad_files_among_good_ones(transcribe, speech: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    whole = (speech / "talk.wav").read_bytes()
    (tmp_path / "good.wav").write_bytes(whole)
    (tmp_path / "half.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.wav").write_text("This is no sound.\n")
    (tmp_path / "zz.wav").write_bytes(whole)
    done = transcribe(".", "gone.wav", folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout == "good.wav\tab ca\nzz.wav\tab ca\n"
    empty, half, text, gone, summary = done.stderr.splitlines()
    assert empty == "asrkit: empty.wav: is empty, 0 bytes; copy or download it again"
    assert half.startswith("asrkit: half.wav: truncated: the header declares 20524 bytes, the file")
    assert text.startswith("asrkit: text.wav: is not audio in a known format; expected WAV, FLAC")
    assert gone == "asrkit: gone.wav: cannot be read: No such file or directory"
    assert summary == "asrkit: 4 of 6 failed: empty.wav, half.wav, text.wav, gone.wav"


def test_results_are_written_beside_failures(transcribe, tmp_path: Path) -> None:
    done = transcribe("gone.wav", "talk.wav", "--out", tmp_path)
    assert done.returncode == 1
    assert {path.name for path in tmp_path.iterdir()} == {"talk.txt", RECORD_NAME}


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has file names that are just bytes")
def test_odd_file_names(transcribe, speech: Path, tmp_path: Path) -> None:
    content = (speech / "talk.wav").read_bytes()
    names = [
        b"caf\xe9.wav",
        b"tab\t.wav",
        b"two\nlines.wav",
        b":bug:.wav",
        "žluť.wav".encode(),
    ]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(content)
    done = transcribe(".", "--batch-s", "0", folder=tmp_path)
    labels = [":bug:.wav", "caf\\udce9.wav", "tab .wav", "two lines.wav", "žluť.wav"]
    assert done.stdout == "".join(f"{label}\tab ca\n" for label in labels)
    lines = transcribe(".", "--format", "json", folder=tmp_path).stdout.splitlines()
    found = [json.loads(line)["audio_filepath"] for line in lines]
    assert sorted(map(os.fsencode, found)) == sorted(names)

    out = tmp_path / "out"
    assert transcribe(".", "--format", "json", "--out", out, folder=tmp_path).returncode == 0
    written = [path for path in out.iterdir() if path.name != RECORD_NAME]
    assert {json.loads(p.read_text())["audio_filepath"] for p in written} == set(found)

    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(b"")
    done = transcribe(".", folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "asrkit: :bug:.wav: is empty" in done.stderr
    assert "asrkit: caf\\udce9.wav: is empty" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "Missing argument 'FILE|FOLDER|GLOB|-'"),
        (["talk.wav", "--format", "doc"], "--format doc: unknown; expected txt or json"),
        (["talk.wav", "--format", "txt,"], "--format : unknown"),
        (["talk.wav", "--format", "txt,json"], "several formats need --out DIR"),
        (["talk.wav", "--out", "talk.wav"], "'--out'"),
        (["talk.wav", "--model", "gone.asr"], "'gone.asr' does not exist"),
        (["talk.wav", "--model", "deep"], "'deep' is a directory"),
        (["talk.wav", "--method", "viterbi"], "'greedy', 'beam'"),
        (["talk.wav", "--beam-size", "0"], "greater than or equal to 1"),
        (["talk.wav", "--batch-s", "-1"], "greater than or equal to 0"),
        (["talk.wav", "*.nix"], "*.nix: no file matches the pattern"),
        (["talk.wav", ""], "an input is empty"),
        (["talk.wav", "--speed", "9"], "No such option: --speed"),
    ],
)
def test_usage_errors(transcribe, arguments: list[str], problem: str) -> None:
    done = transcribe(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr


def test_help_names_every_format() -> None:
    assert set(FORMATS) == WRITERS.keys()


def test_a_file_that_is_no_model(transcribe) -> None:
    done = transcribe("talk.wav", "--model", "talk.wav")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "asrkit: talk.wav: not a readable model file: File is not a zip file\n"
