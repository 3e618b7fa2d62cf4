"""Prefixes of the search with fusion as nodes of a tree, each with the state of what is fused."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asrkit.compiled import compiled
from asrkit.data.tokens import TokenTable
from asrkit.decode.beam_kernel import ROOT

BLANK = TokenTable.blank_id


class Tree(NamedTuple):
    """Prefixes met so far, as in `beam`, with the word that ends with each and its state.

    The state is the node in the trie, that of the language model and of the hotwords; what is
    certain of the score, and the score with look-ahead and hotwords; what ending the word adds to
    the former (NaN if that was never asked) and the state then; and how much a token that ends no
    word, and any token, can add to the latter, as factors.
    """

    parents: NDArray[np.int32]
    last_tokens: NDArray[np.int32]
    words: NDArray[np.int32]
    rows: NDArray[np.int32]
    table: NDArray[np.int32]
    trie: NDArray[np.int32]
    lm: NDArray[np.int32]
    hot: NDArray[np.int32]
    certain: NDArray[np.float64]
    fused: NDArray[np.float64]
    end_score: NDArray[np.float64]
    end_lm: NDArray[np.int32]
    letter_gain: NDArray[np.float64]
    end_gain: NDArray[np.float64]


@compiled()
def new_tree(capacity, num_slots):  # type: ignore[no-untyped-def] # pragma: no cover
    """Make room for nodes and, in the table, for more slots: a power of two."""
    return Tree(
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int32),
        np.zeros(num_slots, np.int32),
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int32),
        np.empty(capacity),
        np.empty(capacity),
        np.empty(capacity),
        np.empty(capacity, np.int32),
        np.empty(capacity),
        np.empty(capacity),
    )


@compiled()
def copy_tree(tree, larger, num_nodes):  # type: ignore[no-untyped-def] # pragma: no cover
    """Copy the nodes of a tree to one with more room."""
    for node in range(num_nodes):
        larger.parents[node], larger.last_tokens[node] = tree.parents[node], tree.last_tokens[node]
        larger.words[node], larger.rows[node] = tree.words[node], tree.rows[node]
        larger.trie[node], larger.lm[node], larger.hot[node] = (
            tree.trie[node],
            tree.lm[node],
            tree.hot[node],
        )
        larger.certain[node], larger.fused[node] = tree.certain[node], tree.fused[node]
        larger.end_score[node], larger.end_lm[node] = tree.end_score[node], tree.end_lm[node]
        larger.letter_gain[node] = tree.letter_gain[node]
        larger.end_gain[node] = tree.end_gain[node]
        if node != ROOT:
            slot = slot_of(
                larger.table,
                larger.parents,
                larger.last_tokens,
                larger.words,
                larger.parents[node],
                larger.last_tokens[node],
                larger.words[node],
            )
            larger.table[slot] = node


@compiled(inline=True)
def set_state(fusion, tree, node, trie, lm, hot, certain):  # type: ignore[no-untyped-def] # pragma: no cover
    """Give a new node its state."""
    ahead = fusion.look_ahead[trie]
    tree.trie[node], tree.lm[node], tree.hot[node] = trie, lm, hot
    tree.certain[node] = certain
    tree.fused[node] = certain + ahead + fusion.hot_potential[hot]
    tree.end_score[node], tree.end_lm[node] = np.nan, 0
    gain = fusion.hot_gain[hot]
    tree.end_gain[node] = math.exp(gain + fusion.best_word_score - ahead)
    tree.letter_gain[node] = math.exp(gain) if fusion.is_separated else tree.end_gain[node]


@compiled(inline=True)
def slot_of(table, parents, last_tokens, words, parent, token, word):  # type: ignore[no-untyped-def] # pragma: no cover
    """Place of a prefix in the table of nodes, or the free one where it belongs."""
    mask = len(table) - 1
    slot = parent * 0x9E3779B1 + token * 0x85EBCA6B + word * 0xC2B2AE35
    slot &= 0x7FFFFFFFFFFFFFFF
    slot = (slot ^ (slot >> 17)) & mask
    while table[slot] != ROOT:
        node = table[slot]
        if parents[node] == parent and last_tokens[node] == token and words[node] == word:
            break
        slot = (slot + 1) & mask
    return slot
