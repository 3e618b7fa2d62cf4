"""Evaluation sets of known corpora: whether references are a whole one, a part, or neither."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Collection
from functools import cache
from importlib.resources import files

from asrkit.settings_types import PositiveInt, Table

_FOLDER = files("asrkit") / "score" / "reference_sets"


class ReferenceSet(Table):
    """An evaluation set."""

    utterances: PositiveInt
    tokens: dict[str, PositiveInt]
    """Reference tokens by protocol, in the protocol's default unit."""
    speakers: tuple[str, ...] = ()
    """Whose utterances it has, all of them; none where the set is known by its counts alone."""


class Corpus(Table):
    """One file of `reference_sets/`."""

    corpus: str
    utt_id: str
    """Regular expression, searched in utterance ids; its group `speaker`, if it has one, is the
    speaker in lower or upper case."""
    sets: dict[str, ReferenceSet]

    def describe(self, utt_ids: Collection[str], num_tokens: int, protocol: str) -> str:
        """Tell which of the sets the references are; empty if that cannot be told."""
        matches = [match for match in (re.search(self.utt_id, each) for each in utt_ids) if match]
        if not matches:
            return ""
        speakers = Counter(match.groupdict().get("speaker", "").lower() for match in matches)
        present = {}
        for name, each in self.sets.items():
            if each.speakers:
                number = sum(speakers[speaker] for speaker in each.speakers)
            else:
                found = len(matches), num_tokens
                number = found[0] if found == (each.utterances, each.tokens.get(protocol)) else 0
            if number:
                present[name] = number
        has_lists = any(each.speakers for each in self.sets.values())
        if not present:
            sets = " or ".join(f"{self.corpus} {name}" for name in self.sets)
            return f"no utterance of {sets}" if has_lists else ""
        num_others = len(utt_ids) - sum(present.values())
        name, *more = present
        if more or num_others or present[name] != self.sets[name].utterances:
            parts = [
                f"{number} of the {self.sets[name].utterances} utterances of {self.corpus} {name}"
                for name, number in present.items()
            ]
            parts += [f"{num_others} other utterances"] if num_others else []
            return f"{', '.join(parts)}; rates on the whole set do not compare"
        expected = self.sets[name].tokens.get(protocol, num_tokens)
        if num_tokens != expected:
            return (
                f"the utterances of {self.corpus} {name}, but other transcripts: it has {expected} "
                "tokens under this protocol"
            )
        return f"the whole {self.corpus} {name}"


def describe_references(utt_ids: Collection[str], num_tokens: int, protocol: str) -> str:
    """Tell of what known evaluation set references are all, or a part; empty if of none.

    Parameters
    ----------
    utt_ids
        Of the references.
    num_tokens
        Of all of them together.
    protocol
        Name of the one they were counted under; empty if not in its default unit.
    """
    for corpus in _load_corpora():
        if description := corpus.describe(utt_ids, num_tokens, protocol):
            return description
    return ""


@cache
def _load_corpora() -> list[Corpus]:
    # JSON mode is as strict, and lets a TOML list be a tuple.
    return [
        Corpus.model_validate_json(json.dumps(tomllib.loads(entry.read_text(encoding="utf-8"))))
        for entry in sorted(_FOLDER.iterdir(), key=lambda entry: entry.name)
    ]
