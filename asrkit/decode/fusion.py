"""What a language model, a lexicon, a word bonus and hotwords add to the score of a prefix.

The score of a labelling is its log-probability by CTC, plus

    lm_weight * log p(words, </s>) + word_bonus * words - oov_penalty * unknown words + hotwords

An unfinished word is scored by what it can still become: the best that the unigrams give to a word
that begins like it. This look-ahead never rises while a word is spelled; where the word ends, its
true score takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asrkit.compiled import compiled
from asrkit.data.tokens import TokenTable
from asrkit.decode.hotwords import HotwordAutomaton, parse_hotword
from asrkit.decode.lexicon import Letters, Lexicon, Spelling
from asrkit.errors import UsageError
from asrkit.lm.model_file import load_ngram
from asrkit.lm.ngram import NGramArrays, NGramModel, step
from asrkit.settings import DecodeSettings

UNKNOWN = -1
"""Trie node of an unfinished word that leaves the lexicon."""
IMPOSSIBLE = -2
"""Trie node of what must not be: such a word where the vocabulary is closed."""
NO_WORD = -1
"""Word of a growth that ends none."""


class FusionArrays(NamedTuple):
    """All of it as numba sees it.

    Attributes
    ----------
    lm, lm_start, lm_end
        The model, the state at the beginning, and the id of `</s>`.
    first_child, letter, first_word, words
        See `Trie`.
    look_ahead : float64 (nodes + 2,)
        In nats, weighted; the last but one is 0, unused, the last that of `UNKNOWN`.
    lm_ids : int32 (W + 1,)
        Of the words, in the language model; the last of unknown ones.
    word_scores : float64 (W + 1,)
        Word bonus less penalty, for each word; the last for unknown ones.
    ends_word, first_letter, letters
        Of each token; token v adds `letters[first_letter[v]:first_letter[v + 1]]`.
    hot_column, hot_next, hot_potential, hot_credit, hot_gain, hot_start
        See `HotwordAutomaton`; the gain is that of a token, with all that it brings.
    lm_weight, best_word_score : float
        The latter is the highest of `word_scores`, at least 0.
    is_separated, is_open : bool
        Whether tokens end words; whether words outside the lexicon can be spelled.
    """

    lm: NGramArrays
    lm_start: int
    lm_end: int
    first_child: NDArray[np.int32]
    letter: NDArray[np.int32]
    first_word: NDArray[np.int32]
    words: NDArray[np.int32]
    look_ahead: NDArray[np.float64]
    lm_ids: NDArray[np.int32]
    word_scores: NDArray[np.float64]
    ends_word: NDArray[np.bool_]
    first_letter: NDArray[np.int32]
    letters: NDArray[np.int32]
    hot_column: NDArray[np.int32]
    hot_next: NDArray[np.int32]
    hot_potential: NDArray[np.float64]
    hot_credit: NDArray[np.float64]
    hot_gain: NDArray[np.float64]
    hot_start: int
    lm_weight: float
    best_word_score: float
    is_separated: bool
    is_open: bool


@dataclass(frozen=True)
class Fusion:
    """What is added to the scores of CTC, ready for the search.

    Attributes
    ----------
    arrays : FusionArrays
    lexicon : Lexicon
        Whose words, by number, the search reads.
    reads_words : bool
        Whether the text is the words read, not what the tokens spell.
    has_lm : bool
    """

    arrays: FusionArrays
    lexicon: Lexicon
    reads_words: bool
    has_lm: bool


def place_decode_files(settings: DecodeSettings, folder: Path) -> DecodeSettings:
    """Take relative paths of the settings from a folder: the recipe's."""
    paths = {"lm": settings.lm, "lexicon": settings.lexicon}
    placed = {name: str(folder / path) for name, path in paths.items() if path}
    return settings.model_copy(update=placed)


def check_fusion(settings: DecodeSettings) -> None:
    """Refuse settings that the search they are for would not heed.

    Raises
    ------
    UsageError
        Naming the setting.
    """
    given = {
        "lm": settings.lm,
        "lexicon": settings.lexicon,
        "hotwords": settings.hotwords,
        "word_bonus": settings.word_bonus,
    }
    for name, value in given.items():
        if value and settings.method == "greedy":
            shown = list(value) if isinstance(value, tuple) else value
            raise UsageError(
                f"decode.{name} = {shown!r}: the greedy search has no use for it; set "
                'decode.method = "beam"'
            )
    if settings.vocabulary == "closed" and not (settings.lm or settings.lexicon):
        raise UsageError(
            'decode.vocabulary = "closed": nothing tells the words; name a lexicon or a language '
            "model, or leave the vocabulary open"
        )


