"""Spell a written text with the tokens of a model, keeping its words as they are written.

Nothing is guessed of what was said. A letter may change its case, a character its typographic
form; marks that nobody says are left out; all of this is reported. For any other character that
the model has no token for, the user has to write what was said.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from asrkit.data.tokens import TokenTable, TokenUnit
from asrkit.errors import TokenError

_PLAIN_FORMS = {"’": "'", "‘": "'", "ʼ": "'", "`": "'", "´": "'"}
_SAID_MARKS = frozenset("%&#@*/\\§¶‰†")
"""Punctuation to Unicode, but said aloud."""
_MAX_LISTED = 10


@dataclass(frozen=True, slots=True)
class SpelledText:
    """Words and the labels that spell them.

    Attributes
    ----------
    text : str
        As it is written; runs of white space are one space.
    words : tuple of str
        As they are written, those without a spelling left out.
    labels : tuple of int
        Token ids of all words in turn, with the space between words if it is a token.
    bounds : tuple of (int, int)
        Of each word: its first label, and the one after its last.
    note : str
        What was changed or left out; empty if nothing was.
    """

    text: str
    words: tuple[str, ...]
    labels: tuple[int, ...]
    bounds: tuple[tuple[int, int], ...]
    note: str


def spell(text: str, tokens: TokenTable) -> SpelledText:
    """Spell the words of a text; with `tokens.unit = "phone"` a word is a phone.

    Raises
    ------
    TokenError
        If there is nothing to spell, or there are characters or phones that the table lacks. They
        are named, each with a word that it stands in.
    """
    written = text.split()
    known = _alphabet(tokens)
    if tokens.unit == "phone":
        symbols_of = [[word] for word in written]
        forms = {word: word if word in known else None for word in written}
    else:
        symbols_of = [list(unicodedata.normalize("NFC", word)) for word in written]
        forms = {symbol: _form(symbol, known) for word in symbols_of for symbol in word}
    _check_known(forms, written, symbols_of, known, tokens.unit)
    labels: list[int] = []
    words, bounds, unspelled = [], [], []
    for word, symbols in zip(written, symbols_of, strict=True):
        ids = tokens.encode("".join(forms[symbol] or "" for symbol in symbols))
        if not ids:
            unspelled.append(word)
            continue
        if labels and " " in tokens.symbols:
            labels += [tokens.symbols.index(" ")]
        first = 0 if tokens.letters(ids[0]) else 1  # a mark alone that a word begins
        bounds.append((len(labels) + first, len(labels) + len(ids)))
        labels += ids
        words.append(word)
    if not words:
        raise TokenError(f"the text {' '.join(written)[:40]!r} has no words; expected what is said")
    note = _describe(forms, Counter(symbol for word in symbols_of for symbol in word), unspelled)
    return SpelledText(" ".join(written), tuple(words), tuple(labels), tuple(bounds), note)


def _alphabet(tokens: TokenTable) -> frozenset[str]:
    """Give what can be spelled: phones, or characters and with them the space, if words end."""
    token_ids = range(1, len(tokens))
    letters = frozenset(letter for token_id in token_ids for letter in tokens.letters(token_id))
    return letters | {" "} if any(map(tokens.ends_word, token_ids)) else letters


def _form(symbol: str, known: frozenset[str]) -> str | None:
    """Give what stands for a character, "" if it is left out, None if the table lacks it."""
    decomposed = unicodedata.normalize("NFD", symbol)
    plain = _PLAIN_FORMS.get(symbol, symbol)
    bare = "".join(c for c in unicodedata.normalize("NFKD", symbol) if not unicodedata.combining(c))
    for form in (symbol, plain, symbol.lower(), symbol.upper(), decomposed, bare, bare.lower()):
        if form and known.issuperset(form):
            return form
    category = unicodedata.category(symbol)
    if category == "Pd" and " " in known:  # a hyphen separates what is said as two words
        return " "
    return "" if category.startswith("P") and symbol not in _SAID_MARKS else None


def _check_known(
    forms: dict[str, str | None],
    written: Sequence[str],
    symbols_of: Sequence[Sequence[str]],
    known: frozenset[str],
    unit: TokenUnit,
) -> None:
    unknown = [symbol for symbol, form in forms.items() if form is None]
    if not unknown:
        return
    named = []
    for symbol in unknown:
        within = [w for w, symbols in zip(written, symbols_of, strict=True) if symbol in symbols]
        code_point = f" (U+{ord(symbol):04X})" if len(symbol) == 1 else ""
        where = f" in {within[0]!r}" if unit != "phone" else ""
        more = f" and {_count(len(within) - 1, 'more word')}" if len(within) > 1 else ""
        named.append(f"{symbol!r}{code_point}{where}{more}")
    alphabet = " ".join(sorted(known - {" "}))
    remedy = "as it is said, e.g. five for 5" if unit != "phone" else "in these phones"
    raise TokenError(
        f"the model has no token for {_list(named)}; expected {alphabet}; write the text {remedy}"
    )


def _describe(forms: dict[str, str | None], counts: Counter[str], unspelled: Sequence[str]) -> str:
    """Say what was done to the text, in one line."""
    changed = {symbol: form for symbol, form in forms.items() if form != symbol}
    recased = sum(counts[s] for s, form in changed.items() if form in (s.lower(), s.upper()))
    spelled = [_count(recased, "letter") + " in the other case"] if recased else []
    left_out = []
    for symbol, form in changed.items():
        if form == "":
            left_out.append(f"{symbol} ({counts[symbol]})")
        elif form not in (symbol.lower(), symbol.upper()):
            spelled.append(f"{symbol} as {form!r} ({counts[symbol]})")
    parts = {"spelled": _list(spelled), "left out": _list(left_out)}
    parts["words not aligned"] = list_counts(Counter(unspelled))
    return "; ".join(f"{what}: {items}" for what, items in parts.items() if items)


def list_counts(counts: Counter[str]) -> str:
    """List things with how often they occur, not too many of them."""
    return _list([f"{each} ({count})" for each, count in counts.items()])


def _list(items: Sequence[str]) -> str:
    more = f" and {len(items) - _MAX_LISTED} more" if len(items) > _MAX_LISTED else ""
    return ", ".join(items[:_MAX_LISTED]) + more


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
