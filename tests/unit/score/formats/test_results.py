"""Results of other toolkits, written here as these write them: both sides come out as they were."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.errors import ScoreError
from asrkit.score.alignment import Edit, align
from asrkit.score.formats.icefall import parse_icefall
from asrkit.score.formats.kaldi import parse_per_utt
from asrkit.score.formats.lines import Line
from asrkit.score.formats.speechbrain import parse_speechbrain
from asrkit.score.reading import Transcripts, read_transcripts

Pairs = dict[str, tuple[str, str]]

PAIRS: Pairs = {
    "1089-134686-0000": ("HE HOPED THERE WOULD BE STEW", "HE HOPED THE WOULD BE A STEW"),
    "1089-134686-0001": ("STUFF IT INTO YOU", ""),
    "61-70968-0000": ("", "UH"),
    "61-70968-0001": ("I'M *** <eps> D I", "I'M <eps> *** S I"),
    "84-121123-0000": ("", ""),
}


def icefall(pairs: Pairs, as_lists: bool = True) -> str:
    """As `store_transcripts` of icefall/utils.py."""
    lines = []
    for utt_id, sides in pairs.items():
        for key, text in zip(("ref", "hyp"), sides, strict=True):
            lines.append(f"{utt_id}:\t{key}={text.split() if as_lists else text}\n")
    return "".join(lines)


def speechbrain(pairs: Pairs) -> str:
    """As `ErrorRateStats.write_stats`: print_wer_summary and print_alignments."""
    lines = [
        "%WER 37.50 [ 3 / 8, 1 ins, 1 del, 1 sub ]",
        "%SER 50.00 [ 1 / 2 ]",
        "Scored 2 sentences, 0 not present in hyp.",
        *("=" * 80, "ALIGNMENTS", "", "Format:", "<utterance-id>, WER DETAILS"),
        " <eps> ; reference ; on ; the ; first ;  line ",
        "   I   ;     S     ; =  ;  =  ;   S   ;   D   ",
        "  and  ; hypothesis ; on ; the ; third ; <eps>",
    ]
    marks = {"hit": "=", "sub": "S", "del": "D", "ins": "I"}
    for utt_id, (ref, hyp) in pairs.items():
        edits = align(ref.split(), hyp.split())
        rows = columns(edits, marks, "<eps>")
        num = [sum(edit.op == op for edit in edits) for op in ("ins", "del", "sub")]
        lines += [
            "=" * 80,
            f"{utt_id}, %WER 0.00 [ {sum(num)} / {len(ref.split())}, {num[0]} ins, {num[1]} del, "
            f"{num[2]} sub ]",
            *(" ; ".join(row) for row in (rows[0], rows[2], rows[1])),
        ]
    return "\n".join(lines) + "\n"


def per_utt(pairs: Pairs) -> str:
    """As wer_per_utt_details.pl, called by score_kaldi_wer.sh."""
    marks = {"hit": "C", "sub": "S", "del": "D", "ins": "I"}
    lines = []
    for utt_id, (ref, hyp) in pairs.items():
        edits = align(ref.split(), hyp.split())
        rows = columns(edits, marks, "***")
        for name, row in zip(("ref ", "hyp ", "op  "), rows, strict=True):
            lines.append(f"{utt_id} {name} {'  '.join(row)}")
        counts = [sum(edit.op == op for edit in edits) for op in ("hit", "sub", "ins", "del")]
        lines.append(f"{utt_id} #csid {' '.join(map(str, counts))}")
    return "\n".join(lines) + "\n"


def columns(edits: Sequence[Edit], marks: dict[str, str], none: str) -> list[list[str]]:
    """Rows of the reference, the hypothesis and the operations, cells centred."""
    rows: list[list[str]] = [[], [], []]
    for edit in edits:
        cells = (edit.ref or none, edit.hyp or none, marks[edit.op])
        width = max(map(len, cells))
        for row, cell in zip(rows, cells, strict=True):
            row.append(cell.center(width))
    return rows


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("recogs-test-clean-greedy_search.txt", icefall),
        ("wer_test-clean.txt", speechbrain),
        ("per_utt", per_utt),
    ],
)
def test_both_sides_are_read(tmp_path: Path, name: str, write) -> None:
    path = tmp_path / name
    path.write_text(write(PAIRS), encoding="utf-8")
    references = read_transcripts(path)
    assert references.has_both_sides
    assert references.texts == {utt_id: ref for utt_id, (ref, _) in PAIRS.items()}
    hypotheses = read_transcripts(path, references)
    assert hypotheses.texts == {utt_id: hyp for utt_id, (_, hyp) in PAIRS.items()}
    # Against references from elsewhere too, it is the hypotheses that are meant.
    assert read_transcripts(path, Transcripts({"x": "y"})).texts == hypotheses.texts


def lines_of(content: str) -> list[Line]:
    return [Line(f"f:{n}", text) for n, text in enumerate(content.split("\n"), start=1)]


def filled(content: str) -> list[Line]:
    return [line for line in lines_of(content) if line.text.strip()]


words = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=4)
texts = (
    st.lists(words, max_size=5).map(" ".join).filter(lambda text: text.split() == text.split(" "))
)
ids = st.from_regex(r"[a-z0-9_-]{1,8}", fullmatch=True)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(ids, st.tuples(texts, texts), min_size=1, max_size=4))
def test_any_words_come_out_as_they_went_in(pairs: Pairs) -> None:
    pairs = {u: (" ".join(r.split()), " ".join(h.split())) for u, (r, h) in pairs.items()}
    for parse, lines in (
        (parse_icefall, filled(icefall(pairs))),
        (parse_per_utt, filled(per_utt(pairs))),
    ):
        read = {entry.utt_id: (entry.text, entry.hypothesis) for entry in parse(lines)}
        assert read == pairs
    if not any(";" in text.split() for sides in pairs.values() for text in sides):
        read = {
            e.utt_id: (e.text, e.hypothesis)
            for e in parse_speechbrain(lines_of(speechbrain(pairs)))
        }
        assert read == pairs


def test_icefall_of_plain_strings_and_with_time_stamps() -> None:
    content = (
        "a-1:\tref=[laughs] HELLO\na-1:\thyp=HELLO\n"
        "a-1:\ttimestamp_ref=[0.080, 0.520]\na-1:\ttimestamp_hyp=[(0.080, 0.520)]\n"
        "b:1:\tref=[]\nb:1:\thyp=[\"I'M\", 'A\\\\B']\n"
    )
    read = [(e.utt_id, e.text, e.hypothesis) for e in parse_icefall(filled(content))]
    assert read == [("a-1", "[laughs] HELLO", "HELLO"), ("b:1", "", "I'M A\\B")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a:\tref=['A']\n", "f:1: utterance a has the lines ref; expected ref and hyp"),
        ("a:\tref=['A']\na:\thyp=['A']\na:\thyp=['B']\n", "has the lines ref, hyp, hyp"),
        ("a:\thyp=['A']\na:\tref=['B']\n", "has the lines hyp, ref"),
        ("a:\tref=['A']\nsome words\n", "f:2: 'some words'; expected the id, a colon, a tab"),
        ("a:\tref=['A', B]\n", "f:1: .* expected a list of words in quotation marks"),
        ("a:\tref=[['A'], ['B']]\n", "of several talkers it is not known"),
        ("a:\tref=['A' * 9]\n", "expected a list of words"),
        ("a:\tref=['\\x']\n", "f:1: not Python's way to write words"),
    ],
)
def test_wrong_lines_of_icefall_are_named(content: str, message: str) -> None:
    with pytest.raises(ScoreError, match=message):
        list(parse_icefall(filled(content)))


def test_speechbrain_takes_an_empty_hypothesis_for_an_empty_word() -> None:
    # "".split(" ") is one empty word there, counted as a substitution and printed as a blank.
    rows = ["HI ;   YOU ", "S  ;    D  ", "   ;  <eps>"]
    header = "u, %WER 100.00 [ 2 / 2, 0 ins, 1 del, 1 sub ]"
    single = ["=" * 80, "v, %WER 100.00 [ 1 / 1, 0 ins, 0 del, 1 sub ]", "A", "S", " "]
    content = "\n".join(["%WER 1", "=" * 80, header, *rows, *single, ""])
    read = [(e.utt_id, e.text, e.hypothesis) for e in parse_speechbrain(lines_of(content))]
    assert read == [("u", "HI YOU", ""), ("v", "A", "")]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1 sub", "0 sub", "f:3: the alignment of u .* operations 0 I, 1 D, 0 S"),
        ("A ;   B", "A ; ; ; B", "f:3: the alignment of u has 3 cells of the reference, 2 of"),
        ("=\nu, ", "-\nu, ", "f:1: totals without alignments hold no transcripts"),
        ("\nC ; <eps>", "", "f:3: the file ends within utterance u"),
    ],
)
def test_wrong_alignments_of_speechbrain_are_named(old: str, new: str, message: str) -> None:
    header = "u, %WER 100.00 [ 2 / 2, 0 ins, 1 del, 1 sub ]"
    good = "\n".join(["%WER 1", "=" * 80, header, "A ;   B", "S ;   D", "C ; <eps>"])
    entries = [(e.text, e.hypothesis) for e in parse_speechbrain(lines_of(good))]
    assert entries == [("A B", "C")]
    assert old in good
    with pytest.raises(ScoreError, match=message):
        list(parse_speechbrain(lines_of(good.replace(old, new))))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "u op   S  D\n",
            "",
            r"f:1: utterance u has the lines ref, hyp, #csid; expected ref, hyp, op",
        ),
        ("u hyp  C  ***", "u hyp  C", "f:1: the alignment of u has 2 cells of the reference, 1 of"),
        ("#csid 0 1 0 1", "#csid 1 1 0 0", "operations 1 C, 1 S, 0 I, 0 D"),
        ("#csid 0 1 0 1", "#csid 0 1 0", "f:4: '0 1 0'; expected the numbers of right words"),
        ("#csid 0 1 0 1", "#csid 0 1 0 x", "expected the numbers of right words"),
    ],
)
def test_wrong_lines_of_per_utt_are_named(old: str, new: str, message: str) -> None:
    good = "u ref  A   B\nu hyp  C  ***\nu op   S  D\nu #csid 0 1 0 1\n"
    entries = list(parse_per_utt(filled(good)))
    assert [(e.text, e.hypothesis) for e in entries] == [("A B", "C")]
    assert old in good
    with pytest.raises(ScoreError, match=message):
        list(parse_per_utt(filled(good.replace(old, new))))


def test_an_utterance_twice_in_per_utt(tmp_path: Path) -> None:
    block = "u ref  A\nu hyp  A\nu op   C\nu #csid 1 0 0 0\n"
    path = tmp_path / "per_utt"
    path.write_text(block + block)
    with pytest.raises(ScoreError, match="has the lines ref, hyp, op, #csid, ref"):
        read_transcripts(path)
    path.write_text(block + block.replace("u ", "v ") + block)
    with pytest.raises(ScoreError, match="per_utt:9: utterance u appears again"):
        read_transcripts(path)


def test_python_limits_hold() -> None:
    deep = "a:\tref=" + "[" * (10 * sys.getrecursionlimit())
    with pytest.raises(ScoreError, match="expected a list of words"):
        list(parse_icefall(filled(deep)))