def make_fusion(settings: DecodeSettings, tokens: TokenTable) -> Fusion | None:
    """Read what the settings name; nothing if they name no model, lexicon, bonus or hotword.

    Raises
    ------
    UsageError
        If the settings do not go together, or a hotword cannot be spelled.
    TokenError
        If the lexicon is malformed.
    LanguageModelError
        If the model is.
    """
    hotwords = [parse_hotword(text, settings.hotword_weight) for text in settings.hotwords]
    if not (settings.lm or settings.lexicon or settings.word_bonus or any(hotwords)):
        return None
    return _make_fusion(settings, tokens)


@lru_cache(maxsize=1)
def _make_fusion(settings: DecodeSettings, tokens: TokenTable) -> Fusion:
    lm = _load_lm(settings.lm) if settings.lm else None
    return build_fusion(settings, tokens, lm, _load_lexicon(settings.lexicon, settings.lm, tokens))


@lru_cache(maxsize=1)
def _load_lm(path: str) -> NGramModel:
    return load_ngram(Path(path))


@lru_cache(maxsize=1)
def _load_lexicon(path: str, lm_path: str, tokens: TokenTable) -> Lexicon:
    if path:
        return Lexicon.read(Path(path), tokens)
    return written_words(_load_lm(lm_path) if lm_path else None, tokens)


def written_words(lm: NGramModel | None, tokens: TokenTable) -> Lexicon:
    """Give the words of a language model as they are written; of phones, each phone is a word."""
    spelling = Spelling.of(tokens)
    if not spelling.is_separated:
        return Lexicon.from_words(tokens.symbols[1:], spelling, is_split=False)
    words = () if lm is None else lm.words
    return Lexicon.from_words(
        [word for word in words if word not in _NO_WORDS], spelling, is_split=True
    )


def build_fusion(
    settings: DecodeSettings,
    tokens: TokenTable,
    lm: NGramModel | None,
    lexicon: Lexicon,
) -> Fusion:
    """Put model, lexicon and hotwords together. Errors as for `make_fusion`."""
    spelling = Spelling.of(tokens)
    is_open = settings.vocabulary == "open" and spelling.is_separated
    model = lm.arrays if lm is not None else _NO_LM
    lm_ids = [*(lm.word_id(word) if lm is not None else 0 for word in lexicon.words), 0]
    is_unknown = [*(lm is not None and word not in lm for word in lexicon.words), True]
    word_scores = settings.word_bonus - settings.oov_penalty * np.array(is_unknown, np.float64)
    weight = settings.lm_weight if lm is not None else 0.0
    values = np.zeros(len(lm_ids))
    if weight > 0:  # of minus infinity, nothing else is left
        values = weight * model.log_prob[1 + np.array(lm_ids)].astype(np.float64)
    values = np.minimum(values + word_scores - settings.word_bonus, 0.0)
    trie = lexicon.trie
    best = trie.best_below(values)
    if is_open:
        best = np.maximum(best, values[-1])
    best[0] = 0.0
    found = [parse_hotword(text, settings.hotword_weight) for text in settings.hotwords]

    def spell(word: str) -> Sequence[Letters]:
        by_lexicon = lexicon.spellings_of.get(word, ())
        if by_lexicon or not is_open:
            return by_lexicon
        try:
            return [spelling.spell(word)]
        except KeyError:
            return []

    automaton = HotwordAutomaton.build(
        [hotword for hotword in found if hotword is not None], spell, len(spelling.letter_ids)
    )
    lengths = [len(letters) for letters in spelling.letters]
    ends = spelling.ends_word if spelling.is_separated else np.ones(len(tokens), np.bool_)
    most_symbols = int((np.array(lengths) + ends).max())
    arrays = FusionArrays(
        lm=model,
        lm_start=lm.start_state if lm is not None else 0,
        lm_end=lm.end_id if lm is not None else 0,
        first_child=trie.first_child,
        letter=trie.letter,
        first_word=trie.first_word,
        words=trie.words,
        look_ahead=np.concatenate([best, [0.0, values[-1]]]),
        lm_ids=np.array(lm_ids, np.int32),
        word_scores=word_scores,
        ends_word=spelling.ends_word,
        first_letter=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
        letters=np.array([*chain(*spelling.letters)], np.int32),
        hot_column=automaton.column,
        hot_next=automaton.next_state,
        hot_potential=automaton.potential,
        hot_credit=automaton.credit,
        hot_gain=automaton.gain + (most_symbols - 1) * automaton.gain.max(),
        hot_start=automaton.start,
        lm_weight=weight,
        best_word_score=max(0.0, float(word_scores.max())),
        is_separated=spelling.is_separated,
        is_open=is_open,
    )
    return Fusion(arrays, lexicon, bool(settings.lexicon), lm is not None)


