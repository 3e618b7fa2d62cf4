from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from asrkit.data.tokens import TokenTable
from asrkit.decode.fusion_settings import check_fusion, with_own_rescoring, without_fusion
from asrkit.decode.rescoring import make_rescoring
from asrkit.decode.search import decode_batch
from asrkit.errors import LanguageModelError, UsageError
from asrkit.lm.model_file import load_ngram
from asrkit.rnnlm.model_file import load_word_lstm, save_word_lstm
from asrkit.rnnlm.network import SPECIAL_WORDS, Sizes, WordLstm
from asrkit.settings import DecodeSettings

ARPA = """\\data\\
ngram 1=6

\\1-grams:
-2.0\t<unk>
-99\t<s>
-0.9\t</s>
-0.5\ta
-0.6\tb
-0.7\tab

\\end\\
"""


@pytest.fixture
def tokens() -> TokenTable:
    return TokenTable(("<blank>", " ", "a", "b"), "char")


@pytest.fixture
def settings(tmp_path: Path) -> DecodeSettings:
    """Two language models, of which the recurrent one has weights by chance."""
    (tmp_path / "lm.arpa").write_text(ARPA)
    torch.manual_seed(3)
    model = WordLstm((*SPECIAL_WORDS, "a", "b", "ab"), Sizes(4, 6, 8))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    save_word_lstm(tmp_path / "words.lstm", model)
    return DecodeSettings(
        method="beam",
        beam_size=64,
        lm=str(tmp_path / "lm.arpa"),
        rescoring_lm=str(tmp_path / "words.lstm"),
        rescoring_share=0.4,
        rescoring_nbest=20,
        lm_weight=1.5,
    )


def frames(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 6, 4, generator=generator).log_softmax(-1)


def decode(settings: DecodeSettings, tokens: TokenTable, seed: int, nbest: int):
    (best,) = decode_batch(frames(seed), torch.tensor([6]), tokens, 0.04, settings, nbest)
    return [best, *best.alternatives]


def test_ranks_by_the_mixture_of_both_models(settings: DecodeSettings, tokens: TokenTable) -> None:
    ngram, recurrent = load_ngram(Path(settings.lm)), load_word_lstm(Path(settings.rescoring_lm))
    has_changed = False
    for seed in range(20):
        before = decode(settings.model_copy(update={"rescoring_lm": ""}), tokens, seed, 20)
        expected = {}
        for each in before:
            words = each.text.split()
            (said,) = recurrent.score([words])
            mixed = 0.4 * np.exp(said) + 0.6 * np.exp(ngram.score_sentence(words).astype(float))
            lm_log_prob = float(np.log(mixed).sum())
            change = lm_log_prob - float(ngram.score_sentence(words).sum())
            expected[each.tokens] = (each.text, each.score + 1.5 * change, lm_log_prob)
        after = decode(settings, tokens, seed, 20)
        assert len(after) == len(before)
        for each in after:
            text, score, lm_log_prob = expected[each.tokens]
            assert each.text == text
            assert each.score == pytest.approx(score, abs=1e-4)
            assert each.lm_log_prob == pytest.approx(lm_log_prob, abs=1e-4)
        scores = [each.score for each in after]
        assert scores == sorted(scores, reverse=True)
        has_changed |= after[0].text != before[0].text
    assert has_changed


def test_as_many_are_ranked_as_the_settings_say(
    settings: DecodeSettings, tokens: TokenTable
) -> None:
    """Whatever number is asked for."""
    for seed in range(5):
        whole = [(each.text, each.score) for each in decode(settings, tokens, seed, 20)]
        for nbest in (1, 3, 60):
            some = [(each.text, each.score) for each in decode(settings, tokens, seed, nbest)]
            assert some[:20] == whole[:nbest]
        first = settings.model_copy(update={"rescoring_nbest": 1})
        (kept,) = decode(first, tokens, seed, 1)
        (found,) = decode(settings.model_copy(update={"rescoring_lm": ""}), tokens, seed, 1)
        assert kept.text == found.text


def test_without_a_share_nothing_changes(settings: DecodeSettings, tokens: TokenTable) -> None:
    for seed in range(5):
        none = decode(settings.model_copy(update={"rescoring_share": 0.0}), tokens, seed, 20)
        before = decode(settings.model_copy(update={"rescoring_lm": ""}), tokens, seed, 20)
        assert [each.text for each in none] == [each.text for each in before]
        assert none[0].score == pytest.approx(before[0].score, abs=1e-5)


def test_an_utterance_of_no_frames(settings: DecodeSettings, tokens: TokenTable) -> None:
    (found,) = decode_batch(torch.zeros(1, 0, 4), torch.tensor([0]), tokens, 0.04, settings)
    assert found.text == ""
    assert math.isfinite(found.lm_log_prob)


def test_what_the_recurrent_model_does_not_know_is_left_to_the_other(
    settings: DecodeSettings,
) -> None:
    rescoring = make_rescoring(settings)
    assert rescoring is not None
    by_ngram = load_ngram(Path(settings.lm)).score_sentence(["aba", "b"]).astype(float)
    (ranked,) = rescoring.rank([-1.0], [["aba", "b"]], [by_ngram])
    assert ranked.lm_log_prob >= by_ngram.sum() + 3 * math.log(0.6) - 1e-6
    assert ranked.score == pytest.approx(-1 + 1.5 * (ranked.lm_log_prob - by_ngram.sum()), abs=1e-5)


def test_a_word_that_only_the_lexicon_lacks_stays_unknown_to_the_search(
    settings: DecodeSettings, tokens: TokenTable, tmp_path: Path
) -> None:
    (tmp_path / "lexicon.txt").write_text("a a\nb b\n")
    settings = settings.model_copy(
        update={
            "lexicon": str(tmp_path / "lexicon.txt"),
            "rescoring_share": 0.0,
            "lm_weight": 0.3,
        }
    )
    spells = set()
    for seed in range(20):
        none = decode(settings, tokens, seed, 20)
        before = decode(settings.model_copy(update={"rescoring_lm": ""}), tokens, seed, 20)
        for found, same in zip(none, before, strict=True):
            assert (found.text, found.tokens) == (same.text, same.tokens)
            assert found.lm_log_prob == pytest.approx(same.lm_log_prob, abs=1e-4)
            spells.update(found.text.split())
    assert "ab" in spells


def test_needs_a_language_model_that_finds(settings: DecodeSettings) -> None:
    check_fusion(settings)
    with pytest.raises(UsageError, match=r"^decode\.rescoring_lm = .*: ranks what is found with"):
        check_fusion(settings.model_copy(update={"lm": ""}))
    with pytest.raises(UsageError, match=r"^decode\.rescoring_lm = .*: the greedy search has no"):
        check_fusion(DecodeSettings(rescoring_lm="words.lstm"))
    assert make_rescoring(without_fusion(settings)) is None


def test_a_file_of_another_kind_is_refused(settings: DecodeSettings) -> None:
    with pytest.raises(LanguageModelError, match="expected what `asrkit lm train` writes"):
        make_rescoring(settings.model_copy(update={"rescoring_lm": settings.lm}))


def test_another_language_model_leaves_the_models_own_out() -> None:
    assert with_own_rescoring({"lm": "other.arpa"}) == {"lm": "other.arpa", "rescoring_lm": ""}
    both = {"lm": "other.arpa", "rescoring_lm": "other.lstm"}
    assert with_own_rescoring(both) == both
    assert with_own_rescoring({"lm": ""}) == {"lm": "", "rescoring_lm": ""}
    assert with_own_rescoring({"beam_size": 3}) == {"beam_size": 3}
