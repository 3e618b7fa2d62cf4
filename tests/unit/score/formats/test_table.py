"""Transcripts in CSV and TSV tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrkit.errors import ScoreError
from asrkit.score.reading import read_transcripts


def written(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_csv(tmp_path: Path) -> None:
    content = 'ID,note,sentence,Speaker\nu1,,"well, yes",anna\n\nu2,x,,\n'
    read = read_transcripts(written(tmp_path, "a.csv", content))
    assert read.texts == {"u1": "well, yes", "u2": ""}
    assert read.speakers == {"u1": "anna"}


def test_tsv_with_ids_as_for_training(tmp_path: Path) -> None:
    content = 'path\toffset\ttext\nwav/a.wav\t\tsay "hi"\nwav/a.wav\t1.5\ttwo\n'
    read = read_transcripts(written(tmp_path, "a.tsv", content))
    assert read.texts == {"a": 'say "hi"', "a-1.5": "two"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,words\nu,a\n", r"a\.csv:1: no column for text among 'id, words'; expected one called"),
        ("text\na\n", r"a\.csv:2: has no utterance id; expected one in a column called utt_id or"),
        ("id,text\n,a\n", r"a\.csv:2: has no utterance id"),
        ("id,text\nu,a,b\n", r"a\.csv:2: 3 cells; expected 2"),
        ("id,text\nu,a\nu,b\n", r"a\.csv:3: utterance u appears again; .*a\.csv:2"),
        ("id,text\n", r"a\.csv: holds no utterances"),
        ('id,text\nu,"a\n', r"a\.csv:\d: not CSV"),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ScoreError, match=message):
        read_transcripts(written(tmp_path, "a.csv", content))
