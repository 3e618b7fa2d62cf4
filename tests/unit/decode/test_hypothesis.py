from __future__ import annotations

import json

import numpy as np
import pytest

from asrkit.data.tokens import TokenTable
from asrkit.decode.hypothesis import Hypothesis, TimedToken, TimedWord
from asrkit.errors import DataError


def hypothesis_of(path: list[int], tokens: TokenTable) -> Hypothesis:
    """Collapse `path`; the token of frame t has probability 1 / (t + 2) there."""
    log_probs = np.full((len(path), len(tokens)), -30.0)
    for frame, token in enumerate(path):
        log_probs[frame, token] = -np.log(frame + 2)
    return Hypothesis.from_path(np.array(path, dtype=np.int64), log_probs, tokens, 0.5, -1.25)


def test_path_collapses_to_timed_tokens(chars: TokenTable) -> None:
    hypothesis = hypothesis_of([0, 2, 2, 0, 2, 3, 0], chars)
    assert hypothesis.text == "aab"
    assert hypothesis.tokens == (
        TimedToken("a", 0.5, 1.5, pytest.approx(1 / 3)),
        TimedToken("a", 2.0, 2.5, pytest.approx(1 / 6)),
        TimedToken("b", 2.5, 3.0, pytest.approx(1 / 7)),
    )
    assert hypothesis.log_prob == -1.25


@pytest.mark.parametrize("path", [[], [0], [0, 0, 0]])
def test_nothing_emitted(path: list[int], chars: TokenTable) -> None:
    hypothesis = hypothesis_of(path, chars)
    assert (hypothesis.text, hypothesis.tokens, hypothesis.words) == ("", (), ())


def test_words_of_characters_lie_between_spaces(chars: TokenTable) -> None:
    hypothesis = hypothesis_of([1, 2, 3, 1, 0, 1, 0, 4, 4, 1], chars)
    assert hypothesis.words == (
        TimedWord("ab", 0.5, 1.5, pytest.approx(1 / 4)),
        TimedWord("c", 3.5, 4.5, pytest.approx(1 / 9)),
    )


def test_words_of_pieces_begin_with_their_mark(pieces: TokenTable) -> None:
    hypothesis = hypothesis_of([5, 0, 2, 6, 4, 0, 4, 3, 1, 4, 7, 7], pieces)
    assert hypothesis.text == "a ab cab c"
    assert hypothesis.words == (
        TimedWord("a", 0.0, 0.5, pytest.approx(1 / 2)),
        TimedWord("ab", 1.0, 2.0, pytest.approx(1 / 5)),
        TimedWord("cab", 3.5, 4.5, pytest.approx(1 / 10)),
        TimedWord("c", 5.0, 6.0, pytest.approx(1 / 12)),
    )
    assert Hypothesis.from_json(json.loads(json.dumps(hypothesis.to_json()))) == hypothesis


def test_words_of_phones_are_the_phones() -> None:
    tokens = TokenTable.from_texts(["ah sh"], "phone")
    hypothesis = hypothesis_of([1, 0, 1, 2, 2], tokens)
    assert hypothesis.text == "ah ah sh"
    assert [word.word for word in hypothesis.words] == ["ah", "ah", "sh"]
    assert [(word.start_s, word.end_s) for word in hypothesis.words] == [
        (token.start_s, token.end_s) for token in hypothesis.tokens
    ]


@pytest.mark.parametrize("path", [[], [1, 2, 0, 2, 1, 3]])
def test_json_restores_the_hypothesis_exactly(path: list[int], chars: TokenTable) -> None:
    hypothesis = hypothesis_of(path, chars)
    record = hypothesis.to_json()
    line = json.dumps({"utt_id": "u1", **record}, allow_nan=False)
    assert {"utt_id": "u1", **record} == json.loads(line)
    assert Hypothesis.from_json(json.loads(line)) == hypothesis


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"log_prob": None}, "log_prob"),
        ({"unit": "word"}, "unit"),
        ({"tokens": [{"token": "a"}]}, "tokens.0.start_s"),
        ({"text": 3}, "text"),
    ],
)
def test_malformed_json_names_the_key(
    change: dict[str, object], key: str, chars: TokenTable
) -> None:
    record = hypothesis_of([2], chars).to_json() | change
    with pytest.raises(DataError, match=rf"^hypothesis: {key}: "):
        Hypothesis.from_json(record)


def test_missing_json_key_is_named(chars: TokenTable) -> None:
    record = hypothesis_of([2], chars).to_json()
    del record["text"]
    with pytest.raises(DataError, match=r"^hypothesis: text: "):
        Hypothesis.from_json(record)
