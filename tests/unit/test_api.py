"""The Python interface refuses what it would not heed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile

import asrkit
from asrkit.errors import UsageError
from asrkit.model_file import Recognizer, save_recognizer


@pytest.fixture
def model(tone_recognizer: Recognizer, tmp_path: Path) -> Path:
    path = tmp_path / "tones.asr"
    save_recognizer(path, tone_recognizer)
    return path


@pytest.fixture
def speech(say_in_tones: Callable, tmp_path: Path) -> Path:
    path = tmp_path / "abca.wav"
    soundfile.write(path, say_in_tones("ab ca"), 16000)
    return path


def test_lists_serve_as_well_as_tuples(model: Path, speech: Path) -> None:
    loaded = asrkit.load_model(model, method="beam", hotwords=["cab:0.1", "bc:0.2"])
    assert loaded.decode.hotwords == ("cab:0.1", "bc:0.2")
    assert loaded.transcribe(speech).text == "ab ca"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"precision": "int4"}, r"^load_model: precision = 'int4'; expected one of float32, int8"),
        ({"beam_size": 3}, r"^decode\.beam_size = 3: the greedy search has no use for it"),
        ({"method": "greedy", "beam_threshold": 12.0}, r"^decode\.beam_threshold = 12\.0: the gre"),
        ({"hotwords": ["cab"]}, r"^decode\.hotwords = \['cab'\]: the greedy search has no use"),
        ({"beam": 3}, r"^load_model: beam: Extra inputs"),
        ({"method": "beam", "rescoring_lm": "a.lstm"}, r"rescoring_lm = 'a\.lstm': ranks what is"),
    ],
)
def test_what_would_not_be_heeded_is_refused(
    model: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        asrkit.load_model(model, **given)


def test_a_greedy_model_may_be_asked_for_a_greedy_search(
    tone_recognizer: Recognizer, model: Path, speech: Path
) -> None:
    decode = tone_recognizer.settings.decode.model_copy(update={"method": "beam", "beam_size": 4})
    settings = tone_recognizer.settings.model_copy(update={"decode": decode})
    save_recognizer(model, replace(tone_recognizer, settings=settings))
    greedy = asrkit.load_model(model, method="greedy", hotwords=(), confidence_temperature=2.0)
    assert greedy.decode.method == "greedy"
    assert greedy.transcribe(speech).text == "ab ca"


def test_numbers_of_hypotheses(model: Path, speech: Path) -> None:
    with pytest.raises(UsageError, match=r"^nbest = 0; expected at least 1"):
        asrkit.load_model(model, method="beam").transcribe(speech, nbest=0)
    with pytest.raises(UsageError, match=r"^nbest = 2: the greedy search finds one"):
        asrkit.load_model(model).transcribe(speech, nbest=2)
