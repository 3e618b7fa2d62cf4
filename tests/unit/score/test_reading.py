"""Files of references and hypotheses, and the ones that must not be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asrkit.errors import ScoreError, UsageError
from asrkit.score.reading import read_transcripts


def written(tmp_path: Path, content: str, name: str = "text") -> Path:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["hyp.jsonl", "hyp.JSON", "hyp"])
def test_jsonl(tmp_path: Path, name: str) -> None:
    lines = [
        {"utt_id": "a", "text": "x  y", "speaker": "s1", "duration": 1.5},
        {"utt_id": "b", "text": "", "speaker": ""},
        {"text": "ä\u2028ö", "utt_id": "c"},
    ]
    content = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    read = read_transcripts(written(tmp_path, content + "\n\n", name))
    assert read.texts == {"a": "x  y", "b": "", "c": "ä\u2028ö"}
    assert read.speakers == {"a": "s1"}


def test_kaldi_text(tmp_path: Path) -> None:
    content = "\ufeff1089-134686-0000 he (hoped)\nFADG0_SI1279\n\nutt-01\tx y \n"
    read = read_transcripts(written(tmp_path, content))
    assert read.texts == {"1089-134686-0000": "he (hoped)", "FADG0_SI1279": "", "utt-01": "x y"}
    assert read.speakers == {}


@pytest.mark.parametrize("name", ["hyp.trn", "hyp.txt", "hyp.TRN"])
def test_trn(tmp_path: Path, name: str) -> None:
    read = read_transcripts(written(tmp_path, "i (a)\r\n(spk_1-2)\nx (y) z (c)\n", name))
    assert read.texts == {"a": "i", "spk_1-2": "", "c": "x (y) z"}


def test_trn_has_speakers_before_the_first_hyphen_or_underscore(tmp_path: Path) -> None:
    # ESPnet puts a tab before `(speaker-utterance)`, and NIST's formats have comments.
    content = ";; comment\nhe hoped\t(1089-1089-134686-0000)\n\t(cmh_sa01)\nx (y)\n"
    for name in ("hyp.trn", "hyp"):
        read = read_transcripts(written(tmp_path, content, name))
        assert read.texts == {"1089-1089-134686-0000": "he hoped", "cmh_sa01": "", "y": "x"}
        assert read.speakers == {"1089-1089-134686-0000": "1089", "cmh_sa01": "cmh"}
        assert read.alternatives


def test_trn_may_begin_with_an_alternative(tmp_path: Path) -> None:
    read = read_transcripts(written(tmp_path, "{ a / b } c (u_1)\n{ d / @ } (u_2)\n"))
    assert read.texts == {"u_1": "{ a / b } c", "u_2": "{ d / @ }"}


def test_trn_of_nothing_but_empty_transcripts(tmp_path: Path) -> None:
    assert read_transcripts(written(tmp_path, "(spk_1)\n(spk_2)\n")).texts == {
        "spk_1": "",
        "spk_2": "",
    }


@pytest.mark.parametrize(
    "content",
    [
        "a b c\ni\nd e f\n",
        "1 2 3\n4 5\n",
        "1984\n2001\n",
        "ni3 hao3\nwo3\nta1 men5\n",
        "AH0 B\nIY1 T\n",
        "well-known facts\nnew-born cats\n",
        "utt_1 a b\nutt_2 b c\nd e f\n",
        "(laughs) hello\n(coughs) i\n",
    ],
)
def test_plain_lines_are_refused_with_the_reason(tmp_path: Path, content: str) -> None:
    with pytest.raises(ScoreError, match=r"text:\d: .* has no utterance id; .*never paired by pos"):
        read_transcripts(written(tmp_path, content))


def test_a_file_that_could_be_either_is_refused_until_it_is_named(tmp_path: Path) -> None:
    content = "utt_1 a (utt_1)\nutt_2 b (utt_2)\n"
    with pytest.raises(ScoreError, match=r"could be Kaldi text or trn; name it \.trn"):
        read_transcripts(written(tmp_path, content))
    assert read_transcripts(written(tmp_path, content, "x.trn")).texts["utt_1"] == "utt_1 a"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"utt_id": "u", "text": "a"}\n{"utt_id": "u", "text": "a"}\n'),
        ("text", "u_1 a\nu_1 b\n"),
        ("a.trn", "a (u)\nb (u)\n"),
    ],
)
def test_duplicate_ids_are_refused(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(ScoreError, match=rf"{name}:2: utterance u\S* appears again; .*{name}:1;"):
        read_transcripts(written(tmp_path, content, name))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "not a JSON object"),
        ('{"text": "a"}', "utt_id is None; expected a string"),
        ('{"utt_id": [7], "text": "a"}', r"utt_id is \[7\]; expected a string"),
        ('{"utt_id": "", "text": "a"}', "utt_id is empty"),
        ('{"utt_id": "u"}', "text is None; expected a string"),
        ('{"utt_id": "u", "text": null}', "text is None; expected a string"),
        ('{"utt_id": "u", "text": "a", "speaker": 3}', "speaker is 3; expected a string"),
        ('{"audio_filepath": "a", "offset": 1' + 400 * "0" + ', "text": "a"}', "offset: int too"),
        ('{"utt_id": true, "text": "a"}', "utt_id is True; expected a string"),
        ('{"utt_id": "u", "text": "a", "x": ' + 5000 * "9" + "}", "not valid JSON"),
        ('{"utt_id": ' + 100_000 * "[", "not valid JSON"),
        ('{"utt_id": "u", "text": "a\\ud800"}', r"holds '\\ud800', half a character"),
    ],
)
def test_malformed_json_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    content = '{"utt_id": "ok", "text": "a"}\n\n' + line
    with pytest.raises(ScoreError, match=rf"a\.jsonl:3: {message}"):
        read_transcripts(written(tmp_path, content, "a.jsonl"))


def test_a_trn_line_without_its_id_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match=r"a\.trn:2: 'b c'; expected 'words \(utt_id\)'"):
        read_transcripts(written(tmp_path, "a (u)\nb c\n", "a.trn"))


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_empty_files_are_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(ScoreError, match="holds no utterances"):
        read_transcripts(written(tmp_path, content))


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.jsonl: cannot be read: No such file"):
        read_transcripts(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="cannot be read"):
        read_transcripts(tmp_path)
    (tmp_path / "latin1").write_bytes(b"utt_1 caf\xe9\n")
    with pytest.raises(ScoreError, match="latin1: not a UTF-8 text file"):
        read_transcripts(tmp_path / "latin1")


def test_ids_are_made_as_for_training(tmp_path: Path) -> None:
    path = tmp_path / "nemo.jsonl"
    path.write_text(
        '{"audio_filepath": "wav/a.wav", "text": "one"}\n'
        '{"audio_filepath": "wav/a.wav", "offset": 1.5, "text": "two"}\n'
        '{"utt_id": 7, "text": "three"}\n'
    )
    assert read_transcripts(path).texts == {"a": "one", "a-1.5": "two", "7": "three"}
