"""Files, folders, patterns and standard input become a list of audio files, each taken once."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from asrkit.errors import EXIT_USAGE, UsageError
from asrkit.transcribe.inputs import Source, check_distinct_names, find_sources


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with some files of which only the names matter."""
    for name in (
        "talk.wav",
        "deep/b.flac",
        "deep/er/c.MP3",
        "deep/er/c.txt",
        "deep/a.b.ogg",
        "text/notes.txt",
        "odd [1].wav",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def find(*arguments: str) -> list[Source]:
    return find_sources(arguments, Path("spool"))


def labels(*arguments: str) -> list[str]:
    return [source.label for source in find(*arguments)]


def names(*arguments: str) -> list[str]:
    return [source.name.as_posix() for source in find(*arguments)]


def test_files_in_the_order_they_are_named() -> None:
    assert find("talk.wav", "deep/b.flac", "deep/er/c.txt") == [
        Source(Path("talk.wav"), Path("talk"), "talk.wav"),
        Source(Path("deep/b.flac"), Path("b"), "deep/b.flac"),
        Source(Path("deep/er/c.txt"), Path("c"), "deep/er/c.txt"),
    ]


def test_a_folder_is_searched_for_audio() -> None:
    assert labels("deep") == ["deep/a.b.ogg", "deep/b.flac", "deep/er/c.MP3"]
    assert names("deep") == ["a.b", "b", "er/c"]
    assert labels("./deep/") == labels("deep")


def test_a_folder_may_be_one_of_several() -> None:
    assert labels("talk.wav", "deep", "odd [1].wav")[::4] == ["talk.wav", "odd [1].wav"]


def test_of_several_folders_names_begin_where_these_differ(folder: Path) -> None:
    for name in ("2023/jan/x.wav", "2023/jan/in/y.wav", "2024/jan/x.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert names("2023/jan", "2024/jan") == ["2023/jan/in/y", "2023/jan/x", "2024/jan/x"]
    assert names("2023", str(folder / "2024"), "talk.wav") == [
        "2023/jan/in/y",
        "2023/jan/x",
        "2024/jan/x",
        "talk",
    ]
    assert names("2023/jan", "./2023/jan") == ["in/y", "x"]
    assert names("2023/jan/in", "2023") == ["jan/in/y", "jan/x"]
    check_distinct_names(find("2023/jan", "2024/jan"))


def test_what_counts_as_audio(folder: Path) -> None:
    suffixes = "aif aiff au flac mp3 nist oga ogg opus sph wav Wav2.WAV"
    (folder / "new").mkdir()
    for suffix in suffixes.split():
        (folder / "new" / f"x.{suffix}").touch()
        (folder / "new" / f"x.{suffix}.part").touch()
    assert {label.removeprefix("new/x.") for label in labels("new")} == set(suffixes.split())


def test_a_link_to_nothing_is_not_passed_over(folder: Path) -> None:
    (folder / "deep" / "z.wav").symlink_to("gone")
    assert labels("deep")[-1] == "deep/z.wav"


def test_a_folder_that_cannot_be_searched_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("er"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="deep/er"):
        find("deep")


def test_patterns() -> None:
    assert labels("deep/*.flac") == ["deep/b.flac"]
    assert labels("deep/**/*.*") == [
        "deep/a.b.ogg",
        "deep/b.flac",
        "deep/er/c.MP3",
        "deep/er/c.txt",
    ]
    assert labels("deep/?.flac") == ["deep/b.flac"]
    assert names("deep/**/[bc].*") == ["b", "c", "c"]


def test_a_pattern_matches_files() -> None:
    assert labels("deep/*") == ["deep/a.b.ogg", "deep/b.flac"]
    assert labels("*.wav") == ["odd [1].wav", "talk.wav"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file() -> None:
    assert labels("odd [1].wav") == ["odd [1].wav"]


def test_a_file_is_taken_once() -> None:
    assert labels("talk.wav", "./talk.wav", str(Path("talk.wav").absolute()), "*.wav") == [
        "talk.wav",
        "odd [1].wav",
    ]


@pytest.mark.parametrize("name", ["gone.wav", "gone/talk.wav", "a" * 300 + ".wav"])
def test_a_missing_file_is_kept_to_fail_by_itself(name: str) -> None:
    assert labels(name, "talk.wav") == [name, "talk.wav"]


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("text", "text: the folder holds no audio; expected files ending in .aac .aif .aiff "),
        ("*.mp4", r"\*.mp4: no file matches the pattern"),
        ("te*", r"te\*: no file matches"),
        ("[x].wav", r"\[x\].wav: no file matches"),
        ("", "an input is empty; expected a file, folder, pattern or -"),
    ],
)
def test_what_names_nothing(argument: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as info:
        find("talk.wav", argument)
    assert info.value.exit_code == EXIT_USAGE


def test_standard_input_is_copied_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"RIFF...")))
    (folder / "spool").mkdir()
    source, talk = find("-", "talk.wav", "-")
    assert source == Source(Path("spool/stdin"), Path("stdin"), "-")
    assert source.path.read_bytes() == b"RIFF..."
    assert talk.label == "talk.wav"


def test_transcripts_do_not_overwrite_each_other(folder: Path) -> None:
    check_distinct_names(find("deep", "talk.wav"))
    (folder / "talk.flac").touch()
    with pytest.raises(UsageError, match=r"talk.flac: its transcript would be written over that"):
        check_distinct_names(find("talk.wav", "talk.flac"))
    with pytest.raises(UsageError, match=r"c.txt: its .* over that of deep/er/c.MP3; give each "):
        check_distinct_names(find("deep/**/c.*"))
