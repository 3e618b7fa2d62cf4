"""What a model hears of letters said as tones."""

from __future__ import annotations

import base64
from collections.abc import Callable

import numpy as np
import pytest

from asrkit.browser.data import Side
from asrkit.browser.posteriors import Listener, pack_posteriors
from asrkit.data.audio import Audio
from asrkit.model_file import Recognizer
from asrkit.score.protocol import load_protocol
from asrkit.transcribe.reading import reading_of


@pytest.fixture
def hear(tone_recognizer: Recognizer, say_in_tones: Callable) -> Callable[..., dict]:
    def hear(said: str, *written: str, protocol: str = "plain", unit: str = "word") -> dict:
        audio = Audio(say_in_tones(said).astype(np.float32), 16000)
        rules = load_protocol(protocol)
        joint = "" if unit == "char" else " "
        sides = {text: Side(text, rules.apply(text, unit), joint) for text in written}
        tokenize = lambda text: rules.apply(text, unit)  # noqa: E731
        return Listener(reading_of(tone_recognizer), "tones").hear(audio, "", sides, tokenize)

    return hear


def test_likeliest_tokens_in_steps_of_a_255th() -> None:
    shares = np.array([[0.05, 0.6, 0.2, 0.03, 0.12], [0.96, 0.01, 0.01, 0.01, 0.01]])
    packed = pack_posteriors(np.log(shares).astype(np.float32), 0.02)
    assert (packed["frame_s"], packed["likeliest"]) == (0.02, 3)
    read = {name: base64.b64decode(packed[name]) for name in ("blank", "ids", "probs")}
    assert list(read["blank"]) == [13, 245]
    assert np.frombuffer(read["ids"], "<u2").tolist() == [1, 2, 4, 1, 2, 3]
    assert list(read["probs"]) == [153, 51, 31, 3, 3, 3]


def test_fewer_tokens_than_are_kept() -> None:
    packed = pack_posteriors(np.log(np.array([[0.25, 0.75]], np.float32)), 0.02)
    assert packed["likeliest"] == 1
    assert list(base64.b64decode(packed["probs"])) == [191]


def test_both_sides_on_the_same_audio(hear: Callable[..., dict]) -> None:
    heard = hear("ab ca", "ab ca", "ab cc")
    right, wrong = heard["ab ca"], heard["ab cc"]
    assert [word[0] for word in right["words"]] == ["ab", "ca"]
    _, start_s, end_s, probability = right["words"][1]
    assert start_s == pytest.approx(0.04 + 3 * 0.12, abs=0.031)
    assert end_s == pytest.approx(0.04 + 4 * 0.12 + 0.08, abs=0.031)
    assert probability > 0.5
    assert [token[0] for token in right["tokens"]] == list("ab ca")
    assert right["word_of"] == [0, 1]
    assert right["log_prob"] > wrong["log_prob"]


def test_words_of_tokens_that_a_protocol_changes(hear: Callable[..., dict]) -> None:
    heard = hear("ab ca", "Ab -- ca!", protocol="english")
    assert heard["Ab -- ca!"]["word_of"] == [0, 1]
    heard = hear("ab ca", "ab ca", unit="char")
    assert heard["ab ca"]["word_of"] == [0, 0, None, 1, 1]


def test_alternatives_are_aligned_as_they_were_scored(
    tone_recognizer: Recognizer, say_in_tones: Callable
) -> None:
    audio = Audio(say_in_tones("ab ca").astype(np.float32), 16000)
    side = Side("{ ab / b } ca", ["ab", "ca"], " ")
    heard = Listener(reading_of(tone_recognizer), "tones").hear(audio, "", {"ref": side}, str.split)
    assert [word[0] for word in heard["ref"]["words"]] == ["ab", "ca"]


def test_what_cannot_be_aligned_is_told(hear: Callable[..., dict]) -> None:
    heard = hear("ab", "ab", "xyz", "ab" * 100, "")
    assert "problem" not in heard["ab"]
    assert "no token for 'x'" in heard["xyz"]["problem"]
    assert "need 200 frames" in heard["ab" * 100]["problem"]
    assert heard[""] == {"words": []}


def test_audio_shorter_than_a_frame(tone_recognizer: Recognizer) -> None:
    audio = Audio(np.zeros(80, np.float32), 16000)
    sides = {"ref": Side("a", ["a"], " ")}
    heard = Listener(reading_of(tone_recognizer), "tones").hear(audio, "", sides, str.split)
    assert "but the model yields 0" in heard["ref"]["problem"]
    assert heard["posteriors"]["blank"] == ""
