from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from asrkit.errors import LanguageModelError
from asrkit.lm.arpa_reader import read_arpa
from asrkit.lm.arpa_writer import write_arpa
from asrkit.lm.build import build_model
from asrkit.lm.ngram import NGramModel
from asrkit.lm.perplexity import measure_perplexity

SENTENCES = "the river finds the zebra\n\nlamp kettle\na small bridge mends <unk> slowly\n"


def test_by_hand(tiny: NGramModel, write: Callable[..., Path]) -> None:
    result = measure_perplexity(tiny, [write("a b\nzebra\n")])
    known = [-0.2, -0.15, -0.25 - 0.45, -0.7]
    unknown = -0.5 - 1.2
    assert (result.num_sentences, result.num_tokens, result.num_oov) == (2, 5, 1)
    assert result.including_oov == pytest.approx(10 ** (-(sum(known) + unknown) / 5))
    assert result.excluding_oov == pytest.approx(10 ** (-sum(known) / 4))
    assert result.log_prob == pytest.approx((sum(known) + unknown) * math.log(10))


def test_the_output_of_kenlm_query(golden: Path, write: Callable[..., Path]) -> None:
    # What `query -v summary` of KenLM 0.3.0 says of SENTENCES.
    expected = {
        "order3": (41.97283955080107, 24.520723564809224, 2, 17),
        "order3_prune_0_0_1": (41.31435438162321, 24.239301548332104, 2, 17),
    }
    for name, (including, excluding, num_oov, num_tokens) in expected.items():
        result = measure_perplexity(read_arpa(golden / f"{name}.arpa"), [write(SENTENCES)])
        assert (result.num_oov, result.num_tokens) == (num_oov, num_tokens)
        assert result.including_oov == pytest.approx(including, rel=1e-5)
        assert result.excluding_oov == pytest.approx(excluding, rel=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"prune": (0, 0, 1)}, {"entropy_threshold": 1e-5}, {"max_words": 40}]
)
def test_kenlm_reads_what_we_write_and_scores_alike(
    golden: Path, tmp_path: Path, options: dict[str, object]
) -> None:
    kenlm = pytest.importorskip("kenlm", reason="kenlm is not installed")
    model = build_model([golden / "text.txt"], 4, discount_fallback=True, **options)
    write_arpa(tmp_path / "lm.arpa", model)
    theirs = kenlm.Model(str(tmp_path / "lm.arpa"))
    text = (golden / "text.txt").read_text("utf-8") + SENTENCES
    for line in text.splitlines():
        expected = [log10_prob for log10_prob, _, _ in theirs.full_scores(line)]
        ours = model.score_sentence(line.split()) / math.log(10)
        assert ours == pytest.approx(expected, abs=1e-5)


def test_nothing_to_score(tiny: NGramModel, write: Callable[..., Path]) -> None:
    with pytest.raises(LanguageModelError, match="no text; expected a sentence a line"):
        measure_perplexity(tiny, [write("")])
