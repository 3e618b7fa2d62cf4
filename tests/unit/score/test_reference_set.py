"""Evaluation sets of known corpora: whole, a part, or something else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from asrkit.bundled import RECIPES_DIR
from asrkit.score.protocol import protocol_names
from asrkit.score.reference_set import _load_corpora, describe_references

CORE = (RECIPES_DIR / "timit" / "core_test_speakers.txt").read_text().split()
DEV = (RECIPES_DIR / "timit" / "dev_speakers.txt").read_text().split()


def sentences(speakers: Sequence[str], form: str = "{}_{}") -> list[str]:
    """The eight SI and SX sentences of each speaker, by made-up numbers."""
    names = [f"si{number}" for number in range(3)] + [f"sx{number}" for number in range(5)]
    return [form.format(speaker, name) for speaker in speakers for name in names]


def test_lists_are_those_of_the_recipe() -> None:
    timit = next(corpus for corpus in _load_corpora() if corpus.corpus == "TIMIT")
    for name, speakers in (("core test set", CORE), ("development set", DEV)):
        assert sorted(timit.sets[name].speakers) == sorted(speakers)
        assert timit.sets[name].utterances == 8 * len(speakers)


def test_sets_are_counted_under_known_protocols() -> None:
    for corpus in _load_corpora():
        for each in corpus.sets.values():
            assert set(each.tokens) <= set(protocol_names())


@pytest.mark.parametrize("form", ["{}_{}", "{0}-{0}_{1}", "dr1-{}-{}", "DR1/{}/{}"])
@pytest.mark.parametrize(
    ("speakers", "tokens", "name"),
    [(CORE, 7215, "core test set"), (DEV, 15057, "development set")],
)
def test_whole_sets(form: str, speakers: list[str], tokens: int, name: str) -> None:
    ids = sentences(speakers, form)
    assert describe_references(ids, tokens, "timit39") == f"the whole TIMIT {name}"
    upper = [utt_id.upper() for utt_id in ids]
    assert describe_references(upper, tokens, "timit39") == f"the whole TIMIT {name}"
    # Under a protocol of which the count is not known, the utterances decide.
    assert describe_references(ids, 1, "timit39-merged-sil") == f"the whole TIMIT {name}"
    assert describe_references(ids, 1, "") == f"the whole TIMIT {name}"


def test_other_transcripts_of_a_whole_set() -> None:
    assert describe_references(sentences(CORE), 7333, "timit39") == (
        "the utterances of TIMIT core test set, but other transcripts: it has 7215 tokens under "
        "this protocol"
    )


def test_parts_and_mixtures() -> None:
    ids = sentences(CORE)
    no_comparison = "; rates on the whole set do not compare"
    assert describe_references(ids[:100], 7215, "timit39") == (
        f"100 of the 192 utterances of TIMIT core test set{no_comparison}"
    )
    assert describe_references([*ids, "fcjf0_si1", "x"], 7215, "timit39") == (
        f"192 of the 192 utterances of TIMIT core test set, 2 other utterances{no_comparison}"
    )
    assert describe_references([*ids[:8], *sentences(DEV[:2])], 7215, "timit39") == (
        "8 of the 192 utterances of TIMIT core test set, 16 of the 400 utterances of TIMIT "
        f"development set{no_comparison}"
    )


def test_utterances_of_a_corpus_outside_of_its_sets() -> None:
    assert describe_references(["fcjf0_si1027"], 30, "timit39") == (
        "no utterance of TIMIT core test set or TIMIT development set"
    )


def test_sets_known_by_counts() -> None:
    ids = [f"{1000 + number // 100}-{number // 50}-{number:04}" for number in range(2703)]
    whole = "the whole LibriSpeech dev-clean"
    assert describe_references(ids, 54402, "plain") == whole
    assert describe_references([f"librispeech-{utt_id}" for utt_id in ids], 54402, "plain") == whole
    assert describe_references(ids, 54402, "english") == whole
    for other in ((ids[1:], 54402, "plain"), (ids, 54401, "plain"), (ids, 54402, "")):
        assert describe_references(*other) == ""


def test_unknown_corpora() -> None:
    assert describe_references(["a", "utt_12", "mini-0001", "sa1"], 10, "plain") == ""


def test_real_files(shared_data: Path) -> None:
    folder = shared_data / "timit_sample" / "TIMIT"
    ids = [f"{path.parent.name}_{path.stem}" for path in folder.rglob("S[IX]*.PHN")]
    assert describe_references(ids, 10, "timit39") == (
        "no utterance of TIMIT core test set or TIMIT development set"
    )
