"""What a language model, a lexicon, a word bonus and hotwords add to the score of a prefix.

The score of a labelling is its log-probability by CTC, plus

    lm_weight * log p(words, </s>) + word_bonus * words - oov_penalty * unknown words + hotwords

An unfinished word is scored by what it can still become: the best that the unigrams give to a word
that begins like it. This look-ahead never rises while a word is spelled; where the word ends, its
true score takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asrkit.data.tokens import TokenTable
from asrkit.decode.hotwords import HotwordAutomaton, forms_of, parse_hotword
from asrkit.decode.lexicon import Letters, Lexicon, Spelling, Trie
from asrkit.decode.pronounced import with_hotwords
from asrkit.lm.model_file import load_ngram
from asrkit.lm.ngram import NGramArrays, NGramModel
from asrkit.settings import DecodeSettings

NO_WORD = -1
"""Word of a growth that ends none."""

PLACE = np.dtype(
    [
        ("first_child", np.int32),
        ("stop_child", np.int32),
        ("first_word", np.int32),
        ("stop_word", np.int32),
        ("child_letters", np.uint64),
        ("look_ahead", np.float64),
        ("leave_factor", np.float64),
        ("end_gain", np.float64),
    ],
    align=True,
)
"""A node of the trie, where a word stands that is being spelled.

