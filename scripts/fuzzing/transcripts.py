"""Targets of files to be scored, one a format."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from asrkit.score.alternation import read_reference
from asrkit.score.protocol import load_protocol
from asrkit.score.reading import read_transcripts
from asrkit.score.saved_score import compare_scores
from asrkit.score.scorer import score
from fuzzing.structures import Parts
from fuzzing.target import Target

_SPEECHBRAIN = f"""\
%WER 33.33 [ 1 / 3, 0 ins, 1 del, 0 sub ]
%SER 50.00 [ 1 / 2 ]
{"=" * 80}
ann-1, %WER 50.00 [ 1 / 2, 0 ins, 1 del, 0 sub ]
call ;  me
=  ;  D
call ; <eps>
{"=" * 80}
bob-2, %WER 0.00 [ 0 / 1, 0 ins, 0 del, 0 sub ]
größer
=
größer
"""
_SEEDS = {
    "x.jsonl": '{"utt_id": "ann-1", "text": "call me back", "speaker": "ann"}\n'
    '{"audio_filepath": "a/bob_2.wav", "offset": 0.5, "text": "größer"}\n',
    "x.trn": ";; made up\ncall { me / us { all / @ } } (ann_1)\ngrößer (uh) (bob_2)\n(bob_3)\n",
    "x.stm": ";; made up\na A ann 0.00 1.50 <o,f0> call { me / us } back\n"
    "a A bob 1.5 2 größer\nb 1 ann 0 1 IGNORE_TIME_SEGMENT_IN_SCORING\n",
    "x.ctm": ";; made up\na A 0.00 0.25 call 0.99\na A 0.3 0.1 me\nb 1 1e-1 0.5 größer 1.0\n",
    "x.csv": 'id,text,speaker,wav\nann-1,"call, me",ann,a.wav\n,größer,bob,b_2.wav\n',
    "x.tsv": "utt_id\ttranscript\toffset\nann-1\tcall me\t\nbob-2\tgrößer\t0.5\n",
    "text": "ann_1 call me back\nbob_2 größer\nbob_3\n",
    "recogs-x.txt": "ann-1:\tref=['CALL', \"IT'S\"]\nann-1:\thyp=['CALL', 'ME']\n"
    "ann-1:\ttimestamp_hyp=[0.1, 0.2]\nbob-2:\tref=größer\nbob-2:\thyp=\n",
    "per_utt": "ann-1 ref  call  me  ***\nann-1 hyp  call  ***  us\nann-1 op  C  D  I\n"
    "ann-1 #csid 1 0 1 1\n",
    "wer_x.txt": _SPEECHBRAIN,
}


def _read(name: str, folder: Path) -> None:
    found = read_transcripts(folder / name)
    assert found.texts
    assert found.speakers.keys() <= found.texts.keys()
    protocol = load_protocol("plain")
    for utt_id, text in found.texts.items():
        where = f"{folder / name}: {utt_id}"
        read_reference(text, protocol, "word", where, alternatives=found.alternatives)


def _saved_scores() -> list[Parts]:
    texts = {"ann-1": "call me back", "bob-2": "größer"}
    speakers = {"ann-1": "ann", "bob-2": "bob"}
    report = score(texts, {**texts, "ann-1": "call us"}, "word", load_protocol("plain"), speakers)
    return [{"x.json": report.to_json().encode()}]


def _compare(folder: Path) -> None:
    path = folder / "x.json"
    assert compare_scores([path, path])


def _target(name: str, text: str) -> Target:
    return Target(f"score-{name}", lambda: [{name: text.encode()}], partial(_read, name))


TARGETS = (
    *(_target(name, text) for name, text in _SEEDS.items()),
    Target("saved-score", _saved_scores, _compare),
)
