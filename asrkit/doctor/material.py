"""What is examined: a recipe's settings, utterances and token table, as training has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from asrkit.data.corpus import Corpus
from asrkit.data.manifest import Utterance
from asrkit.data.tokens import TokenTable
from asrkit.errors import TokenError
from asrkit.settings import Settings


@dataclass(frozen=True)
class Material:
    """What the examinations share.

    Attributes
    ----------
    settings
    splits
        Of the corpus, by name; `train` is among them.
    tokens
        The token table.
    labels
        Of each split, the token ids of each utterance; None where the table cannot encode it.
    """

    settings: Settings
    splits: Mapping[str, Sequence[Utterance]]
    tokens: TokenTable
    labels: Mapping[str, Sequence[Sequence[int] | None]]

    @classmethod
    def of(cls, corpus: Corpus, tokens: TokenTable, settings: Settings) -> Material:
        """Encode all transcripts of a corpus."""
        labels = {
            split: [_encode(utterance.text, tokens) for utterance in utterances]
            for split, utterances in corpus.splits.items()
        }
        return cls(settings, corpus.splits, tokens, labels)

    def encoded(self, split: str) -> Iterator[tuple[Utterance, Sequence[int]]]:
        """Give the utterances of a split that can be encoded, and their labels."""
        for utterance, labels in zip(self.splits[split], self.labels[split], strict=True):
            if labels is not None:
                yield utterance, labels


def _encode(text: str, tokens: TokenTable) -> list[int] | None:
    try:
        return tokens.encode(text)
    except TokenError:
        return None