Children and words as in `Trie`; the lowest 6 bits of the letters to the children as a set, which
mostly spares looking for them; the best that the word can still be worth, in nats, weighted. As
factors, e to nats: what a letter changes in that which leads to no word of the lexicon, 0 if there
must not be one; and the most that ending the word can add.
"""


class FusionArrays(NamedTuple):
    """All of it as numba sees it.

    Attributes
    ----------
    lm, lm_start, lm_end
        The model, the state at the beginning, and the id of `</s>`.
    trie : PLACE (nodes + 1,)
        The last is where words are that the lexicon does not have.
    trie_letter : int32 (nodes + 1,)
        That leads to each node.
    trie_factor : float64 (nodes + 1,)
        e to what that letter changes in the look-ahead, at most 1; apart from the rest, for a
        search asks for it far more often.
    words : int32
        Of all nodes; see `Trie`. Where there may be unknown words, each node has a word.
    lm_ids : int32 (W + 1,)
        Of the words, in the language model; the last of unknown ones.
    word_scores : float64 (W + 1,)
        Word bonus less penalty, for each word; the last for unknown ones.
    ends_word, first_letter, letters
        Of each token; token v adds `letters[first_letter[v]:first_letter[v + 1]]`.
    hot_column, hot_next, hot_potential, hot_credit, hot_gain, hot_start
        See `HotwordAutomaton`; the gain is that of a token, with all that it brings.
    hot_factor : float64, as `hot_next`
        e to what each step of the automaton adds, lent and granted.
    lm_weight : float
    is_separated, has_hotwords, has_few_letters : bool
        Whether tokens end words; whether there are any hotwords; whether there are at most 64
        letters, so that the set of those to the children of a place tells all of them apart.
    """

    lm: NGramArrays
    lm_start: int
    lm_end: int
    trie: NDArray[np.void]
    trie_letter: NDArray[np.int32]
    trie_factor: NDArray[np.float64]
    words: NDArray[np.int32]
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
    hot_factor: NDArray[np.float64]
    hot_start: int
    lm_weight: float
    is_separated: bool
    has_hotwords: bool
    has_few_letters: bool


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


def make_fusion(settings: DecodeSettings, tokens: TokenTable) -> Fusion | None:
    """Read what the settings name; nothing if they name no model, lexicon, bonus or hotword.

    Raises
    ------
    UsageError
        If the settings do not go together, or a hotword cannot be spelled.
    TokenError
        If the lexicon is malformed.
    LanguageModelError
        If the model or the pronouncer is.
    """
    hotwords = [parse_hotword(text, settings.hotword_weight) for text in settings.hotwords]
    if not (settings.lm or settings.lexicon or settings.word_bonus or any(hotwords)):
        return None
    with _MAKING:
        return _make_fusion(settings, tokens)


_MAKING = Lock()
"""Held while files are read, so that of many threads one does it for all."""


@lru_cache(maxsize=1)
def _make_fusion(settings: DecodeSettings, tokens: TokenTable) -> Fusion:
    lm = load_lm(settings.lm) if settings.lm else None
    lexicon = _load_lexicon(settings.lexicon, settings.lm, tokens)
    if settings.pronouncer:
        lexicon = with_hotwords(lexicon, settings, tokens)
    return build_fusion(settings, tokens, lm, lexicon)


@lru_cache(maxsize=1)
def load_lm(path: str) -> NGramModel:
    """Read a language model; it is kept until another is asked for."""
    return load_ngram(Path(path))


@lru_cache(maxsize=1)
def _load_lexicon(path: str, lm_path: str, tokens: TokenTable) -> Lexicon:
    if path:
        return Lexicon.read(Path(path), tokens)
    return written_words(load_lm(lm_path) if lm_path else None, tokens)


def written_words(lm: NGramModel | None, tokens: TokenTable) -> Lexicon:
    """Give the words of a language model as they are written; of phones, each phone is a word."""
    spelling = Spelling.of(tokens)
    if not spelling.is_separated:
        return Lexicon.from_words(tokens.symbols[1:], spelling, is_split=False)
    words = () if lm is None else lm.words
    return Lexicon.from_words(
        [word for word in words if word not in _NO_WORDS], spelling, is_split=True
    )


@lru_cache(maxsize=1)
def _number_words(lm: NGramModel, words: tuple[str, ...]) -> NDArray[np.int32]:
    return np.array([lm.word_id(word) for word in words], np.int32)


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
    lm_ids = np.zeros(len(lexicon.words) + 1, np.int32)
    is_unknown = np.zeros(len(lm_ids))
    if lm is not None:
        lm_ids[:-1] = _number_words(lm, lexicon.words)
        is_unknown[:] = lm_ids == lm.UNK
    elif lexicon.words:
        is_unknown[-1] = 1.0
    word_scores = settings.word_bonus - settings.oov_penalty * is_unknown
    weight = settings.lm_weight if lm is not None else 0.0
    values = np.zeros(len(lm_ids))
    if weight > 0:  # of minus infinity, nothing else is left
        values = weight * model.log_prob[1 + lm_ids].astype(np.float64)
    values = np.minimum(values + word_scores - settings.word_bonus, 0.0)
    trie = lexicon.trie
    found = [parse_hotword(text, settings.hotword_weight) for text in settings.hotwords]

    def spell(word: str) -> Sequence[Letters]:
        for form in forms_of(word):
            if by_lexicon := lexicon.spellings_of.get(form, ()):
                return by_lexicon
        for form in forms_of(word) if is_open else ():
            with suppress(KeyError):
                return [spelling.spell(form)]
        return []

    automaton = HotwordAutomaton.build(
        [hotword for hotword in found if hotword is not None], spell, len(spelling.letter_ids)
    )
    lengths = [len(letters) for letters in spelling.letters]
    ends = spelling.ends_word if spelling.is_separated else np.ones(len(tokens), np.bool_)
    most_symbols = int((np.array(lengths) + ends).max())
    places = _lay_out(trie, values, word_scores, is_open, spelling.is_separated)
    ahead = places["look_ahead"]
    with np.errstate(over="ignore", invalid="ignore"):  # what is worth nothing at all is impossible
        factors = np.nan_to_num(np.exp(ahead - ahead[np.append(trie.parents, -1)]))
    arrays = FusionArrays(
        lm=model,
        lm_start=lm.start_state if lm is not None else 0,
        lm_end=lm.end_id if lm is not None else 0,
        trie=places,
        trie_letter=np.append(trie.letter, np.int32(-1)),
        trie_factor=factors,
        words=np.append(trie.words, np.int32(len(lexicon.words))),
        lm_ids=lm_ids,
        word_scores=word_scores,
        ends_word=spelling.ends_word,
        first_letter=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
        letters=np.array([*chain(*spelling.letters)], np.int32),
        hot_column=automaton.column,
        hot_next=automaton.next_state,
        hot_potential=automaton.potential,
        hot_credit=automaton.credit,
        hot_gain=automaton.gain + (most_symbols - 1) * automaton.gain.max(),
        hot_factor=automaton.factors(),
        hot_start=automaton.start,
        lm_weight=weight,
        is_separated=spelling.is_separated,
        has_hotwords=any(found),
        has_few_letters=len(spelling.letter_ids) <= 64,
    )
    return Fusion(arrays, lexicon, bool(settings.lexicon), lm is not None)


def _lay_out(
    trie: Trie,
    values: NDArray[np.float64],
    word_scores: NDArray[np.float64],
    is_open: bool,
    is_separated: bool,
) -> NDArray[np.void]:
    """Give the places of a trie, see `PLACE`; `values` are what words are worth ahead."""
    best = trie.best_below(values)
    gain = trie.best_at(word_scores)
    if is_open:
        best = np.maximum(best, values[-1])
        gain[gain == -np.inf] = word_scores[-1]
    best[0] = 0.0
    if not is_separated:  # any token may end a word
        gain[:] = max(0.0, word_scores.max())
    places = np.zeros(len(best) + 1, PLACE)
    known, unknown = places[:-1], places[-1:]
    known["first_child"], known["stop_child"] = trie.first_child[:-1], trie.first_child[1:]
    known["first_word"], known["stop_word"] = trie.first_word[:-1], trie.first_word[1:]
    bits = np.uint64(1) << (trie.letter[1:] & 63).astype(np.uint64)
    np.bitwise_or.at(known["child_letters"], trie.parents[1:], bits)
    known["look_ahead"] = best
    with np.errstate(over="ignore", invalid="ignore"):  # what is worth nothing at all is impossible
        known["end_gain"] = np.nan_to_num(np.exp(gain - best), posinf=0.0)
        if is_open:
            no_word = known["first_word"] == known["stop_word"]
            known["first_word"][no_word] = len(trie.words)
            known["stop_word"][no_word] = len(trie.words) + 1
            known["leave_factor"] = np.exp(values[-1] - best)
            unknown["first_word"], unknown["stop_word"] = len(trie.words), len(trie.words) + 1
            unknown["look_ahead"], unknown["leave_factor"] = values[-1], 1.0
            unknown["end_gain"] = np.exp(word_scores[-1] - values[-1])
    places["end_gain"][0] = max(1.0, places["end_gain"][0])
    return places


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
