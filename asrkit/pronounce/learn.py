"""From a lexicon to a model of letters and sounds: an n-gram model whose words are graphones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path

import numpy as np

from asrkit.data.pronunciation import Phones, parse_pronunciations
from asrkit.errors import LanguageModelError
from asrkit.lm.build import estimate_model
from asrkit.lm.corpus import END_ID, SPECIAL_WORDS, START_ID, Corpus
from asrkit.lm.ngram import NGramModel
from asrkit.lm.text import read_lines
from asrkit.pronounce.graphones import align, can_align

ORDER = 8
PERPLEXITY_RISE = 2.5e-6
"""N-grams are left out without which the perplexity of graphones rises by a smaller share."""

_ALIGNING = 0.6
"""Share of the work."""


def read_lexicon(path: Path) -> dict[str, Phones]:
    """Read a word and its phones a line, plain or compressed; of several for a word the first.

    Raises
    ------
    LanguageModelError
        If the file cannot be read as text.
    TokenError
        Naming file and line, if a word has no phones or there is no word at all.
    """
    text = "\n".join(lines.content.decode() for lines in read_lines(path))
    return parse_pronunciations(text, str(path))


def learn(
    phones_of: Mapping[str, Phones], on_progress: Callable[[str, float], None] | None = None
) -> NGramModel:
    """Learn how letters sound; the same lexicon gives the same model.

    Words that cannot be aligned (see `can_align`), such as `mr`, teach nothing.

    Parameters
    ----------
    phones_of
        Phones of each word.
    on_progress
        Called with what is being done and the share of all work that is done.

    Raises
    ------
    LanguageModelError
        If no word can be aligned.
    DataError
        If there are too many different letters and phones; see `align`.
    """
    report = on_progress or (lambda *_: None)
    entries = [(word, phones) for word, phones in phones_of.items() if can_align(word, phones)]
    if not entries:
        raise LanguageModelError(
            "the lexicon has no word whose letters stand for at most two phones each; expected a "
            "word and its phones a line, in a script of letters"
        )
    words = align(entries, lambda share: report("aligning", _ALIGNING * share))
    texts = [[graphone.text for graphone in word] for word in words]
    inventory = dict.fromkeys(chain(SPECIAL_WORDS, *texts))
    ids = {text: number for number, text in enumerate(inventory)}
    order = min(ORDER, max(map(len, texts)) + 2)  # with both ends, the longest n-gram there is
    tokens = ((START_ID, *(ids[text] for text in word), END_ID) for word in texts)
    return estimate_model(
        Corpus(tuple(inventory), np.fromiter(chain.from_iterable(tokens), np.int32)),
        order,
        limits=[0] * order,
        entropy_threshold=PERPLEXITY_RISE,
        discount_fallback=True,
        on_progress=lambda stage, share: report(stage, _ALIGNING + (1 - _ALIGNING) * share),
    )
