from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asrkit.data.manifest import Utterance, read_manifest, write_manifest
from asrkit.errors import AudioError, ManifestError

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
# These surrogates are how Python spells file names that are not UTF-8.
NO_UTF_8 = st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"])
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0") | NO_UTF_8,
    min_size=1,
    max_size=20,
).filter(lambda name: name not in (".", ".."))
IDS = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]) | NO_UTF_8, min_size=1, max_size=20
)


@st.composite
def utterances(draw: st.DrawFn) -> Utterance:
    return Utterance(
        utt_id=draw(IDS),
        audio_path=Path("/corpus", *draw(st.lists(NAMES, min_size=1, max_size=4))),
        duration_s=draw(st.floats(0, 1e6, exclude_min=True)),
        text=draw(ANY_TEXT),
        offset_s=draw(st.just(0.0) | st.floats(0, 1e6)),
        speaker=draw(ANY_TEXT),
    )


@given(
    st.lists(utterances(), max_size=10, unique_by=lambda utterance: utterance.utt_id),
    st.sampled_from(["/corpus", "/corpus/lists", "/corpus/a/b", "/elsewhere/x"]),
)
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_round_trip(tmp_path: Path, listed: list[Utterance], folder: str) -> None:
    path = tmp_path / folder[1:] / "train.jsonl"
    moved = [
        Utterance(
            u.utt_id, tmp_path / u.audio_path.relative_to("/"), u.duration_s, u.text, u.offset_s,
            u.speaker,
        )
        for u in listed
    ]  # fmt: skip
    write_manifest(path, moved)
    assert read_manifest(path) == moved


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines) + "\n")
    return path


def test_the_lines_written(tmp_path: Path) -> None:
    path = tmp_path / "lists" / "train.jsonl"
    write_manifest(
        path,
        [
            Utterance("a", tmp_path / "lists/wav/a.wav", 1.5, "größe"),
            Utterance("b", tmp_path / "audio/b.wav", 2.0, "", 3.25, "anna"),
            Utterance("c", Path("/other/c.wav"), 1.0, "x"),
        ],
    )
    assert path.read_text("utf-8").splitlines() == [
        '{"utt_id": "a", "audio_filepath": "wav/a.wav", "duration": 1.5, "text": "größe"}',
        '{"utt_id": "b", "audio_filepath": "../audio/b.wav", "duration": 2.0, "text": "", '
        '"offset": 3.25, "speaker": "anna"}',
        '{"utt_id": "c", "audio_filepath": "/other/c.wav", "duration": 1.0, "text": "x"}',
    ]


def test_the_root_folder_is_nobodys_sibling() -> None:
    from asrkit.data.manifest import _relative_if_near

    assert _relative_if_near(Path("/corpus/a.wav"), "/lists") == "/corpus/a.wav"
    assert _relative_if_near(Path("/lists/a.wav"), "/lists") == "a.wav"
    assert _relative_if_near(Path("/a.wav"), "/") == "/a.wav"


def test_a_manifest_and_its_audio_can_be_moved_together(tmp_path, write_audio) -> None:
    (tmp_path / "here/audio").mkdir(parents=True)
    write_audio(tmp_path / "here/audio/a.wav")
    path = tmp_path / "here/lists/train.jsonl"
    write_manifest(path, [Utterance("a", tmp_path / "here/audio/a.wav", 1.0, "x")])
    (tmp_path / "here").rename(tmp_path / "there")
    (utterance,) = read_manifest(tmp_path / "there/lists/train.jsonl")
    assert utterance.audio_path == tmp_path / "there/audio/a.wav"
    assert utterance.audio_path.exists()


def test_a_relative_manifest_path_gives_absolute_audio_paths(tmp_path, monkeypatch) -> None:
    write_lines(tmp_path / "train.jsonl", {"audio_filepath": "a.wav", "duration": 1})
    monkeypatch.chdir(tmp_path)
    (utterance,) = read_manifest(Path("train.jsonl"))
    assert utterance.audio_path == tmp_path / "a.wav"
    write_manifest(Path("copy.jsonl"), [utterance])
    assert read_manifest(Path("copy.jsonl")) == [utterance]
    assert '"a.wav"' in Path("copy.jsonl").read_text()


