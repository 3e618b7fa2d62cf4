"""One result a file, in order, whatever the batches and whatever is wrong with the others."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asrkit.decode.hypothesis import Hypothesis
from asrkit.model_file import Recognizer
from asrkit.settings import DecodeSettings
from asrkit.transcribe import pipeline
from asrkit.transcribe.inputs import Source
from asrkit.transcribe.pipeline import Failure, Transcript, transcribe
from asrkit.transcribe.vad import FRAME_S


class LoudnessVad:
    """Takes what is loud for speech."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._frame = round(FRAME_S * sample_rate_hz)
        self._rest = np.zeros(0, np.float32)

    def hear(self, samples: NDArray[np.float32], *, last: bool = False) -> NDArray[np.float32]:
        known = np.concatenate([self._rest, samples])
        if last:
            known = np.concatenate([known, np.zeros(-len(known) % self._frame, np.float32)])
        num_frames = len(known) // self._frame
        self._rest = known[num_frames * self._frame :]
        loudness = np.abs(known[: num_frames * self._frame]).reshape(-1, self._frame).mean(axis=1)
        return (loudness > 0.01).astype(np.float32)


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
    durations_s=st.lists(st.floats(0.01, 90), min_size=1, max_size=8),
    max_batch_s=st.floats(0, 200),
    bad=st.sets(st.integers(0, 7)),
)
@settings(max_examples=25, deadline=None)
def test_batches_stay_within_their_limit(
    durations_s: list[float], max_batch_s: float, bad: set[int]
) -> None:
    batches: list[list[float]] = []

    def recognize(_model, batch, _tokens, _settings, _nbest) -> list[Hypothesis]:
        lens = (batch.wave_lens / 1000).tolist()
        batches.append(lens)
        return [Hypothesis(f"{seconds:.3f}", "char", (), 1.0) for seconds in lens]

    @contextmanager
    def open_audio(path: Path, _rate_hz: int) -> Iterator[SimpleNamespace]:
        number = int(path.name)

        def blocks(num_frames: int) -> Iterator[NDArray[np.float32]]:
            num_samples = round(durations_s[number] * 1000) or 1
            for first in range(0, num_samples, 7000):
                yield np.ones(min(7000, num_samples - first), np.float32)
            if number in bad:
                raise pipeline.AudioError(f"{path}: bad")

        yield SimpleNamespace(blocks=blocks, conversion="")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "recognize", recognize)
        patch.setattr(pipeline, "open_audio", open_audio)
        fake = SimpleNamespace(
            model=SimpleNamespace(sample_rate_hz=1000),
            tokens=SimpleNamespace(unit="char"),
            table=lambda _settings: None,
        )
        sources = [Source(Path(str(n)), Path(str(n)), str(n)) for n in range(len(durations_s))]
        results = list(transcribe(fake, sources, GREEDY, max_batch_s, start_vad=LoudnessVad))

    assert [result.source for result in results] == sources
    num_segments = 0
    for number, result in enumerate(results):
        if number in bad:
            assert isinstance(result, Failure)
            assert result.message == f"{number}: bad"
        else:
            lens = [segment.end_s - segment.start_s for segment in result.segments]
            assert [each.hypothesis.text for each in result.segments] == [f"{n:.3f}" for n in lens]
            assert sum(lens) == pytest.approx(result.duration_s)
            assert result.hypothesis.log_prob == len(lens)
            num_segments += len(lens)
    assert sum(map(len, batches)) >= num_segments
    assert all(len(b) == 1 or len(b) * max(b) <= max_batch_s + 1e-4 for b in batches)


def test_results_come_before_all_is_read(
    tone_recognizer: Recognizer, sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    open_audio = pipeline.open_audio
    monkeypatch.setattr(
        pipeline, "open_audio", lambda path, rate: read.append(path) or open_audio(path, rate)
    )
    next(transcribe(tone_recognizer, sources, GREEDY, max_batch_s=0.0))
    assert len(read) == 1


# Long recordings, in which what is loud is speech.

SAID = ["ab ca", "c", "aabbcc bb", "bb", "cab a b", "a"]


@pytest.fixture
def talk(tmp_path: Path, say_in_tones: Callable) -> Source:
    """SAID, each after 11 s of silence; 70 s in all, and 11 s of silence at the end."""
    silence = np.zeros(11 * 16000)
    parts = [part for text in SAID for part in (silence, say_in_tones(text))]
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.concatenate([*parts, silence]), 16000)
    return Source(path, Path("talk"), "talk.wav")


def transcribe_with(recognizer: Recognizer, sources: Sequence[Source], *args, **kwargs) -> list:
    kwargs = {"start_vad": LoudnessVad, **kwargs}
    return list(transcribe(recognizer, sources, *args, **kwargs))


