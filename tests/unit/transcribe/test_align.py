"""Alignment of letters said as tones, whose times are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asrkit.data.tokens import TokenTable
from asrkit.errors import UsageError
from asrkit.lm.model_file import save_ngram
from asrkit.model_file import Recognizer
from asrkit.nn.model import AcousticModel
from asrkit.pronounce.learn import learn
from asrkit.settings import Settings
from asrkit.transcribe import windows
from asrkit.transcribe.align import AlignedRecording, AlignFailure, align_recordings
from asrkit.transcribe.align_inputs import Recording, Unreadable


@pytest.fixture
def record(tmp_path: Path, say_in_tones: Callable) -> Callable[..., Recording]:
    """Record what is said, after and before some silence, and write down a text."""

    def write(said: str, text: str, lead_s: float = 0.0, tail_s: float = 0.0) -> Recording:
        silences = [np.zeros(round(16000 * seconds)) for seconds in (lead_s, tail_s)]
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.wav"
        soundfile.write(path, np.concatenate([silences[0], say_in_tones(said), silences[1]]), 16000)
        return Recording(path.name, path.stem, path, text)

    return write


def align_one(recognizer: Recognizer, recording: Recording) -> AlignedRecording:
    (result,) = align_recordings(recognizer, [recording])
    assert isinstance(result, AlignedRecording), result
    return result


def check_times(aligned: AlignedRecording, said: str, lead_s: float = 0.0) -> None:
    """Letters are 80 ms long and 120 ms apart, the first begins after 40 ms; a frame sees 25 ms."""
    assert "".join(token.token for token in aligned.tokens) == said
    for position, token in enumerate(aligned.tokens):
        start_s = lead_s + 0.04 + 0.12 * position
        assert token.start_s == pytest.approx(start_s, abs=0.031)
        assert token.end_s == pytest.approx(start_s + 0.08, abs=0.031)
        assert 0.5 < token.probability <= 1.0


def test_words_as_written_at_their_times(tone_recognizer: Recognizer, record) -> None:
    aligned = align_one(tone_recognizer, record("ab ca b", "Ab,  CA b!"))
    check_times(aligned, "ab ca b")
    assert [word.word for word in aligned.words] == ["Ab,", "CA", "b!"]
    tokens = aligned.tokens
    for word, first, last in zip(aligned.words, (0, 3, 6), (1, 4, 6), strict=True):
        assert (word.start_s, word.end_s) == (tokens[first].start_s, tokens[last].end_s)
        probabilities = [token.probability for token in tokens[first : last + 1]]
        assert word.probability == pytest.approx(np.mean(probabilities))
    assert aligned.spelled.text == "Ab, CA b!"
    assert aligned.duration_s == pytest.approx(0.88)
    assert aligned.log_prob < 0


def test_words_of_pieces(tone_recognizer: Recognizer, record) -> None:
    pieces = TokenTable(("<blank>", "▁", "a", "b", "c"), "bpe")
    aligned = align_one(replace(tone_recognizer, tokens=pieces), record(" ab ca b", "Ab, CA b!"))
    assert "".join(token.token for token in aligned.tokens) == "▁ab▁ca▁b"
    assert [word.word for word in aligned.words] == ["Ab,", "CA", "b!"]
    for word, position, count in zip(aligned.words, (1, 4, 7), (2, 2, 1), strict=True):
        assert word.start_s == pytest.approx(0.04 + 0.12 * position, abs=0.031)
        assert word.end_s == pytest.approx(word.start_s + 0.12 * count - 0.04, abs=0.06)


@pytest.mark.parametrize("length_s", [30.0, 4.0])
def test_late_speech_in_long_silence(
    tone_recognizer: Recognizer, record, length_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "WINDOW_S", length_s)
    monkeypatch.setattr(windows, "CONTEXT_S", 1.0)
    said = "ab ca b cab"
    check_times(align_one(tone_recognizer, record(said, said, 11.0, 7.0)), said, 11.0)


def test_text_that_misses_some_of_the_audio(tone_recognizer: Recognizer, record) -> None:
    aligned = align_one(tone_recognizer, record("ab ca cc ab", "ab ab"))
    first, last = aligned.words
    assert first.start_s == pytest.approx(0.04, abs=0.031)
    assert last.end_s == pytest.approx(0.04 + 0.12 * 10 + 0.08, abs=0.031)


def test_a_wrong_word_is_doubtful(tone_recognizer: Recognizer, record) -> None:
    right, wrong, after = align_one(tone_recognizer, record("ab ca b", "ab bb b")).words
    assert wrong.probability < 0.3
    assert align_one(tone_recognizer, record("ab ca b", "ab ca b")).doubt == ""
    other = align_one(tone_recognizer, record("ab ab ab", "cc cc cc"))
    assert other.doubt.startswith("mean confidence 0.")
    slow = align_one(tone_recognizer, record("a" + " cc" * 14 + " b", "ab"))
    assert slow.doubt.startswith("words that last more than 3 s: 1 (the first: ab, 5.")
    assert min(right.probability, after.probability) > 0.6


def test_a_segment_of_a_file(tone_recognizer: Recognizer, record) -> None:
    whole = record("ab ca", "ca")
    segment = replace(whole, offset_s=0.36, duration_s=0.28)
    aligned = align_one(tone_recognizer, segment)
    assert aligned.duration_s == pytest.approx(0.28)
    check_times(aligned, "ca")


def test_failures_among_others(tone_recognizer: Recognizer, record, tmp_path: Path) -> None:
    recordings = [
        record("ab", "a5"),
        Unreadable("all.jsonl:2", "all.jsonl:2: gone.wav: cannot be read"),
        record("ab", "ab"),
        Recording("u3", "u3", tmp_path / "gone.wav", "ab"),
        record("ab", "ab " * 100),
        record("ab", ""),
    ]
    results = list(align_recordings(tone_recognizer, recordings))
    assert [isinstance(result, AlignFailure) for result in results] == [1, 1, 0, 1, 1, 1]
    messages = [result.message for result in results if isinstance(result, AlignFailure)]
    assert messages[0].startswith("0.wav: the model has no token for '5'")
    assert messages[1] == "all.jsonl:2: gone.wav: cannot be read"
    assert messages[2] == f"u3: {tmp_path}/gone.wav: cannot be read: No such file or directory"
    assert messages[3].startswith("2.wav: 299 tokens with 0 repeats need 299 frames but the model ")
    assert messages[4] == "3.wav: the text '' has no words; expected what is said"


@pytest.fixture
def hears_phones(tone_recognizer: Recognizer, tmp_path: Path) -> Callable[..., Recognizer]:
    """Let the model that hears letters as tones hear them as phones: "ay", "bee" and "see"."""

    def make(lexicon: str, **decode: str) -> Recognizer:
        plain = tone_recognizer
        path = tmp_path / "lexicon.txt"
        path.write_text(lexicon)
        own = {"method": "beam", "reads": "phones", "lexicon": str(path) if lexicon else ""}
        settings = plain.settings.model_copy(
            update={
                "model": plain.settings.model.model_copy(
                    update={"phone_layer": plain.settings.model.num_layers}
                ),
                "decode": plain.settings.decode.model_copy(update={**own, **decode}),
            }
        )
        assert plain.tokens.symbols == ("<blank>", " ", "a", "b", "c")
        phones = TokenTable(("<blank>", "pause", "ay", "bee", "see"), "phone")
        model = AcousticModel(settings, len(plain.tokens), num_phones=len(phones)).eval()
        model.load_state_dict(plain.model.state_dict(), strict=False)
        network = model.network
        network.phone_output.load_state_dict(network.output.state_dict())
        with torch.no_grad():  # its letters are all the same
            network.output.weight.zero_()
        return replace(plain, model=model, settings=settings, phones=phones)

    return make


def test_a_model_without_a_lexicon_aligns_its_tokens(
    hears_phones, tone_recognizer: Recognizer, record
) -> None:
    assert align_one(hears_phones(""), record("ab ca", "ab ca")).unit == "char"


def test_a_model_that_reads_phones_aligns_them(hears_phones, record) -> None:
    recognizer = hears_phones("ab ay bee\nca see ay\nb bee\n")
    said = "ab ca b".replace(" ", "")
    aligned = align_one(recognizer, record(said, "Ab,  CA-b ' !", 0.5))
    assert aligned.unit == "phone"
    assert [token.token for token in aligned.tokens] == ["ay", "bee", "see", "ay", "bee"]
    for position, token in enumerate(aligned.tokens):
        assert token.start_s == pytest.approx(0.54 + 0.12 * position, abs=0.031)
        assert token.probability > 0.5
    assert [word.word for word in aligned.words] == ["Ab,", "CA-b"]
    assert [word.start_s for word in aligned.words] == [
        aligned.tokens[0].start_s,
        aligned.tokens[2].start_s,
    ]
    assert aligned.words[1].end_s == aligned.tokens[4].end_s


def test_words_that_the_lexicon_lacks_are_guessed_or_an_error(
    hears_phones, record, tmp_path: Path
) -> None:
    known = {"a": ["ay"], "b": ["bee"], "ab": ["ay", "bee"], "ba": ["bee", "ay"], "c": ["see"]}
    lexicon = "".join(f"{word} {' '.join(phones)}\n" for word, phones in known.items())
    recording = record("cab", "cab")
    (failure,) = align_recordings(hears_phones(lexicon), [recording])
    assert isinstance(failure, AlignFailure)
    assert "the model's lexicon lacks 'cab'" in failure.message
    letters = tmp_path / "letters.bin"
    save_ngram(letters, learn({word: tuple(phones) for word, phones in known.items()}))
    aligned = align_one(hears_phones(lexicon, pronouncer=str(letters)), recording)
    assert [token.token for token in aligned.tokens] == ["see", "ay", "bee"]
    assert aligned.spelled.note == "pronounced by guess: cab (1)"


def test_a_model_that_cannot_align(tone_recognizer: Recognizer, record) -> None:
    settings = Settings.model_validate(
        {"recipe": {"name": "x", "description": ""}, "model": {"kind": "transducer"}}
    )
    model = AcousticModel(settings, len(tone_recognizer.tokens)).eval()
    other = replace(tone_recognizer, model=model)
    with pytest.raises(UsageError, match=r'expected one with model.kind = "ctc"'):
        list(align_recordings(other, [record("ab", "ab")]))
