"""Prefix beam search with a language model, a lexicon and hotwords: `beam`, and what they add.

A prefix is ranked by its probability times e to what fusion adds to its score, which depends on the
prefix alone and is computed once, when it becomes a node. In a lexicon a prefix has several
readings where a spelling is several words, or a word may end or go on: each is a prefix of its own.

Growths are no longer sorted by that of the prefix, but what a token can add at most is known:
inside a word nothing, as the look-ahead never rises, but for hotwords; at its end, the look-ahead
back. What cannot reach the last place even so is not looked at: nothing is lost by the cut.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from asrkit.compiled import compiled
from asrkit.data.tokens import TokenTable
from asrkit.decode.beam import as_frames
from asrkit.decode.beam_kernel import ROOT
from asrkit.decode.best_path import find_best_path
from asrkit.decode.fused_kernel import search
from asrkit.decode.fused_tree import score_word
from asrkit.decode.fusion import NO_WORD, Fusion
from asrkit.decode.hypothesis import Hypothesis, WordSpan
from asrkit.decode.pruning import SearchLimits
from asrkit.decode.rescoring import Rescoring
from asrkit.errors import DataError
from asrkit.lm.ngram import step

BLANK = TokenTable.blank_id


class Reading(NamedTuple):
    """A labelling and how it is read.

    Attributes
    ----------
    labels : int32 array, shape (L,)
    words : int32 array, shape (L + 1,)
        Number of the word that ends with each token, or before it where tokens end words; last
        the one that ends with the utterance. -1 where none ends.
    log_prob : float
        Of the labelling by CTC.
    score : float
        With all that fusion adds.
    """

    labels: NDArray[np.int32]
    words: NDArray[np.int32]
    log_prob: float
    score: float

    @property
    def word_numbers(self) -> NDArray[np.int32]:
        """Numbers of the words that end, in order."""
        numbers: NDArray[np.int32] = self.words[self.words != NO_WORD]
        return numbers


def search_readings(
    frames: NDArray[np.floating],
    fusion: Fusion,
    limits: SearchLimits,
    nbest: int = 1,
) -> list[Reading]:
    """Find the readings with the highest scores, best first.

    Parameters as for `asrkit.decode.beam.search_prefixes`, and errors. Where words may only be
    those of the lexicon, what ends inside a word is left out, unless nothing else is left. Equal
    scores come in the order of their token ids, then of their words.
    """
    tree, nodes, log_probs, added, last_words, is_complete = _search(
        frames, fusion.arrays, limits.beam_size, limits.pruning
    )
    if len(nodes) == 0:
        raise DataError(
            "decode: the model's output is not finite, or no word of the lexicon is possible; "
            "expected log-probabilities; the audio or the model's weights are damaged, or the "
            "pruning is too narrow"
        )
    kept = np.flatnonzero(is_complete) if is_complete.any() else np.arange(len(nodes))
    scores = log_probs[kept] + added[kept]
    worst = np.sort(scores)[-min(nbest, len(scores))]
    readings = []
    for index, score in zip(kept[scores >= worst].tolist(), scores[scores >= worst], strict=True):
        labels, words = _read(tree, nodes[index])
        words[-1] = last_words[index]
        readings.append(Reading(labels, words, float(log_probs[index]), float(score)))
    readings.sort(key=lambda each: (-each.score, each.labels.tolist(), each.words.tolist()))
    return readings[:nbest]


def fused_beam_search(
    log_probs: Tensor,
    tokens: TokenTable,
    frame_s: float,
    fusion: Fusion,
    limits: SearchLimits,
    nbest: int = 1,
    rescoring: Rescoring | None = None,
) -> list[Hypothesis]:
    """Find the labellings with the highest scores: `asrkit.decode.beam.beam_search` with fusion.

    Parameters
    ----------
    fusion : Fusion
        What is added to the log-probabilities by CTC. The others are as for `beam_search`.
    rescoring : Rescoring, optional
        What its number of the best are ranked by in the end; others come behind them.

    Returns
    -------
    list of Hypothesis
        Best first, by `score`. Two may have the same tokens, if they read other words in them.

    Raises
    ------
    DataError
        As `beam_search`, or if the lexicon leaves nothing possible.
    """
    frames = as_frames(log_probs)
    readings = search_readings(
        frames,
        fusion,
        limits,
        nbest if rescoring is None else max(nbest, rescoring.nbest),
    )
    if rescoring is None:
        return [_to_hypothesis(each, frames, tokens, frame_s, fusion) for each in readings]
    first, others = readings[: rescoring.nbest], readings[rescoring.nbest :]
    by_ngram = [_score_words(fusion.arrays, each.word_numbers) for each in first]
    sentences = [
        [span.word for span in _spans(each, tokens, fusion)][: len(each.word_numbers)]
        for each in first
    ]
    ranked = rescoring.rank([each.score for each in first], sentences, by_ngram)
    found = [
        replace(
            _to_hypothesis(first[each.number], frames, tokens, frame_s, fusion),
            score=each.score,
            lm_log_prob=each.lm_log_prob,
        )
        for each in ranked[:nbest]
    ]
    found += [_to_hypothesis(each, frames, tokens, frame_s, fusion) for each in others]
    return found


def _to_hypothesis(
    reading: Reading,
    frames: NDArray[np.floating],
    tokens: TokenTable,
    frame_s: float,
    fusion: Fusion,
) -> Hypothesis:
    path = find_best_path(frames, reading.labels, reading.log_prob)
    hypothesis = Hypothesis.from_path(path, frames, tokens, frame_s, reading.log_prob)
    read = _spans(reading, tokens, fusion) if fusion.reads_words else None
    return replace(
        hypothesis,
        text=hypothesis.text if read is None else " ".join(span.word for span in read),
        score=reading.score,
        lm_log_prob=_score_words(fusion.arrays, reading.word_numbers).sum().item()
        if fusion.has_lm
        else None,
        read=read,
    )


def _spans(reading: Reading, tokens: TokenTable, fusion: Fusion) -> tuple[WordSpan, ...]:
    """Tell which tokens each word was read from.

    An unfinished one is what they spell, but phones spell nothing: it is left out.
    """
    arrays, known = fusion.arrays, fusion.lexicon.words
    labels, words = reading.labels.tolist(), reading.words.tolist()
    spans: list[WordSpan] = []
    held: list[int] = []

    def end(word: int) -> None:
        is_known = 0 <= word < len(known)
        if held and (is_known or tokens.unit != "phone"):
            spelled = "".join(chain(*(tokens.letters(labels[index]) for index in held)))
            name = known[word] if is_known else spelled
            spans.append(WordSpan(name, held[0], held[-1] + 1))
        held.clear()

    for index, (label, word) in enumerate(zip(labels, words[:-1], strict=True)):
        if arrays.ends_word[label]:
            end(word)
        if arrays.first_letter[label] < arrays.first_letter[label + 1]:
            held.append(index)
        if not arrays.is_separated and word != NO_WORD:
            end(word)
    end(words[-1])
    return tuple(spans)


@compiled()
def _score_words(fusion, words):  # type: ignore[no-untyped-def] # pragma: no cover
    """Log-probability of each word, by number, and of the end, by the language model alone."""
    found, state = np.empty(len(words) + 1), fusion.lm_start
    for place, word in enumerate(words):
        found[place], state = step(fusion.lm, state, fusion.lm_ids[word])
    found[-1] = step(fusion.lm, state, fusion.lm_end)[0]
    return found


@compiled()
def _search(log_probs, fusion, beam_size, pruning):  # type: ignore[no-untyped-def] # pragma: no cover
    """Search and finish, in one call: numba looks at every array that it is handed."""
    tree, nodes, ranks = search(log_probs, fusion, beam_size, pruning)
    return tree, nodes, *_finish(fusion, tree, nodes, ranks)


@compiled()
def _finish(fusion, tree, nodes, ranks):  # type: ignore[no-untyped-def] # pragma: no cover
    """End the last words and the sentence.

    Returns the log-probabilities by CTC, what fusion adds to each, the words that end here (-1
    where none does), and whether no word is left unfinished.
    """
    log_probs, added = np.empty(len(nodes)), np.empty(len(nodes))
    words, is_complete = np.full(len(nodes), NO_WORD, np.int32), np.ones(len(nodes), np.bool_)
    boundary = fusion.hot_column[len(fusion.hot_column) - 1]
    for index in range(len(nodes)):
        node = tree[nodes[index]]
        place = fusion.trie[node.trie]
        log_probs[index] = ranks[index] - (
            node.certain + place.look_ahead + fusion.hot_potential[node.hot]
        )
        best = 0.0
        if node.trie != 0:
            num_readings = place.stop_word - place.first_word if fusion.is_separated else 0
            is_complete[index] = num_readings > 0
            best = -np.inf if num_readings > 0 else 0.0
            for reading in range(num_readings):
                word = fusion.words[place.first_word + reading]
                score, next_lm = score_word(
                    fusion.lm,
                    fusion.lm_weight,
                    fusion.lm_ids,
                    fusion.word_scores,
                    np.int64(node.lm),
                    word,
                )
                ending = 0.0
                if fusion.lm_weight > 0:
                    ending = fusion.lm_weight * step(fusion.lm, next_lm, fusion.lm_end)[0]
                if words[index] == NO_WORD or score + ending > best:
                    best, words[index] = score + ending, word
            if num_readings > 0:
                best += fusion.hot_credit[fusion.hot_next[node.hot, boundary]]
        if words[index] == NO_WORD and fusion.lm_weight > 0:
            best += fusion.lm_weight * step(fusion.lm, np.int64(node.lm), fusion.lm_end)[0]
        added[index] = node.certain + best
    return log_probs, added, words, is_complete


@compiled()
def _read(tree, number):  # type: ignore[no-untyped-def] # pragma: no cover
    """Token ids of a prefix, and the words that end with them and a place for the last."""
    length, ancestor = 0, number
    while ancestor != ROOT:
        length += 1
        ancestor = tree[ancestor].parent
    labels, words = np.empty(length, np.int32), np.full(length + 1, NO_WORD, np.int32)
    while number != ROOT:
        length -= 1
        node = tree[number]
        labels[length], words[length] = node.last, node.word
        number = node.parent
    return labels, words
