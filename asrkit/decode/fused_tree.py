"""What the search with fusion is made of.

Prefixes are nodes of a tree, each with the state of what is fused; here are also the steps of that
state. They take arrays one by one where they are called often: of those in a tuple, numba counts
the references at every call.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asrkit.compiled import compiled
from asrkit.data.tokens import TokenTable
from asrkit.decode.beam_kernel import ROOT
from asrkit.decode.fusion import NO_WORD
from asrkit.lm.ngram import step

BLANK = TokenTable.blank_id

NODE = np.dtype(
    [
        ("parent", np.int32),
        ("last", np.int32),
        ("word", np.int32),
        ("row", np.int32),
        ("trie", np.int32),
        ("lm", np.int32),
        ("hot", np.int32),
        ("end_lm", np.int32),
        ("certain", np.float64),
        ("factor", np.float64),
        ("end_score", np.float64),
        ("end_factor", np.float64),
    ],
    align=True,
)
"""A prefix: as in `beam`, with the word that ends with it (-1 if none does) and its state.

The state is the node in the trie, that of the language model and of the hotwords, and what is
certain of the score. `factor` is e to what the last token added, look-ahead and hotwords included;
what ending the word will add, hotwords apart, as a score and as a factor, is NaN until asked for,
and `end_lm` the state of the language model then.
"""


class Tree(NamedTuple):
    """Prefixes met so far, with room for more, and a table to find them.

    The table is as in `beam`, by parent, last token and word.
    """

    nodes: NDArray[np.void]
    table: NDArray[np.int32]


@compiled()
def new_tree(fusion, capacity):  # type: ignore[no-untyped-def] # pragma: no cover
    """Make a tree of the empty prefix."""
    num_slots = 64
    while num_slots < 2 * capacity:
        num_slots *= 2
    tree = Tree(np.empty(capacity, NODE), np.zeros(num_slots, np.int32))
    root = tree.nodes[ROOT]
    root.parent, root.last, root.word, root.row = -1, BLANK, NO_WORD, 0
    root.trie, root.lm, root.hot = 0, fusion.lm_start, fusion.hot_start
    root.certain, root.factor, root.end_lm = 0.0, 1.0, 0
    root.end_score = root.end_factor = np.nan
    return tree


@compiled()
def enlarged(tree, num_nodes):  # type: ignore[no-untyped-def] # pragma: no cover
    """Copy a tree to one with room for twice as many nodes."""
    larger = Tree(np.empty(2 * len(tree.nodes), NODE), np.zeros(2 * len(tree.table), np.int32))
    mask = len(larger.table) - 1
    for number in range(num_nodes):
        larger.nodes[number] = tree.nodes[number]
        if number != ROOT:
            node = larger.nodes[number]
            slot = hash_of(node.parent, node.last, node.word) & mask
            while larger.table[slot] != ROOT:
                slot = (slot + 1) & mask
            larger.table[slot] = number
    return larger


@compiled(inline=True)
def hash_of(parent, token, word):  # type: ignore[no-untyped-def] # pragma: no cover
    """Tell where to begin to look for a prefix in a table, modulo its length."""
    slot = np.int64(parent) * 0x9E3779B1 + np.int64(token) * 0x85EBCA6B
    slot = (slot + np.int64(word) * 0xC2B2AE35) & 0x7FFFFFFFFFFFFFFF
    return slot ^ (slot >> 17)


@compiled(inline=True)
def _count_bits(bits):  # type: ignore[no-untyped-def] # pragma: no cover
    """Count the ones of 64 bits; compiled, it is an instruction."""
    pairs = bits - ((bits >> np.uint64(1)) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + (
        (pairs >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    eights = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((eights * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled(inline=True)
def spell_on(trie, trie_letter, trie_factor, few, letters, first, stop, at):  # type: ignore[no-untyped-def] # pragma: no cover
    """Give the place in the trie after letters `first` to `stop - 1`, and their factor."""
    factor = 1.0
    for index in range(first, stop):
        place, letter = trie[at], np.int64(letters[index])
        bit = np.uint64(1) << np.uint64(letter & 63)
        at = len(trie) - 1
        if place.child_letters & bit:
            low = np.int64(place.first_child)
            if few:
                at = low + _count_bits(place.child_letters & (bit - np.uint64(1)))
            else:
                high = np.int64(place.stop_child)
                while high - low > 1:
                    middle = (low + high) >> 1
                    if trie_letter[middle] <= letter:
                        low = middle
                    else:
                        high = middle
                if trie_letter[low] == letter:
                    at = low
        factor *= trie_factor[at] if at < len(trie) - 1 else place.leave_factor
    return at, factor


@compiled(inline=True)
def score_word(lm, lm_weight, lm_ids, word_scores, state, word):  # type: ignore[no-untyped-def] # pragma: no cover
    """Give what a finished word adds, and the state of the language model after it."""
    log_prob, next_state = step(lm, state, lm_ids[word])
    weighted = lm_weight * log_prob if lm_weight > 0 else 0.0
    return weighted + word_scores[word], next_state


@compiled()
def follow_hotwords(fusion, state, token, has_word):  # type: ignore[no-untyped-def] # pragma: no cover
    """Give the hotwords' state after a token, and the end of a word that comes with it.

    And the credit for it, and e to what it adds, lent and granted.
    """
    credit, factor = 0.0, 1.0
    boundary = fusion.hot_column[len(fusion.hot_column) - 1]
    first, stop = np.int64(fusion.first_letter[token]), np.int64(fusion.first_letter[token + 1])
    start = first - (has_word and fusion.is_separated)
    end = stop + (has_word and not fusion.is_separated)
    for index in range(start, end):
        is_letter = first <= index < stop
        column = fusion.hot_column[fusion.letters[index]] if is_letter else boundary
        factor *= fusion.hot_factor[state, column]
        state = np.int64(fusion.hot_next[state, column])
        credit += fusion.hot_credit[state]
    return state, credit, factor


@compiled(inline=True)
def merge(scores, codes, count, waiting, waiting_codes, num_waiting):  # type: ignore[no-untyped-def] # pragma: no cover
    """Put sorted scores into others, after those that are equal; what has no room is lost.

    Returns how many there are then.
    """
    room = len(scores)
    first, second = count - 1, num_waiting - 1
    for _ in range(count + num_waiting - room):
        if first >= 0 and scores[first] < waiting[second]:
            first -= 1
        else:
            second -= 1
    place = first + second + 1
    count = place + 1
    while second >= 0:
        if first >= 0 and scores[first] < waiting[second]:
            scores[place], codes[place] = scores[first], codes[first]
            first -= 1
        else:
            scores[place], codes[place] = waiting[second], waiting_codes[second]
            second -= 1
        place -= 1
    return count


@compiled(inline=True)
def reaches(log_probs, t, limit):  # type: ignore[no-untyped-def] # pragma: no cover
    """Whether a frame has a token that is not below a limit, blank apart."""
    frame = log_probs[t]
    frame_limit = frame.dtype.type(limit)
    count = 0
    for token in range(1, len(frame)):
        count += not frame[token] < frame_limit
    return count > 0
