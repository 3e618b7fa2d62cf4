"""STM and CTM: which words belong to which segment."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.errors import ScoreError
from asrkit.score.formats.lines import Line
from asrkit.score.formats.time_marks import parse_ctm, parse_stm
from asrkit.score.reading import Transcripts, read_transcripts

# In the manner of the example in NIST's documentation of the format.
STM = """\
;; LABEL "O" "Overall" "Overall"
;; comment
2345 A 2345-a 0.10 2.03 uh huh yes i thought

2345 A 2345-b 2.10 3.04 <O,F,00> dog walking is a very
2345 A 2345-a 3.50 4.59
2345 B 2345-c 0.00 4 {um / uh / @} good
"""


def written(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def stm(folder: Path, content: str = STM) -> Transcripts:
    return read_transcripts(written(folder, "ref.stm", content))


def hypotheses(folder: Path, references: Transcripts, content: str) -> dict[str, str]:
    return read_transcripts(written(folder, "hyp.ctm", content), references).texts


def test_segments_are_utterances(tmp_path: Path) -> None:
    read = stm(tmp_path)
    assert read.texts == {
        "2345-A-0.100-2.030": "uh huh yes i thought",
        "2345-A-2.100-3.040": "dog walking is a very",
        "2345-A-3.500-4.590": "",
        "2345-B-0.000-4.000": "{um / uh / @} good",
    }
    assert list(read.speakers.values()) == ["2345-a", "2345-b", "2345-a", "2345-c"]
    assert read.alternatives
    # Kaldi's files have no extension.
    assert read_transcripts(written(tmp_path, "stm", STM)).texts == read.texts


def test_words_go_where_their_middle_is(tmp_path: Path) -> None:
    content = """\
;; comment
2345 A 2.00 0.10 second 0.9
2345 A 0.00 0.05 early
2345 A 1.90 0.20 first -4.2

