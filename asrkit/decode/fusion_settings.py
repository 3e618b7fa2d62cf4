"""The settings of the beam search: their files, their defaults, and which of them go together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from asrkit.errors import UsageError
from asrkit.settings import DecodeSettings

DECODE_FILES = ("lm", "rescoring_lm", "lexicon", "pronouncer")
"""Settings that are paths of files."""
_ONLY_OF_BEAM_SEARCH = (
    "reads",
    *DECODE_FILES,
    "vocabulary",
    "word_bonus",
    "hotwords",
    "posterior_temperature",
    "prior_weight",
    "log_priors",
)


_OF_GREEDY_SEARCH = ("method", "confidence_temperature", "confidence_bias", "splits")


def place_decode_files(settings: DecodeSettings, folder: Path) -> DecodeSettings:
    """Take relative paths of the settings from a folder: the recipe's, or the model file's."""
    return _with_paths(settings, lambda path: str(folder / path))


def relate_decode_files(settings: DecodeSettings, folder: Path) -> DecodeSettings:
    """Undo `place_decode_files` for a model file that is to lie in a folder."""
    return _with_paths(settings, lambda path: os.path.relpath(path, folder))


def _with_paths(settings: DecodeSettings, change: Callable[[str], str]) -> DecodeSettings:
    paths = {name: getattr(settings, name) for name in DECODE_FILES}
    changed = {name: change(path) for name, path in paths.items() if path}
    return settings.model_copy(update=changed)


def without_fusion(settings: DecodeSettings) -> DecodeSettings:
    """Leave out all that only a beam search heeds."""
    defaults = DecodeSettings()
    return settings.model_copy(
        update={name: getattr(defaults, name) for name in _ONLY_OF_BEAM_SEARCH}
    )


def for_greedy_search(settings: DecodeSettings) -> DecodeSettings:
    """Put the greedy search in place of a model's own: what only that heeds is left out.

    So is the calibration of words, if it is that of a beam search.
    """
    greedy = without_fusion(settings).model_copy(update={"method": "greedy"})
    if settings.method == "greedy":
        return greedy
    return greedy.model_copy(update={"confidence_temperature": 1.0, "confidence_bias": 0.0})


def with_own_rescoring(given: Mapping[str, Any]) -> dict[str, Any]:
    """Leave a model's own `rescoring_lm` out where settings by name have an `lm`, or none."""
    if "lm" not in given:
        return dict(given)
    return {**given, "rescoring_lm": given.get("rescoring_lm", "")}


def check_greedy(settings: DecodeSettings, given: Iterable[str]) -> None:
    """Refuse settings by name that a greedy search, if it is one, would not heed.

    Raises
    ------
    UsageError
        Naming the first of them.
    """
    for name in given if settings.method == "greedy" else ():
        value = getattr(settings, name)
        if value and name not in _OF_GREEDY_SEARCH:
            shown = list(value) if isinstance(value, tuple) else value
            raise UsageError(
                f"decode.{name} = {shown!r}: the greedy search has no use for it; set "
                'decode.method = "beam"'
            )


def check_fusion(settings: DecodeSettings) -> None:
    """Refuse settings that the search they are for would not heed.

    Raises
    ------
    UsageError
        Naming the setting.
    """
    check_greedy(settings, (*DECODE_FILES, "hotwords", "word_bonus", "prior_weight"))
    if settings.reads_phones and not settings.lexicon:
        raise UsageError(
            'decode.reads = "phones": nothing tells which words they make; name a lexicon, or read '
            "tokens"
        )
    if settings.prior_weight and not settings.log_priors:
        raise UsageError(
            f"decode.prior_weight = {settings.prior_weight:g}: there are no decode.log_priors; "
            "measure them by asrkit tune, or set it to 0"
        )
    if settings.rescoring_lm and not settings.lm:
        raise UsageError(
            f"decode.rescoring_lm = {settings.rescoring_lm!r}: ranks what is found with decode.lm, "
            "and there is none; name it, too"
        )
    if settings.pronouncer and not settings.lexicon:
        raise UsageError(
            f"decode.pronouncer = {settings.pronouncer!r}: there is no lexicon that lacks words; "
            "name one, or no pronouncer"
        )
    if settings.vocabulary == "closed" and not (settings.lm or settings.lexicon):
        raise UsageError(
            'decode.vocabulary = "closed": nothing tells the words; name a lexicon or a language '
            "model, or leave the vocabulary open"
        )
    if settings.word_bonus and not (settings.lm or settings.lexicon):
        raise UsageError(
            f"decode.word_bonus = {settings.word_bonus:g}: it makes up for what a language model "
            "takes for each word, and there is none; name a language model, or set it to 0"
        )