def test_a_long_recording_is_cut_and_put_together(tone_recognizer: Recognizer, talk) -> None:
    (result,) = transcribe_with(tone_recognizer, [talk], GREEDY)
    assert result.hypothesis.text == " ".join(SAID)
    assert [segment.hypothesis.text for segment in result.segments] == SAID
    assert [word.word for word in result.hypothesis.words] == " ".join(SAID).split()
    start_s = 11.0
    for segment, text in zip(result.segments, SAID, strict=True):
        first, *_, last = [start_s, *(w.start_s for w in segment.hypothesis.words), 1e9][1:-1] * 2
        assert first == pytest.approx(start_s + 0.04, abs=0.03)
        assert segment.start_s == pytest.approx(start_s + 0.04 - 0.256, abs=0.04)
        assert segment.start_s < first <= last < segment.end_s
        start_s += 11 + 0.04 + 0.12 * len(text)
    assert sum(s.hypothesis.log_prob for s in result.segments) == result.hypothesis.log_prob
    assert result.duration_s == pytest.approx(start_s)


def test_neither_batches_nor_other_files_change_a_long_recording(
    tone_recognizer: Recognizer, talk: Source, sources: list[Source]
) -> None:
    (alone,) = transcribe_with(tone_recognizer, [talk], GREEDY)
    for max_batch_s in (0.0, 0.9, 2.0, 1e9):
        for others in ([talk], [*sources, talk], [talk, *sources]):
            results = transcribe_with(tone_recognizer, others, GREEDY, max_batch_s)
            assert [result.source for result in results] == list(others)
            result = next(result for result in results if result.source == talk)
            assert result.hypothesis.text == alone.hypothesis.text
            for one, other in zip(result.segments, alone.segments, strict=True):
                assert (one.start_s, one.end_s) == (other.start_s, other.end_s)
                for word, expected in zip(
                    one.hypothesis.words, other.hypothesis.words, strict=True
                ):
                    assert astuple(word)[:3] == astuple(expected)[:3]
                    assert word.probability == pytest.approx(expected.probability, rel=1e-5)


def test_nobody_speaks_in_a_long_recording(tone_recognizer: Recognizer, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "still.wav", np.zeros(31 * 16000), 16000)
    source = Source(tmp_path / "still.wav", Path("still"), "still.wav")
    (result,) = transcribe(tone_recognizer, [source], GREEDY)  # by the real detector
    assert (result.hypothesis.text, result.segments, result.duration_s) == ("", (), 31.0)


def test_alternatives_are_those_of_segments(tone_recognizer: Recognizer, talk, sources) -> None:
    beam = DecodeSettings(method="beam")
    long, short = transcribe_with(tone_recognizer, [talk, sources[0]], beam, nbest=3)
    assert long.hypothesis.alternatives == ()
    alternatives = [segment.hypothesis.alternatives for segment in long.segments]
    assert {len(each) for each in alternatives} == {2}
    assert alternatives[-1][0].tokens[0].start_s > 60
    assert len(short.hypothesis.alternatives) == 2
    assert short.segments[0].hypothesis == short.hypothesis


def test_a_recording_that_ends_in_damage_gives_no_half_transcript(
    tone_recognizer: Recognizer, talk: Source, sources: list[Source], tmp_path: Path
) -> None:
    samples, rate_hz = soundfile.read(talk.path)
    path = tmp_path / "cut.flac"
    soundfile.write(path, samples + np.random.default_rng(0).normal(0, 1e-3, len(samples)), rate_hz)
    path.write_bytes(path.read_bytes()[:-20000])
    cut = Source(path, Path("cut"), "cut.flac")
    for max_batch_s in (0.0, 100.0):
        failure, good = transcribe_with(tone_recognizer, [cut, sources[0]], GREEDY, max_batch_s)
        assert isinstance(failure, Failure)
        assert failure.message.startswith("cut.flac: truncated")
        assert good.hypothesis.text == TEXTS[0]


def test_progress_moves_within_a_file(tone_recognizer: Recognizer, talk, sources) -> None:
    heard: list[tuple[str, float]] = []

    def listen(source: Source, seconds: float) -> None:
        heard.append((source.label, seconds))

    transcribe_with(tone_recognizer, [talk, sources[0]], GREEDY, 1.0, on_progress=listen)
    of_talk = [seconds for label, seconds in heard if label == "talk.wav"]
    assert len(of_talk) == len(SAID)
    assert sum(of_talk) == pytest.approx(70, abs=2)
    assert sum(seconds for _, seconds in heard) - sum(of_talk) == pytest.approx(0.64)


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
        "loud.wav": "beyond 1e+12",
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
