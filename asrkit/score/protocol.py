"""Scoring protocols: what is done to reference and hypothesis before they are compared."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterable
from functools import cached_property
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import Field

from asrkit.errors import ScoreError, UsageError
from asrkit.score.alignment import AlignmentRule
from asrkit.score.listing import list_ids
from asrkit.settings import Unit
from asrkit.settings_types import Table

_FOLDER = files("asrkit") / "score" / "protocols"
_NO_RULES = {"name", "description", "units", "beside"}


class Protocol(Table):
    """One file of `protocols/`: every rule is named data, and `notes` prints what it does.

    The rules apply in the order of the fields, to reference and hypothesis alike.
    """

    name: str
    description: str
    units: Annotated[tuple[Unit, ...], Field(min_length=1)]
    """Units the protocol can score; the first is the default."""
    beside: tuple[str, ...] = ()
    """Protocols whose rates are shown beside this one's, as people quote them too."""
    exclude: dict[str, str] = Field(default_factory=dict)
    """Regular expressions, searched in utterance ids the protocol does not admit, and what they
    stand for."""
    unicode_form: Literal["NFC", "NFKC"] | None = None
    """Unicode normal form the text is brought to; None leaves it."""
    replace: dict[str, str] = Field(default_factory=dict)
    """Strings and what is put in their place, one after the other."""
    lower_case: bool = False
    remove_punctuation: bool = False
    """Put a space in place of each character of a Unicode punctuation category (P*)."""
    kept_punctuation: str = ""
    """Characters `remove_punctuation` leaves."""
    remove: dict[str, str] = Field(default_factory=dict)
    """Symbols dropped before folding, and what they are."""
    fold: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Scored symbols, each with the symbols it stands for; if any, all others are errors."""
    silence: str = ""
    """The scored symbol of silence, if there is one."""
    silence_runs: Literal["keep", "merge"] = "keep"
    """Score every silence symbol, or a run of them as one."""
    optional: tuple[str, ...] = ()
    """Scored symbols that a hypothesis may lack: their deletion is no error, yet they stay in the
    count of reference tokens, as words in parentheses do for NIST's `sclite -D`."""
    marked_references: bool = False
    """References hold alternatives, `{ a / b }`, and optional words, `(uh)`. Alternatives they may
    hold under every protocol if their format has them (trn, stm)."""
    alignment: AlignmentRule = "levenshtein"
    """What the errors of an utterance are: the fewest there can be, or those that sclite finds."""

    @cached_property
    def id(self) -> str:
        """The name, `@` and eight hexadecimal digits that are others if any rule is another."""
        rules = self.model_dump(mode="json", exclude=_NO_RULES, exclude_defaults=True)
        digest = hashlib.sha256(json.dumps(rules, ensure_ascii=False).encode())
        return f"{self.name}@{digest.hexdigest()[:8]}"

    def apply(self, text: str, unit: Unit | None = None, where: str = "text") -> list[str]:
        """Turn a transcript into the tokens to be scored.

        Parameters
        ----------
        text
            A transcript; an empty one gives no tokens.
        unit
            `word` and `phone` are split at white space. `char` is every character, the spaces
            between words included, as `jiwer.cer` counts; unlike there, a run of white space is one
            space. The default is the first of `units`.
        where
            What the text is, for error messages.

        Raises
        ------
        UsageError
            If the protocol does not score this unit.
        ScoreError
            If there is a fold and a symbol is not part of it.
        """
        unit = unit or self.units[0]
        if unit not in self.units:
            raise UsageError(
                f"protocol {self.name}: unit {unit} cannot be scored; "
                f"expected {' or '.join(self.units)}"
            )
        words = self._normalize(text).split()
        tokens = list(" ".join(words)) if unit == "char" else words
        tokens = [token for token in tokens if token not in self.remove]
        if self.fold:
            tokens = [self._fold_symbol(token, where) for token in tokens]
        if self.silence_runs == "merge":
            tokens = [
                token
                for previous, token in zip([None, *tokens], tokens, strict=False)
                if not token == previous == self.silence
            ]
        return tokens

    def check_ids(self, utt_ids: Collection[str]) -> None:
        """Refuse utterances the protocol leaves out.

        Raises
        ------
        ScoreError
            Naming them.
        """
        for pattern, meaning in self.exclude.items():
            excluded = [utt_id for utt_id in utt_ids if re.search(pattern, utt_id)]
            if excluded:
                raise ScoreError(
                    f"protocol {self.name}: the references hold {len(excluded)} {meaning}: "
                    f"{list_ids(excluded)}; the protocol leaves them out; remove them from "
                    "references and hypotheses"
                )

    def notes(self) -> tuple[str, ...]:
        """State in words what the protocol does, one rule a line, for printing with a number."""
        lines = [f"protocol: {self.name}: {self.description}", f"protocol id: {self.id}"]
        lines += [f"left out: {meaning}; none are present" for meaning in self.exclude.values()]
        lines += [f"text: {rule}" for rule in self._text_rules()]
        lines += [f"removed: {symbol} ({meaning})" for symbol, meaning in self.remove.items()]
        if self.fold:
            lines.append(f"fold: {len(self._fold_of)} symbols to {len(self.fold)}")
        if self.silence:
            runs = "runs are not merged" if self.silence_runs == "keep" else "a run counts once"
            lines.append(f"silence: {self.silence} is kept and scored; {runs}")
        lines += [
            f"optional: {symbol}; deleting it is no error, and it counts as a reference token"
            for symbol in self.optional
        ]
        if self.marked_references:
            lines.append(
                "references: of { a / b } what fits best counts; (uh) may be lacking, which is no "
                "error, and it counts as a reference token"
            )
        if self.alignment == "sclite":
            lines.append(
                "alignment: as sclite's, of the least weight: 4 for a substitution, 3 for a "
                "deletion or insertion; it may hold more errors than the fewest"
            )
        return tuple(lines)

    def details(self) -> tuple[str, ...]:
        """State what `notes` leaves out: units, each class of the fold, what is shown beside."""
        lines = [f"units: {', '.join(self.units)}"]
        lines += [f"class {folded}: {' '.join(symbols)}" for folded, symbols in self.fold.items()]
        lines += [f"shown beside: {name}" for name in self.beside]
        return tuple(lines)

    def _text_rules(self) -> Iterable[str]:
        if self.unicode_form:
            yield f"Unicode {self.unicode_form}"
        for old, new in self.replace.items():
            yield f"{old} read as {new}"
        if self.lower_case:
            yield "lower case"
        if self.remove_punctuation:
            kept = f" except {' '.join(self.kept_punctuation)}" if self.kept_punctuation else ""
            yield f"punctuation{kept} read as space"

    def _normalize(self, text: str) -> str:
        if self.unicode_form:
            text = unicodedata.normalize(self.unicode_form, text)
        for old, new in self.replace.items():
            text = text.replace(old, new)
        if self.lower_case:
            text = text.lower()
        if self.remove_punctuation:
            text = "".join(" " if self._is_removed(character) else character for character in text)
        return text

    def _is_removed(self, character: str) -> bool:
        is_punctuation = unicodedata.category(character).startswith("P")
        return is_punctuation and character not in self.kept_punctuation

    @cached_property
    def _fold_of(self) -> dict[str, str]:
        return {symbol: folded for folded, symbols in self.fold.items() for symbol in symbols}

    def _fold_symbol(self, symbol: str, where: str) -> str:
        # A hypothesis may hold folded symbols already; those stand for themselves.
        if symbol in self.fold:
            return symbol
        try:
            return self._fold_of[symbol]
        except KeyError:
            close = difflib.get_close_matches(symbol, [*self._fold_of, *self.remove], n=1)
            hint = f"did you mean {close[0]}?" if close else "correct it or use another protocol"
            raise ScoreError(
                f"{where}: symbol {symbol!r} is unknown to protocol {self.name}; {hint}"
            ) from None


