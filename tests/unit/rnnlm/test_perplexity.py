from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asrkit.errors import LanguageModelError
from asrkit.rnnlm import perplexity
from asrkit.rnnlm.network import WordLstm
from asrkit.rnnlm.perplexity import measure_recurrent_perplexity


def test_is_that_of_its_scores(
    small: WordLstm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perplexity, "_WORDS_AT_ONCE", 4)
    texts = [tmp_path / "one.txt", tmp_path / "two.txt"]
    texts[0].write_text("the cat sat\ncat\n\n")
    texts[1].write_text("the zebra cat rare")
    sentences = [["the", "cat", "sat"], ["cat"], [], ["the", "zebra", "cat", "rare"]]
    scores = small.score(sentences)
    found = measure_recurrent_perplexity(small, texts)
    assert found.log_prob == pytest.approx(sum(each.sum() for each in scores), abs=1e-4)
    assert found.oov_log_prob == pytest.approx(scores[3][1], abs=1e-5)
    assert (found.num_sentences, found.num_tokens, found.num_oov) == (4, 12, 1)
    assert found.including_oov == pytest.approx(np.exp(-found.log_prob / 12))


def test_no_text(small: WordLstm, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(LanguageModelError, match=r"empty\.txt: no text"):
        measure_recurrent_perplexity(small, [tmp_path / "empty.txt"])
