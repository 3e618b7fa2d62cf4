"""How often each n-gram of a text occurs, order by order, by sorting its positions.

An n-gram is the (n-1)-gram before its last word, its context, and that word. If the n-grams of one
order are numbered, those of the next are sorted and numbered by two counting sorts of the positions
in the text, by last word and then by the number of the context: time and memory are linear in the
length of the text, whatever the order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from asrkit.compiled import compiled
from asrkit.lm.corpus import START_ID, Corpus
from asrkit.lm.ngram import Int32


@dataclass
class Counts:
    """The n-grams of one order that occur in a text, sorted by (context, word).

    `<s>` is a word only where it begins an n-gram. Order 1 has every word of the vocabulary.

    Attributes
    ----------
    context : int32 (n,)
        Which n-gram of the order below each extends at its end; 0 for order 1.
    suffix : int32 (n,)
        Which n-gram of the order below each extends at its beginning; 0 for order 1.
    word : int32 (n,)
        Last word.
    count : int32 (n,)
        Number of occurrences.
    first_word : int32 (n,)
        First word.
    """

    context: Int32
    suffix: Int32
    word: Int32
    count: Int32
    first_word: Int32

    def __len__(self) -> int:
        return len(self.word)


def count_ngrams(corpus: Corpus, order: int) -> Iterator[Counts]:
    """Count the n-grams of order 1, then 2, up to `order`."""
    tokens, num_words = corpus.tokens, len(corpus.words)
    ids = np.arange(num_words, dtype=np.int32)
    none = np.zeros(num_words, np.int32)
    first_word = ids
    count = np.bincount(tokens, minlength=num_words).astype(np.int32)
    yield Counts(none, none, ids, count, first_word)
    # The number of the n-gram that ends at each position, -1 where none does.
    numbers, num_ngrams = tokens, num_words
    by_word = _sort_by_word(tokens, num_words)
    for _ in range(1, order):
        positions = _sort_by_context(by_word, tokens, numbers, num_ngrams)
        last, count, next_numbers = _number_ngrams(positions, tokens, numbers)
        context, suffix = numbers[last - 1], numbers[last]
        first_word = first_word[context]
        yield Counts(context, suffix, tokens[last], count, first_word)
        numbers, num_ngrams = next_numbers, len(last)


@compiled()
def _sort_by_word(tokens: Int32, num_words: int) -> Int32:
    """Give all positions in the order of their words."""
    start = np.zeros(num_words + 1, np.int32)
    for word in tokens:
        start[word + 1] += 1
    for word in range(num_words):
        start[word + 1] += start[word]
    positions = np.empty(len(tokens), np.int32)
    for position in range(len(tokens)):
        word = tokens[position]
        positions[start[word]] = position
        start[word] += 1
    return positions


@compiled()
def _sort_by_context(by_word: Int32, tokens: Int32, numbers: Int32, num_contexts: int) -> Int32:
    """Give the positions at which a longer n-gram ends, by its context, then by its last word."""
    start = np.zeros(num_contexts + 1, np.int32)
    for position in range(1, len(tokens)):
        if tokens[position] != START_ID and numbers[position - 1] >= 0:
            start[numbers[position - 1] + 1] += 1
    for context in range(num_contexts):
        start[context + 1] += start[context]
    positions = np.empty(start[num_contexts], np.int32)
    for position in by_word:
        if tokens[position] != START_ID and numbers[position - 1] >= 0:
            context = numbers[position - 1]
            positions[start[context]] = position
            start[context] += 1
    return positions


@compiled()
def _number_ngrams(positions: Int32, tokens: Int32, numbers: Int32) -> tuple[Int32, Int32, Int32]:
    """Give where each n-gram occurs once, how often it does, and which one ends where."""
    last, count = np.empty(len(positions), np.int32), np.empty(len(positions), np.int32)
    next_numbers = np.full(len(tokens), -1, np.int32)
    num_ngrams, context, word = 0, -1, -1
    for position in positions:
        if tokens[position] != word or numbers[position - 1] != context:
            context, word = numbers[position - 1], tokens[position]
            last[num_ngrams], count[num_ngrams] = position, 0
            num_ngrams += 1
        count[num_ngrams - 1] += 1
        next_numbers[position] = num_ngrams - 1
    return last[:num_ngrams].copy(), count[:num_ngrams].copy(), next_numbers
