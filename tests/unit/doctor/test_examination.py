"""Each planted fault is found, and a healthy corpus has none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch
from typer.testing import CliRunner

from asrkit.cli import app
from asrkit.config import load_settings
from asrkit.data.tokens import TokenTable
from asrkit.doctor import examination, memory
from asrkit.doctor.examination import examine_recipe
from asrkit.doctor.finding import Finding
from asrkit.doctor.report import Report
from asrkit.recipe.run_folder import RunFolder
from asrkit.recipe.trial import WorstBatch
from asrkit.train.metrics import MetricsLog

CPU = torch.device("cpu")


@pytest.fixture
def without_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    little = WorstBatch([], 1.0, 1000, 0, is_measured=True)
    monkeypatch.setattr(examination, "try_memory", lambda *_: (little, 10**9))


def examine(bursts: Any, *overrides: str, run: RunFolder | None = None) -> Report:
    recipe_toml = bursts.write()
    return examine_recipe(recipe_toml, load_settings(recipe_toml, overrides), CPU, run)


def only(report: Report) -> Finding:
    (finding,) = report.findings
    return finding


def named(finding: Finding) -> list[str]:
    return [case.utt_id for case in finding.cases]


# --- the whole


def test_a_healthy_corpus_has_no_findings_and_leaves_nothing_behind(bursts) -> None:
    recipe_toml = bursts.write()
    before = sorted(bursts.folder.iterdir())
    report = examine_recipe(recipe_toml, load_settings(recipe_toml, []), CPU)
    assert report.findings == []
    assert list(report.examined) == ["train", "dev", "test", "tokens", "memory"]
    assert report.examined["train"] == "24 utterances, 0.01 h"
    assert "largest batch: 2 utterances, 3 s with padding" in report.examined["memory"]
    assert report.text().splitlines()[-1] == "0 errors, 0 warnings, 0 notes"
    assert sorted(bursts.folder.iterdir()) == before


def test_each_file_is_decoded_once(
    bursts, without_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    blocks = soundfile.SoundFile.read

    def note(file: soundfile.SoundFile, *arguments: Any, **named: Any) -> Any:
        read.append(file.name)
        return blocks(file, *arguments, **named)

    monkeypatch.setattr(soundfile.SoundFile, "read", note)
    examine(bursts)
    assert len(read) == len(set(read)) == 30


@pytest.mark.parametrize(
    "override",
    [
        "model.kind=transducer",
        "model.kind=next_label",
        "data.unit=phone",
        "features.normalization=speaker",
    ],
)
def test_other_kinds_of_recipes(bursts, without_steps: None, override: str) -> None:
    if override == "data.unit=phone":
        for whole in bursts.splits.values():
            whole[:] = [replace(u, text=" ".join(u.text.replace(" ", ""))) for u in whole]
    assert examine(bursts, override).findings == []


# --- CTC


def test_infeasible_transcripts_exactly(bursts, without_steps: None) -> None:
    # 0.335 s are 5360 samples: 32 frames of 25 ms, every 10 ms.
    fits = {"duration_s": 0.335, "text": "abcacbabcacbabcacbabcacbabcacbab"}
    train = bursts.change("train", 3, **fits)
    assert not [f for f in examine(bursts).findings if f.severity == "error"]
    bursts.change("train", 3, text=train.text[:-1] + "a")  # needs a blank between equals
    bursts.change("dev", 0, duration_s=0.325)
    bursts.change("dev", 0, text="ab" * 16)
    bursts.change("test", 0, **fits)
    (finding,) = [f for f in examine(bursts).findings if f.kind == "infeasible-transcript"]
    assert finding.severity == "error"
    assert named(finding) == [bursts.splits[s][n].utt_id for s, n in (("dev", 0), ("train", 3))]
    assert finding.cases[1].value == ("0.335 s give 32 frames, 32 labels with 1 repeats need 33")


def test_the_fastest_speed_counts_in_training_alone(bursts, without_steps: None) -> None:
    tight = {"duration_s": 0.335, "text": "abcacbabcacbabcacbabcacbabcacb"}
    bursts.change("train", 3, **tight)
    bursts.change("dev", 0, **tight)
    assert "infeasible-transcript" not in kinds(examine(bursts))
    report = examine(bursts, "augment.speed_factors=[0.9,1.0,1.1]")
    (finding,) = [f for f in report.findings if f.kind == "infeasible-transcript"]
    assert named(finding) == [bursts.splits["train"][3].utt_id]
    assert "fastest speed 1.1" in finding.message


def test_a_test_set_that_cannot_be_recognised_is_a_warning(bursts, without_steps: None) -> None:
    odd = bursts.change("test", 1, duration_s=0.15)
    (finding,) = [f for f in examine(bursts).findings if f.kind == "impossible-transcript"]
    assert (finding.severity, named(finding)) == ("warning", [odd.utt_id])


def test_subsampling_that_leaves_hardly_enough(bursts, without_steps: None) -> None:
    report = examine(bursts, "model.frontend=stack", "model.subsampling=9")
    (finding,) = [f for f in report.findings if f.kind == "tight-transcript"]
    assert finding.severity == "warning"
    assert "may stay with blanks" in finding.message


def kinds(report: Report) -> list[str]:
    return [finding.kind for finding in report.findings]


# --- transcripts


def test_too_fast_and_too_slow(bursts, without_steps: None) -> None:
    fast = bursts.change("train", 5, text="abc bca acb " * 5)
    slow = bursts.change("dev", 1, text="a")
    first, second = examine(bursts).findings
    assert (first.kind, named(first)) == ("fast-transcript", [fast.utt_id])
    assert (second.kind, named(second)) == ("slow-transcript", [slow.utt_id])
    assert second.cases[0].value == "0.667 labels a second, 1.5 s of 'a'"


def test_odd_and_over_long_durations(bursts, without_steps: None) -> None:
    long = bursts.add("train", "abc bca acb cab " * 4)
    findings = {f.kind: f for f in examine(bursts).findings}
    assert findings.keys() == {"odd-duration", "over-long-utterance"}
    assert {tuple(named(f)) for f in findings.values()} == {(long.utt_id,)}
    assert "data.max_batch_s = 4 s" in findings["over-long-utterance"].message


def test_symbols_that_training_lacks(bursts, without_steps: None) -> None:
    dev = bursts.change("dev", 1, text="abx bca acx abb")
    test = bursts.change("test", 2, text="abc b7a acb ab\u0430")
    error, warning = examine(bursts).findings
    assert (error.severity, error.kind, named(error)) == ("error", "unknown-symbol", [dev.utt_id])
    assert error.message.startswith("'x' 2 times in 1 utterance of dev, but not in the token table")
    assert (warning.severity, named(warning)) == ("warning", [test.utt_id])
    assert warning.cases[0].value.startswith("'7' '\u0430' in ")


def test_rare_symbols(bursts, without_steps: None) -> None:
    text = bursts.splits["train"][4].text
    odd = bursts.change("train", 4, text=text[:-1] + "7")
    assert "rare-symbol" not in kinds(examine(bursts))  # in a small corpus all are
    bursts.splits["train"] += [
        replace(u, utt_id=f"{u.utt_id}-{n}")
        for n in range(3)
        for u in bursts.splits["train"]
        if u is not odd
    ]
    (finding,) = [f for f in examine(bursts).findings if f.kind == "rare-symbol"]
    assert named(finding) == [odd.utt_id]
    assert "'7' 1 times" in finding.message


def test_two_cases(bursts, without_steps: None) -> None:
    odd = bursts.change("train", 4, text=bursts.splits["train"][4].text.upper())
    (finding,) = [f for f in examine(bursts).findings if f.kind == "mixed-case"]
    assert named(finding) == [odd.utt_id]
    assert "in upper case" in finding.message


def test_an_empty_transcript(bursts, without_steps: None) -> None:
    empty = bursts.change("train", 4, text=" ")
    finding = only(examine(bursts))
    assert (finding.kind, named(finding)) == ("empty-transcript", [empty.utt_id])


def test_the_table_of_a_prepared_run(bursts, without_steps: None, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.tokens.parent.mkdir(parents=True)
    run.tokens.write_text(TokenTable.from_texts(["a b c q"], "char").to_text())
    finding = only(examine(bursts, run=run))
    assert (finding.severity, finding.kind) == ("note", "unused-symbol")
    assert "1 of 5 symbols" in finding.message
    assert "'q'" in finding.message


def test_a_lexicon_that_teaches_nothing(bursts, without_steps: None) -> None:
    (bursts.folder / "lexicon.txt").write_text("elsewhere e l\n")
    report = examine(bursts, "model.phone_layer=1", "data.lexicon=lexicon.txt")
    finding = only(report)
    assert (finding.severity, finding.kind) == ("error", "lexicon")
    assert "data.lexicon: holds none of the words" in finding.message
    assert "tokens" in report.examined


def test_no_token_table(bursts, without_steps: None) -> None:
    finding = only(examine(bursts, "data.unit=bpe", "data.vocabulary_size=3"))
    assert (finding.severity, finding.kind) == ("error", "token-table")
    assert "data.vocabulary_size = 3" in finding.message


# --- files and splits


def test_files_that_cannot_be_used(bursts, without_steps: None) -> None:
    train = bursts.splits["train"]
    train[0].audio_path.unlink()
    train[1].audio_path.write_bytes(train[1].audio_path.read_bytes()[:1000])
    beyond = bursts.change("train", 2, duration_s=train[2].duration_s + 2.0)
    short = bursts.change("train", 3, duration_s=train[3].duration_s - 0.3)
    bursts.change("train", 4, duration_s=train[4].duration_s + 0.3)  # is cut, as prepare does
    report = examine(bursts)
    found = [(f.severity, f.kind, *named(f)) for f in report.findings]
    assert found == [  # and nothing that follows from wrong durations
        ("error", "missing-audio", train[0].utt_id),
        ("error", "unreadable-audio", train[1].utt_id),
        ("error", "wrong-duration", beyond.utt_id),
        ("warning", "wrong-duration", short.utt_id),
    ]
    assert report.has_errors


def test_an_empty_test_set(bursts, without_steps: None) -> None:
    bursts.splits["test"].clear()
    finding = only(examine(bursts))
    assert (finding.severity, finding.message, finding.cases) == (
        "error",
        "no utterances: test",
        [],
    )


def test_leaks_and_repetitions(bursts, without_steps: None) -> None:
    train, test = bursts.splits["train"], bursts.splits["test"]
    bursts.play(test[0], soundfile.read(train[7].audio_path)[0])
    bursts.change("test", 0, duration_s=train[7].duration_s)
    bursts.play(train[8], soundfile.read(train[9].audio_path)[0])
    bursts.change("train", 8, text=train[9].text)
    bursts.change("test", 1, speaker=train[0].speaker)
    bursts.change("test", 2, speaker=bursts.splits["dev"][0].speaker)
    text = bursts.change("dev", 2, text=train[0].text)
    *others, known_voice, shared_text = examine(bursts).findings
    assert (known_voice.kind, named(known_voice)) == ("shared-speaker", [test[2].utt_id])
    assert (known_voice.severity, known_voice.message.split(" (")[0]) == (
        "note",
        "speakers who are in dev and test",
    )
    found = {f.kind: f for f in [*others, shared_text]}
    assert {kind: (f.severity, named(f)) for kind, f in found.items()} == {
        "shared-audio": ("error", [test[0].utt_id]),
        "duplicate-audio": ("warning", [train[9].utt_id]),
        "shared-speaker": ("warning", [test[1].utt_id]),
        "contradicting-transcripts": ("warning", [train[7].utt_id, test[0].utt_id]),
        "shared-text": ("note", [text.utt_id]),
    }
    path = train[7].utt_id
    assert found["shared-audio"].cases[0].value == (
        f"the audio is also that of utterance {path} of train"
    )


# --- sound


def test_what_is_wrong_with_recordings(bursts, without_steps: None) -> None:
    train = bursts.splits["train"]
    samples = [soundfile.read(utterance.audio_path)[0] for utterance in train]
    size = len(samples[0])
    generator = np.random.default_rng(1)
    bursts.play(train[0], np.zeros(size))
    bursts.play(train[1], 0.0002 * samples[1])
    bursts.play(train[2], 0.05 * generator.uniform(-1, 1, size=size))
    bursts.play(train[3], np.clip(12 * samples[3], -1, 1))
    bursts.play(train[4], 0.5 * np.clip(12 * samples[4], -1, 1))
    bursts.play(train[5], samples[5] + 0.05)
    found = {f.kind: f for f in examine(bursts).findings}
    assert {kind: (f.severity, named(f)) for kind, f in found.items()} == {
        "silent-audio": ("warning", [train[0].utt_id, train[1].utt_id]),
        "steady-audio": ("warning", [train[2].utt_id]),
        "clipped-audio": ("warning", [train[3].utt_id, train[4].utt_id]),
        "dc-offset": ("note", [train[5].utt_id]),
    }
    assert "mean is +0.0" in found["dc-offset"].cases[0].value


def test_samples_whose_bytes_are_misread(bursts, without_steps: None) -> None:
    train = bursts.splits["train"]
    samples = [soundfile.read(utterance.audio_path, dtype="int16")[0] for utterance in train]
    half = len(samples[0]) // 2
    as_bytes = samples[0].tobytes()
    lost_one = np.frombuffer(as_bytes[: 2 * half] + as_bytes[2 * half + 1 :] + b"\0", np.int16)
    bursts.play(train[0], lost_one / 32768)
    bursts.play(train[1], samples[1].byteswap() / 32768)
    hiss = np.random.default_rng(1).normal(size=len(samples[2]))
    bursts.play(train[2], np.clip(samples[2] / 32768 + 0.05 * hiss, -1, 1))
    finding = only(examine(bursts))
    assert (finding.kind, finding.severity) == ("misread-samples", "warning")
    assert named(finding) == [train[0].utt_id, train[1].utt_id]


def test_what_was_sampled_at_a_lower_rate(bursts, without_steps: None) -> None:
    def narrow(utterance) -> None:
        low = soxr.resample(soundfile.read(utterance.audio_path)[0], 16000, 8000)
        bursts.play(utterance, soxr.resample(low, 8000, 16000))

    narrow(bursts.splits["train"][0])
    finding = only(examine(bursts))
    assert (finding.kind, finding.severity) == ("narrow-band", "note")
    assert named(finding) == [bursts.splits["train"][0].utt_id]
    assert "8000 Hz: 1" in finding.message
    for utterance in [u for whole in bursts.splits.values() for u in whole]:
        narrow(utterance)
    finding = only(examine(bursts))
    assert finding.severity == "warning"
    assert "data.sample_rate_hz = 8000" in finding.remedy
    assert examine(bursts, "data.sample_rate_hz=8000").findings == []


def test_sample_rates(bursts, without_steps: None) -> None:
    first, second = bursts.splits["train"][:2]
    bursts.play(first, soxr.resample(soundfile.read(first.audio_path)[0], 16000, 44100), 44100)
    found = examine(bursts, "data.sample_rate_hz=16000")
    assert "several-sample-rates" in kinds(found)
    bursts.play(second, soxr.resample(soundfile.read(second.audio_path)[0], 16000, 8000), 8000)
    (finding,) = [f for f in examine(bursts).findings if f.kind == "low-sample-rate"]
    assert named(finding) == [second.utt_id]


# --- settings and memory


@pytest.mark.parametrize(
    ("override", "kind"),
    [
        ("train.learning_rate=0.3", "learning-rate"),
        ("train.learning_rate=1e-7", "learning-rate"),
        ("train.warmup_steps=100000", "warm-up"),
        ("train.max_epochs=2", "few-steps"),
        ("train.clip_norm=0.0", "no-clipping"),
    ],
)
def test_settings_that_will_not_learn(
    bursts, without_steps: None, override: str, kind: str
) -> None:
    finding = only(examine(bursts, override))
    assert finding.kind == kind
    assert finding.severity == ("note" if kind == "no-clipping" else "warning")


def test_too_little_memory(bursts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory_bytes", lambda _device: 10**6)
    finding = only(examine(bursts))
    assert (finding.severity, finding.kind) == ("error", "memory")
    assert "of 0.001 GB: training would be killed there" in finding.message
    assert set(named(finding)) <= {u.utt_id for u in bursts.splits["train"]}
    assert len(named(finding)) == 2


# --- the command


def doctor(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


def test_the_command_on_a_recipe(bursts, without_steps: None) -> None:
    done = doctor(bursts.write())
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("0 errors, 0 warnings, 0 notes\n")
    for number in range(5):
        bursts.change("train", number, text="abcab" * 60)
    done = doctor(bursts.write(), "--set", "train.clip_norm=0.0")
    assert done.exit_code == 1
    assert "error: infeasible-transcript: more labels than" in done.stdout
    assert "in their frames: 5 utterances of train and dev" in done.stdout
    assert "and 2 more; --json has them all" in done.stdout
    done = doctor(bursts.write(), "--json")
    assert done.exit_code == 1
    content = json.loads(done.stdout)
    finding = content["findings"][0]
    assert (finding["severity"], finding["kind"]) == ("error", "infeasible-transcript")
    assert len(finding["utterances"]) == 5
    assert finding["utterances"][0].keys() == {"split", "utt_id", "audio_filepath", "value"}
    assert Path(finding["utterances"][0]["audio_filepath"]).is_file()


def test_the_command_on_a_run(bursts, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert doctor("--run-dir", run).exit_code != 0
    run.mkdir()
    with MetricsLog(run, 0) as log:
        for number, (loss, rate) in enumerate([(50.0, 0.9), (20.0, 0.9), (90.0, 0.0)], start=1):
            step = {"loss": loss, "learning_rate": 1e-3, "grad_norm": 2.0}
            hardest = {"hardest": bursts.splits["train"][number].utt_id, "hardest_loss": 3.5}
            log.write("step", number, {**step, **hardest})
            dev = {"dev_loss": loss, "dev_error": 0.5, "dev_emission_rate": rate}
            log.write("epoch", number, {"epoch": number, "train_loss": loss, **dev})
    done = doctor("--run-dir", run)
    assert done.exit_code == 1
    assert "error: collapse: the model emits only blanks, for 1 steps" in done.stdout
    assert bursts.splits["train"][3].utt_id in done.stdout
    assert "collapse, 3 epochs" in done.stdout


def test_the_command_wants_something_to_examine() -> None:
    assert doctor().exit_code != 0
    assert doctor("mini", "--run-dir", "nowhere").exit_code != 0
    assert doctor("lstm_lab").exit_code != 0
    assert doctor("--run-dir", ".", "--set", "train.clip_norm=1.0").exit_code != 0