2345 A 3.00 0.20 between
2345 A 4.50 0.40 last
2345 A 9.00 0.10 beyond
2345 B 3.90 0.10 good
"""
    assert hypotheses(tmp_path, stm(tmp_path), content) == {
        "2345-A-0.100-2.030": "early first",
        "2345-A-2.100-3.040": "second",
        "2345-A-3.500-4.590": "between last beyond",
        "2345-B-0.000-4.000": "good",
    }


def test_a_middle_on_the_end_is_of_the_next_segment(tmp_path: Path) -> None:
    references = stm(tmp_path, "r 1 s 0 1 a\nr 1 s 1 2 b\n")
    content = "r 1 0.75 0.5 x\nr 1 0.5 0.75 y\n"
    assert list(hypotheses(tmp_path, references, content).values()) == ["y", "x"]


def test_segments_that_are_not_scored_take_their_words_along(tmp_path: Path) -> None:
    references = stm(
        tmp_path,
        "r 1 s 0 1 a\nr 1 s 1 2 IGNORE_TIME_SEGMENT_IN_SCORING\n"
        "r 1 s 2 3 <O> ignore_time_segment_in_scoring\nr 1 s 3 4 b\n",
    )
    assert list(references.texts.values()) == ["a", "b"]
    content = "r 1 0.2 0.1 w\nr 1 1.2 0.1 x\nr 1 2.2 0.1 y\nr 1 3.2 0.1 z\n"
    assert list(hypotheses(tmp_path, references, content).values()) == ["w", "z"]


def test_recordings_without_a_word_have_no_hypothesis(tmp_path: Path) -> None:
    read = hypotheses(tmp_path, stm(tmp_path), "2345 A 0.5 0.1 uh\n")
    assert [utt_id for utt_id in read if utt_id.startswith("2345-B")] == []
    assert list(read.values()) == ["uh", "", ""]


def test_ctm_without_segments_is_by_recording(tmp_path: Path) -> None:
    content = "utt_2 1 0.9 0.1 c\nutt_1 1 0.5 0.1 b\nutt_1 1 0.0 0.1 a 0.98\n"
    references = Transcripts({"utt_1": "a b", "utt_2": "c"})
    expected = {"utt_1": "a b", "utt_2": "c"}
    assert hypotheses(tmp_path, references, content) == expected
    assert read_transcripts(written(tmp_path, "ctm", content)).texts == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2345 C 0.5 0.1 x", "recording 2345, channel C: the references have only channels A, B"),
        ("99 A 0.5 0.1 x", "recording 99, channel A: the references have no such recording"),
        ("2345 A 0.5 x", "expected 'recording channel start duration word'"),
        ("2345 A 0.5 0.1 x 0.9 more", "expected 'recording channel start"),
        ("2345 A 0.5 -0.1 x", "expected 'recording channel start"),
        ("2345 A nan 0.1 x", "expected 'recording channel start"),
        ("2345 A 0.5 1e999 x", "expected 'recording channel start"),
        ("2345 A * * <ALT_BEGIN>", r"alternatives \(`\*` for times\) belong into references"),
    ],
)
def test_wrong_words_are_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ScoreError, match=rf"hyp\.ctm:2: .*{message}"):
        hypotheses(tmp_path, stm(tmp_path), f"2345 A 0.5 0.1 uh\n{line}\n")


def test_channels_need_an_stm(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="recording u has words on channels A and B"):
        read_transcripts(written(tmp_path, "x.ctm", "u A 0 1 a\nu B 0 1 b\n"))


@pytest.mark.parametrize(
    "line",
    [
        "a",
        "r 1 s 0",
        "r 1 s 0 x words",
        "r 1 s 2 1 words",
        "r 1 s 1 1 w",
        "r 1 s -1 1 w",
        "r 1 s 0 inf w",
    ],
)
def test_wrong_segments_are_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(ScoreError, match=r"ref\.stm:3: .* expected 'recording channel speaker st"):
        stm(tmp_path, f";; x\nr 1 s 0 1 a\n{line}\n")


def test_a_segment_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match=r"ref\.stm:2: utterance r-1-0\.000-1\.000 appears again"):
        stm(tmp_path, "r 1 s 0 1 a\nr 1 t 0.0 1.0 b\n")


def test_only_segments_that_are_not_scored(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="holds no utterances"):
        stm(tmp_path, "r 1 s 0 1 IGNORE_TIME_SEGMENT_IN_SCORING\n")


times = st.integers(0, 60).map(lambda tenths: tenths / 10)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(times, times), unique=True, min_size=1, max_size=6),
    st.lists(st.tuples(times, times), max_size=12),
)
def test_every_word_is_in_one_segment(
    spans: list[tuple[float, float]], words: list[tuple[float, float]]
) -> None:
    segments = parse_stm(
        [Line("stm:1", f"r 1 s {start} {start + length + 0.1} text") for start, length in spans]
    )
    lines = [Line("ctm:1", f"r 1 {start} {d} w{i}") for i, (start, d) in enumerate(words)]
    entries = list(parse_ctm(lines, segments))
    taken = [word for entry in entries for word in entry.text.split()]
    # Ends may come before those of earlier segments; still nothing is lost, doubled or reordered.
    in_order = sorted(range(len(words)), key=lambda i: words[i][0])
    assert taken == [f"w{i}" for i in in_order]
    assert len(entries) == (len(segments) if words else 0)


def test_words_go_where_sclite_puts_them(tmp_path: Path) -> None:
    sclite = shutil.which("sclite") or shutil.which("sclite", path="/usr/lib/sctk/bin")
    if sclite is None:
        pytest.skip("sclite is not installed; Debian has it in the package sctk")
    random = Random(1)
    stm_lines, ctm_lines = [], []
    for number in range(40):
        recording, time = f"rec{number:02}", 0.0
        for segment in range(random.randint(1, 6)):
            start = time + random.choice([0.0, 0.25, 1.0])
            time = start + random.choice([0.5, 1.0, 2.25])
            text = random.choice(["x", "x", "IGNORE_TIME_SEGMENT_IN_SCORING"])
            stm_lines.append(f"{recording} A s{number}.{segment} {start} {time} {text}\n")
        # Quarters of seconds are exact, so a middle may lie just on an end.
        starts = sorted(random.randint(0, int(4 * time) + 4) / 4 for _ in range(8))
        ctm_lines += [
            f"{recording} A {start} {random.choice([0.0, 0.5, 1.0])} w{i}\n"
            for i, start in enumerate(starts)
        ]
    references = stm(tmp_path, "".join(stm_lines))
    read = hypotheses(tmp_path, references, "".join(ctm_lines))
    files = [*("-r", tmp_path / "ref.stm", "stm"), *("-h", tmp_path / "hyp.ctm", "ctm")]
    subprocess.run(
        [sclite, *files, *("-s", "-o", "sgml", "-O", tmp_path, "-n", "out")],
        check=True,
        capture_output=True,
    )
    by_speaker = {references.speakers[utt_id]: text for utt_id, text in read.items()}
    # sclite leaves out segments before the first word and after the last.
    paths = re.findall(r'<PATH id="\((.*?)-000\)".*?>\n(.*)\n', (tmp_path / "out.sgml").read_text())
    assert len(paths) > 60
    for speaker, columns in paths:
        words = re.findall(r'(?:^|:)[CSI],(?:"[^"]*")?,"([^"]*)"', columns)
        assert by_speaker[speaker].split() == words
