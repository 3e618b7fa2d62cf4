"""`asrkit lexicon`: words left out tell how well others are guessed; guesses are lexicon lines."""

from __future__ import annotations

import lzma
from itertools import product
from pathlib import Path

import pytest
import soundfile

from asrkit.model_file import Recognizer, save_recognizer

SOUNDS = {"a": "ah", "b": "b", "x": "k s"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lexicon in which letters always sound alike, but in the 20th and the 40th word."""
    folder = tmp_path_factory.mktemp("lexicon")
    words = ["".join(letters) for size in (1, 2, 3, 4) for letters in product("abx", repeat=size)]
    lines = [f"{word} {' '.join(SOUNDS[letter] for letter in word)}" for word in words[:59]]
    lines[19] = f"{words[19]} b b b b"
    lines[39] += " b"
    (folder / "lexicon.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def letters(asrkit, folder: Path) -> Path:
    assert asrkit("lexicon", "learn", "lexicon.txt", "-o", "x.bin", folder=folder).returncode == 0
    return folder / "x.bin"


def test_words_left_out_tell_how_well_others_are_guessed(asrkit, folder: Path) -> None:
    learned = asrkit("lexicon", "learn", "lexicon.txt", "-o", "y.bin", folder=folder)
    figures = dict(line.split(": ") for line in learned.stdout.splitlines())
    assert learned.returncode == 0
    assert (figures["words"], figures["held out"]) == ("59", "2")
    assert figures["words wrong"] == "100.00%"  # no other word tells of them
    assert 0 < float(figures["phone error rate"].rstrip("%")) < 100
    (folder / "lexicon.txt.xz").write_bytes(lzma.compress((folder / "lexicon.txt").read_bytes()))
    packed = asrkit("lexicon", "learn", "lexicon.txt.xz", "-o", "z.bin", folder=folder)
    assert packed.stdout == learned.stdout
    assert (folder / "z.bin").read_bytes() == (folder / "y.bin").read_bytes()


def test_few_words_and_words_that_teach_nothing(asrkit, tmp_path: Path) -> None:
    (tmp_path / "few.txt").write_text("a ah\nmr m ih s t er\n")
    learned = asrkit("lexicon", "learn", "few.txt", "-o", "x.bin", folder=tmp_path)
    assert learned.stdout.startswith("words: 2\nheld out: 0; fewer than 20 words")
    assert "1 of 2 words have more than two phones a letter and teach nothing" in learned.stderr
    assert "such as mr" in learned.stderr
    refused = asrkit("lexicon", "learn", "few.txt", "-o", "none/x.bin", folder=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "none/x.bin: no folder none" in refused.stderr


def test_guesses(asrkit, letters: Path, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("ab\nxxb\n")
    done = asrkit("lexicon", "guess", letters, "bax", "--words", "words", folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout == "bax b ah k s\nab ah b\nxxb k s k s b\n"
    mixed = asrkit("lexicon", "guess", letters, "ba", "böse", "ax", folder=tmp_path)
    assert (mixed.returncode, mixed.stdout) == (1, "ba b ah\nax ah k s\n")
    assert "'böse': no word that was learned from has the letter 'ö'" in mixed.stderr
    assert "1 of 3 failed: böse" in mixed.stderr
    nothing = asrkit("lexicon", "guess", letters, folder=tmp_path)
    assert (nothing.returncode, nothing.stdout) == (2, "")
    other = asrkit("lexicon", "guess", "words", "ab", folder=tmp_path)
    assert (other.returncode, other.stdout) == (1, "")
    assert "words: tells no pronunciations" in other.stderr


def test_hotwords_that_a_lexicon_lacks(
    asrkit, tone_phone_recognizer: Recognizer, say_in_tones, tmp_path: Path
) -> None:
    save_recognizer(tmp_path / "phones.asr", tone_phone_recognizer)
    soundfile.write(tmp_path / "said.wav", say_in_tones("abca"), 16000)
    (tmp_path / "words.txt").write_text("a a\nb b\nc c\n")
    assert asrkit("lexicon", "learn", "words.txt", "-o", "x.bin", folder=tmp_path).returncode == 0
    search = ("transcribe", "said.wav", "--model", "phones.asr", "--method", "beam")
    search = (*search, "--lexicon", "words.txt")

    def text(*options: str) -> str:
        done = asrkit(*search, *options, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    pronouncer = ("--pronouncer", "x.bin")
    assert text() == "a b c a"
    assert text(*pronouncer, "--hotword", "bca:3") == "a bca"
    for options, message in [
        (("--hotword", "bca:3"), "name a decode.pronouncer that guesses its phones"),
        (pronouncer, "--pronouncer x.bin: there are no hotwords to pronounce; add --hotword"),
    ]:
        refused = asrkit(*search, *options, folder=tmp_path)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert message in refused.stderr
