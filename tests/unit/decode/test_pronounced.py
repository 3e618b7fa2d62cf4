"""Hotwords that a lexicon of phones lacks are guessed, and can then be recognised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from asrkit.data.tokens import TokenTable
from asrkit.decode.beam_fused import fused_beam_search
from asrkit.decode.fusion import make_fusion
from asrkit.decode.fusion_settings import check_fusion, without_fusion
from asrkit.decode.pruning import SearchLimits
from asrkit.errors import LanguageModelError, UsageError
from asrkit.lm.model_file import save_ngram
from asrkit.pronounce.learn import learn
from asrkit.settings import DecodeSettings

MakeTable = Callable[[int], TokenTable]
HEARD = torch.tensor([[0.02, 0.96, 0.02], [0.02, 0.02, 0.96], [0.02, 0.96, 0.02]]).log()


@pytest.fixture
def settings(tmp_path: Path) -> DecodeSettings:
    """Of a lexicon of `x` and `y`, and a pronouncer that spells with these letters."""
    (tmp_path / "lexicon.txt").write_text("x p01\ny p02\n")
    model = learn({"x": ("p01",), "y": ("p02",), "xx": ("p01", "p01"), "z": ("p09",)})
    save_ngram(tmp_path / "letters.bin", model)
    return DecodeSettings(
        method="beam",
        lexicon=str(tmp_path / "lexicon.txt"),
        pronouncer=str(tmp_path / "letters.bin"),
    )


def text(settings: DecodeSettings, tokens: TokenTable) -> str:
    fusion = make_fusion(settings, tokens)
    assert fusion is not None
    return fused_beam_search(HEARD, tokens, 0.5, fusion, SearchLimits(50, -12.0))[0].text


def test_a_hotword_becomes_a_word(settings: DecodeSettings, phone_table: MakeTable) -> None:
    tokens = phone_table(3)
    assert text(settings, tokens) == "x y x"
    favoured = settings.model_copy(update={"hotwords": ("xy:3",)})
    assert text(favoured, tokens) == "xy x"
    capital = settings.model_copy(update={"hotwords": ("XY:3",)})
    assert text(capital, tokens) == "xy x"
    phrase = settings.model_copy(update={"hotwords": ("x yx:3",)})
    assert text(phrase, tokens) == "x yx"
    for weight in ("0", "3"):
        without = {"pronouncer": "", "hotwords": (f"xy:{weight}",)}
        if weight == "0":  # counts for nothing, so nothing need be guessed
            assert text(settings.model_copy(update=without), tokens) == "x y x"
            continue
        with pytest.raises(
            UsageError, match=r"lacks it; .* name a decode\.pronouncer that guesses"
        ):
            text(settings.model_copy(update=without), tokens)


def test_a_word_of_the_lexicon_keeps_its_phones(
    settings: DecodeSettings, phone_table: MakeTable
) -> None:
    Path(settings.lexicon).write_text("xy p02 p02\nx p01\ny p02\n")
    favoured = settings.model_copy(update={"hotwords": ("xy:3",)})
    assert text(favoured, phone_table(3)) == "x y x"


@pytest.mark.parametrize(
    ("hotword", "message"),
    [
        ("xö", r"^hotword 'xö': no word that was learned from has the letter 'ö'"),
        (
            "xz",
            r"^hotword 'xz': .*letters\.bin gives it the phone 'p09', which the model's 2 phones",
        ),
    ],
)
def test_hotwords_that_cannot_be_guessed(
    settings: DecodeSettings, phone_table: MakeTable, hotword: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_fusion(settings.model_copy(update={"hotwords": (hotword,)}), phone_table(3))


def test_a_file_that_is_none_is_refused_at_once(
    settings: DecodeSettings, phone_table: MakeTable
) -> None:
    named = settings.model_copy(update={"pronouncer": settings.lexicon})
    with pytest.raises(LanguageModelError, match=r"lexicon\.txt: tells no pronunciations"):
        make_fusion(named, phone_table(3))


def test_settings_that_do_not_go_together(settings: DecodeSettings, chars: TokenTable) -> None:
    check_fusion(settings)
    with pytest.raises(
        UsageError, match=r"^decode\.pronouncer = .*: there is no lexicon that lack"
    ):
        check_fusion(settings.model_copy(update={"lexicon": ""}))
    with pytest.raises(UsageError, match=r"^decode\.pronouncer = .*: the greedy search has no use"):
        check_fusion(settings.model_copy(update={"lexicon": "", "method": "greedy"}))
    assert without_fusion(settings).pronouncer == ""
    Path(settings.lexicon).write_text("ab a b\n")
    with pytest.raises(
        UsageError, match=r"guesses phones, and the search reads tokens of unit 'char"
    ):
        make_fusion(settings, chars)