def test_defaults(tmp_path, write_audio) -> None:
    write_audio(tmp_path / "talk.wav", 2.0)
    path = write_lines(
        tmp_path / "nemo.jsonl",
        {"audio_filepath": "talk.wav"},
        "",
        {"audio_filepath": "talk.wav", "offset": 0.5, "text": None, "speaker": None},
        {"audio_filepath": "talk.wav", "offset": 12345.678, "duration": 1, "lang": "en"},
        {"audio_filepath": "talk.wav", "utt_id": 7, "speaker": 12, "duration": 1, "text": "a b"},
    )
    talk = tmp_path / "talk.wav"
    assert read_manifest(path) == [
        Utterance("talk", talk, 2.0, ""),
        Utterance("talk-0.5", talk, 1.5, "", 0.5),
        Utterance("talk-12345.678", talk, 1.0, "", 12345.678),
        Utterance("7", talk, 1.0, "a b", 0.0, "12"),
    ]


def test_windows_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    line = b'{"audio_filepath": "a.wav", "duration": 1, "text": "\xc3\xa4"}\r\n'
    path.write_bytes(b"\xef\xbb\xbf" + line)
    assert [u.text for u in read_manifest(path)] == ["ä"]


def test_line_separators_in_a_text_do_not_end_the_line(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    written = [Utterance("a", tmp_path / "a.wav", 1.0, "x\u2028y\x85z")]
    write_manifest(path, written)
    assert read_manifest(path) == written


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ('["a.wav"]', "not an object"),
        ({"duration": 1}, "audio_filepath is ''"),
        ({"audio_filepath": 7.5}, "audio_filepath is 7.5; expected a string"),
        ({"audio_filepath": "a\0.wav"}, "audio_filepath is 'a"),
        ({"audio_filepath": "a.wav", "duration": "1.0"}, "duration is '1.0'; expected a number"),
        ({"audio_filepath": "a.wav", "duration": True}, "duration is True"),
        ('{"audio_filepath": "a.wav", "duration": NaN}', "duration is nan"),
        ({"audio_filepath": "a.wav", "duration": 0}, "duration 0.0 s; expected"),
        ({"audio_filepath": "a.wav", "duration": -2}, "duration -2.0 s; expected"),
        ({"audio_filepath": "a.wav", "duration": 1, "offset": -1}, "offset -1.0 s"),
        ({"audio_filepath": "a.wav", "duration": 1, "text": ["x"]}, r"text is \['x'\]"),
        ({"audio_filepath": "a.wav", "duration": 1, "utt_id": "a\tb"}, "holds a tab"),
        ({"audio_filepath": "a.wav", "duration": 1, "utt_id": "a\nb"}, "holds a tab or a line end"),
        ({"audio_filepath": "ok.wav", "duration": 1}, r"utt_id 'ok' is also that of .*:1; give"),
    ],
)
def test_malformed_lines_are_named(line: object, message: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", {"audio_filepath": "ok.wav", "duration": 1}, line)
    with pytest.raises(ManifestError, match=rf"x\.jsonl:2: .*{message}"):
        read_manifest(path)


def test_an_offset_behind_the_end_of_the_file(tmp_path, write_audio) -> None:
    write_audio(tmp_path / "a.wav", 1.0)
    path = write_lines(tmp_path / "x.jsonl", {"audio_filepath": "a.wav", "offset": 2})
    with pytest.raises(ManifestError, match="below the length of the file"):
        read_manifest(path)


def test_a_duration_that_cannot_be_read_from_the_file(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", {"audio_filepath": "gone.wav"})
    with pytest.raises(AudioError, match=r"gone\.wav: cannot be read"):
        read_manifest(path)


def test_unreadable_manifests(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"gone\.jsonl: cannot be read: No such file"):
        read_manifest(tmp_path / "gone.jsonl")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path)
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes('{"text": "ä"}'.encode("latin-1"))
    with pytest.raises(ManifestError, match="byte 10 is not UTF-8; convert the file"):
        read_manifest(latin)


def test_a_failed_write_leaves_the_old_manifest(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "train.jsonl"
    old = [Utterance("a", tmp_path / "a.wav", 1.0, "")]
    write_manifest(path, old)

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ManifestError, match="cannot be written: No space left on device"):
        write_manifest(path, [])
    monkeypatch.undo()
    assert read_manifest(path) == old
    assert os.listdir(tmp_path) == ["train.jsonl"]  # noqa: PTH208


def test_a_manifest_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ManifestError, match="cannot be written"):
        write_manifest(tmp_path / "file" / "train.jsonl", [])
