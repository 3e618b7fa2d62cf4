"""One result a file, in order, whatever the batches and whatever is wrong with the others."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.decode.hypothesis import Hypothesis
from asrkit.model_file import Recognizer
from asrkit.settings import DecodeSettings
from asrkit.transcribe import pipeline
from asrkit.transcribe.inputs import Source
from asrkit.transcribe.pipeline import Failure, Transcript, transcribe

GREEDY = DecodeSettings()
TEXTS = ["ab ca", "c", "", "aabbcc bb", "b a b", "cab"]


def run(
    recognizer: Recognizer,
    sources: Sequence[Source],
    max_batch_s: float = 100.0,
    settings: DecodeSettings = GREEDY,
) -> list[Transcript | Failure]:
    return list(transcribe(recognizer, sources, settings, max_batch_s))


def texts(results: Sequence[Transcript | Failure]) -> list[str | None]:
    return [r.hypothesis.text if isinstance(r, Transcript) else None for r in results]


@pytest.fixture
def sources(say) -> list[Source]:
    return [say(f"{number}.wav", text) for number, text in enumerate(TEXTS)]


def test_results_in_order(tone_recognizer: Recognizer, sources: list[Source]) -> None:
    results = run(tone_recognizer, sources)
    assert texts(results) == TEXTS
    assert [result.source for result in results] == sources
    assert results[1].duration_s == pytest.approx(0.16)
    assert {result.conversion for result in results} == {""}


def test_nothing_to_do(tone_recognizer: Recognizer) -> None:
    assert run(tone_recognizer, []) == []


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_batches_change_no_result(
    tone_recognizer: Recognizer, sources: list[Source], method: str
) -> None:
    decode = DecodeSettings(method=method)
    alone = [run(tone_recognizer, [source], settings=decode)[0].hypothesis for source in sources]
    for max_batch_s in (0.0, 0.5, 1.5, 3.0, 1e9):
        results = run(tone_recognizer, sources, max_batch_s, decode)
        assert [result.hypothesis.text for result in results] == [h.text for h in alone]
        for result, expected in zip(results, alone, strict=True):
            spans = [(t.token, t.start_s, t.end_s) for t in result.hypothesis.tokens]
            assert spans == [(t.token, t.start_s, t.end_s) for t in expected.tokens]
            assert result.hypothesis.log_prob == pytest.approx(expected.log_prob, rel=1e-5)


@given(
    durations_s=st.lists(st.floats(0.01, 5), min_size=1, max_size=12),
    max_batch_s=st.floats(0, 20),
    bad=st.sets(st.integers(0, 11)),
)
@settings(max_examples=50, deadline=None)
def test_batches_stay_within_their_limit(
    durations_s: list[float], max_batch_s: float, bad: set[int]
) -> None:
    batches: list[list[float]] = []

    def recognize(_model, batch, _tokens, _settings, _nbest) -> list[Hypothesis]:
        lens = (batch.wave_lens / 100).tolist()
        batches.append(lens)
        return [Hypothesis(f"{seconds:.2f}", "char", (), 0.0) for seconds in lens]

    def read_audio(path: Path, _rate_hz: int) -> pipeline.Audio:
        number = int(path.name)
        if number in bad:
            raise pipeline.AudioError(f"{path}: bad")
        samples = np.zeros(round(durations_s[number] * 100) or 1, np.float32)
        return pipeline.Audio(samples, 100)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "recognize", recognize)
        patch.setattr(pipeline, "read_audio", read_audio)
        fake = SimpleNamespace(model=SimpleNamespace(sample_rate_hz=100), tokens=None)
        sources = [Source(Path(str(n)), Path(str(n)), str(n)) for n in range(len(durations_s))]
        results = list(transcribe(fake, sources, GREEDY, max_batch_s))

    assert [result.source for result in results] == sources
    for number, result in enumerate(results):
        if number in bad:
            assert isinstance(result, Failure)
        else:
            assert result.hypothesis.text == f"{result.duration_s:.2f}"
    assert sum(map(len, batches)) == len(set(range(len(durations_s))) - bad)
    assert all(len(b) == 1 or len(b) * max(b) <= max_batch_s + 1e-4 for b in batches)


def test_results_come_before_all_is_read(
    tone_recognizer: Recognizer, sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    read_audio = pipeline.read_audio
    monkeypatch.setattr(
        pipeline, "read_audio", lambda path, rate: read.append(path) or read_audio(path, rate)
    )
    next(transcribe(tone_recognizer, sources, GREEDY, max_batch_s=0.0))
    assert len(read) == 2


@pytest.mark.parametrize(
    ("name", "how", "conversion"),
    [
        ("x.flac", {}, ""),
        ("x.mp3", {}, ""),
        ("x.sph", {"format": "NIST", "subtype": "PCM_16"}, ""),
        ("x.opus", {"format": "OGG", "subtype": "OPUS"}, ""),
        ("x.aiff", {}, ""),
        ("x.wav", {"subtype": "PCM_24"}, ""),
        ("x.wav", {"rate_hz": 44100, "channels": 2}, "44100 Hz stereo -> 16000 Hz mono"),
        ("x.wav", {"rate_hz": 8000}, "8000 Hz mono -> 16000 Hz mono"),
        ("x.wav", {"channels": 6}, "16000 Hz 6 channels -> 16000 Hz mono"),
    ],
)
def test_any_audio(tone_recognizer: Recognizer, say, name: str, how: dict, conversion: str) -> None:
    (result,) = run(tone_recognizer, [say(name, "ab cc a", **how)])
    assert result.hypothesis.text == "ab cc a"
    assert result.conversion == conversion


def bad_files(folder: Path, good: bytes) -> dict[str, str]:
    """Write files that cannot be transcribed; give what must be said of each."""
    (folder / "empty.wav").touch()
    (folder / "cut.wav").write_bytes(good[: len(good) // 2])
    (folder / "text.wav").write_text("hello there\n" * 9)
    (folder / "folder.wav").mkdir()
    loud = np.full(8000, 1e30, np.float32)
    loud[::2] *= -1
    soundfile.write(folder / "loud.wav", loud, 16000, subtype="FLOAT")
    soundfile.write(folder / "nan.wav", loud * np.float32(np.nan), 16000, subtype="FLOAT")
    return {
        "empty.wav": "is empty",
        "cut.wav": "truncated",
        "text.wav": "is not audio",
        "folder.wav": "is a directory",
        "gone.wav": "No such file",
        "loud.wav": "not finite",
        "nan.wav": "NaN",
    }


@pytest.mark.parametrize("max_batch_s", [0.0, 1.0, 100.0])
def test_bad_files_stop_nobody(
    tone_recognizer: Recognizer, sources: list[Source], tmp_path: Path, max_batch_s: float
) -> None:
    problems = bad_files(tmp_path, sources[0].path.read_bytes())
    mixed, expected = [], []
    for (name, problem), source, text in zip(problems.items(), [*sources] * 2, TEXTS * 2):  # noqa: B905
        mixed += [Source(tmp_path / name, Path(name), str(tmp_path / name)), source]
        expected += [problem, text]
    results = run(tone_recognizer, mixed, max_batch_s)
    assert [result.source for result in results] == mixed
    for result, what in zip(results, expected, strict=True):
        if isinstance(result, Failure):
            assert result.message.startswith(f"{result.source.path}: ")
            assert what in result.message
        else:
            assert result.hypothesis.text == what


def test_a_temporary_copy_is_not_named(tone_recognizer: Recognizer, tmp_path: Path) -> None:
    (tmp_path / "stdin").touch()
    (failure,) = run(tone_recognizer, [Source(tmp_path / "stdin", Path("stdin"), "-")])
    assert failure.message.startswith("-: is empty")


def test_sound_shorter_than_a_frame_is_silence(
    tone_recognizer: Recognizer, sources: list[Source], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "blip.wav", np.full(100, 0.5), 16000)
    blip = Source(tmp_path / "blip.wav", Path("blip"), "blip")
    assert texts(run(tone_recognizer, [blip])) == [""]
    assert texts(run(tone_recognizer, [sources[0], blip])) == ["ab ca", ""]


def test_a_damaged_model_fails_every_file(
    tone_recognizer: Recognizer, sources: list[Source]
) -> None:
    model = copy.deepcopy(tone_recognizer.model)
    with torch.no_grad():
        model.network.output.bias.fill_(float("nan"))
    results = run(replace(tone_recognizer, model=model), sources[:2])
    assert ["the model's weights are damaged" in failure.message for failure in results] == [
        True
    ] * 2
