"""Hotwords that a lexicon of phones lacks: their phones are guessed, and they become its words."""

from __future__ import annotations

from pathlib import Path

from asrkit.data.tokens import TokenTable
from asrkit.decode.hotwords import forms_of, parse_hotword
from asrkit.decode.lexicon import Letters, Lexicon, Spelling
from asrkit.errors import TokenError, UsageError
from asrkit.pronounce.guess import Pronouncer
from asrkit.settings import DecodeSettings


def with_hotwords(lexicon: Lexicon, settings: DecodeSettings, tokens: TokenTable) -> Lexicon:
    """Add the words of the settings' hotwords to a lexicon, as their pronouncer guesses them.

    Raises
    ------
    UsageError
        If the tokens are no phones, or the phones of a word cannot be guessed or are no tokens.
    LanguageModelError
        If the pronouncer's file is none.
    """
    if tokens.unit != "phone":
        raise UsageError(
            f"decode.pronouncer = {settings.pronouncer!r}: guesses phones, and the search reads "
            f"tokens of unit {tokens.unit!r}; leave it out or, if the model has phones, set "
            'decode.reads = "phones"'
        )
    pronouncer = Pronouncer.load(Path(settings.pronouncer))
    spelling, known = Spelling.of(tokens), frozenset(lexicon.words)
    spelled: dict[str, Letters] = {}
    for text in settings.hotwords:
        hotword = parse_hotword(text, settings.hotword_weight)
        for written in hotword.phrase.split() if hotword else ():
            forms = forms_of(written)
            if any(form in known or form in spelled for form in forms):
                continue
            word = next(filter(pronouncer.knows, forms), written)
            try:
                spelled[word] = spelling.spell(pronouncer.guess(word))
            except TokenError as error:
                raise UsageError(f"hotword {error}") from error
            except KeyError as error:
                raise UsageError(
                    f"hotword {word!r}: {settings.pronouncer} gives it the phone "
                    f"{error.args[0]!r}, which the model's {len(tokens) - 1} phones lack; learn a "
                    "pronouncer from the lexicon that the model was trained with"
                ) from None
    return lexicon.with_words(spelled)