_NO_WORDS = ("<unk>", "<s>", "</s>")


def _read_only(values: list[float], dtype: type) -> Any:
    array: NDArray[Any] = np.array(values, dtype)
    array.flags.writeable = False
    return array


_NO_LM = NGramArrays(
    word=_read_only([-1, 0], np.int32),
    log_prob=_read_only([0, 0], np.float32),
    next_state=_read_only([0, 0], np.int32),
    backoff=_read_only([0], np.float32),
    suffix=_read_only([0], np.int32),
    first_child=_read_only([1, 2], np.int32),
)
"""A single word, which is certain."""


@compiled(inline=True)
def spell_on(fusion, trie_node, token):  # type: ignore[no-untyped-def] # pragma: no cover
    """Give the trie node after the letters of a token."""
    for index in range(fusion.first_letter[token], fusion.first_letter[token + 1]):
        if trie_node == UNKNOWN:
            break
        letter = fusion.letters[index]
        low, high = fusion.first_child[trie_node], fusion.first_child[trie_node + 1]
        end = high
        while low < high:
            middle = (low + high) >> 1
            if fusion.letter[middle] < letter:
                low = middle + 1
            else:
                high = middle
        if low < end and fusion.letter[low] == letter:
            trie_node = low
        elif fusion.is_open:
            trie_node = UNKNOWN
        else:
            return IMPOSSIBLE
    return trie_node


@compiled(inline=True)
def count_words(fusion, trie_node):  # type: ignore[no-untyped-def] # pragma: no cover
    """How many words a finished spelling can be; an unknown word is one, if it may be."""
    if trie_node >= 0:
        known = fusion.first_word[trie_node + 1] - fusion.first_word[trie_node]
        if known > 0:
            return known
    return 1 if fusion.is_open else 0


@compiled(inline=True)
def word_of(fusion, trie_node, reading):  # type: ignore[no-untyped-def] # pragma: no cover
    """Give the number of a finished word, that of unknown ones if it is none."""
    if trie_node >= 0 and fusion.first_word[trie_node + 1] > fusion.first_word[trie_node]:
        return np.int64(fusion.words[fusion.first_word[trie_node] + reading])
    return len(fusion.lm_ids) - 1


@compiled(inline=True)
def score_word(fusion, lm_state, word):  # type: ignore[no-untyped-def] # pragma: no cover
    """Give what a finished word adds, and the state of the language model after it."""
    log_prob, next_state = step(fusion.lm, lm_state, fusion.lm_ids[word])
    weighted = fusion.lm_weight * log_prob if fusion.lm_weight > 0 else 0.0
    return weighted + fusion.word_scores[word], next_state


@compiled(inline=True)
def follow_hotwords(fusion, state, ends_before, token, ends_after):  # type: ignore[no-untyped-def] # pragma: no cover
    """Give the hotwords' state after a token, with or without ends of words, and their credit."""
    credit = 0.0
    boundary = fusion.hot_column[len(fusion.hot_column) - 1]
    if ends_before:
        state = fusion.hot_next[state, boundary]
        credit += fusion.hot_credit[state]
    for index in range(fusion.first_letter[token], fusion.first_letter[token + 1]):
        state = fusion.hot_next[state, fusion.hot_column[fusion.letters[index]]]
        credit += fusion.hot_credit[state]
    if ends_after:
        state = fusion.hot_next[state, boundary]
        credit += fusion.hot_credit[state]
    return state, credit