def load_protocols(names: str) -> list[Protocol]:
    """Load protocols by comma-separated names; one alone brings those it is shown beside.

    Raises
    ------
    UsageError
        If a name is unknown or given twice.
    """
    wanted = [name.strip() for name in names.split(",")]
    if twice := [name for name in wanted if wanted.count(name) > 1]:
        raise UsageError(f"protocol {twice[0]}: is given twice; expected different ones")
    protocols = [load_protocol(name) for name in wanted]
    if len(protocols) == 1:
        protocols += map(load_protocol, protocols[0].beside)
    return protocols


def load_protocol(name: str) -> Protocol:
    """Load a protocol by its name.

    A file's `extends` names one whose rules it takes over: its own go before them, but the classes
    of its `fold` are added.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if name not in protocol_names():
        raise UsageError(f"protocol {name!r} is unknown; known: {', '.join(protocol_names())}")
    # JSON mode is as strict, and lets a TOML list be a tuple.
    return Protocol.model_validate_json(json.dumps({"name": name, **_read_rules(name)}))


def _read_rules(name: str) -> dict[str, Any]:
    rules = tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    base_name = rules.pop("extends", None)
    if base_name is None:
        return rules
    base = _read_rules(base_name)
    if "fold" in rules:
        rules["fold"] = {**base["fold"], **rules["fold"]}
    # What a protocol is shown beside is its own matter.
    return {**base, "beside": [], **rules}


def protocol_names() -> list[str]:
    """List the names `load_protocol` knows, in alphabetical order."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in _FOLDER.iterdir()
        if entry.name.endswith(".toml")
    )
