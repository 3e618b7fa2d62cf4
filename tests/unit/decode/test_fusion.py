from __future__ import annotations

from pathlib import Path

import pytest

from asrkit.decode.fusion_settings import (
    check_fusion,
    place_decode_files,
    relate_decode_files,
    without_fusion,
)
from asrkit.errors import UsageError
from asrkit.settings import DecodeSettings


def test_files_of_the_settings_are_found_from_another_folder(tmp_path: Path) -> None:
    settings = DecodeSettings(
        lm="lm.bin", lexicon=str(tmp_path / "words.txt"), pronouncer="letters.bin"
    )
    placed = place_decode_files(settings, tmp_path / "recipe")
    assert Path(placed.lm) == tmp_path / "recipe" / "lm.bin"
    assert Path(placed.pronouncer) == tmp_path / "recipe" / "letters.bin"
    assert Path(placed.lexicon) == tmp_path / "words.txt"
    related = relate_decode_files(placed, tmp_path / "runs" / "mine")
    assert Path(related.lm) == Path("../../recipe/lm.bin")
    again = place_decode_files(related, tmp_path / "runs" / "mine")
    assert Path(again.lm).resolve() == Path(placed.lm)
    assert Path(again.lexicon).resolve() == Path(placed.lexicon)


def test_what_is_not_named_stays_so() -> None:
    settings = DecodeSettings()
    assert relate_decode_files(settings, Path("anywhere")) == settings
    assert place_decode_files(settings, Path("anywhere")) == settings


def test_phones_need_a_lexicon() -> None:
    settings = DecodeSettings(method="beam", reads="phones")
    with pytest.raises(UsageError, match=r'^decode\.reads = "phones": nothing tells which words'):
        check_fusion(settings)
    check_fusion(settings.model_copy(update={"lexicon": "words.txt"}))
    check_fusion(settings.model_copy(update={"method": "greedy"}))  # reads tokens
    assert without_fusion(settings) == DecodeSettings(method="beam")
