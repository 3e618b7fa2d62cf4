"""The prefix beam search with fusion itself, compiled; see `beam_fused`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asrkit.compiled import compiled
from asrkit.data.tokens import TokenTable
from asrkit.decode.beam_kernel import NEGLIGIBLE, ROOT, find_candidates, insert
from asrkit.decode.fused_tree import (
    enlarged,
    follow_hotwords,
    hash_of,
    merge,
    new_tree,
    reaches,
    score_word,
    spell_on,
)
from asrkit.decode.fusion import NO_WORD
from asrkit.lm.ngram import EMPTY_STATE

BLANK = TokenTable.blank_id

_RESCALE_BELOW, _RESCALE_ABOVE = 2.0**-64, 2.0**64
_MOST_WAITING = 32

_ROW_BITS, _READING_BITS = 40, 20
"""A code is a row, the number of a reading and 1 (0 where no word ends) and a token."""
_TOKEN_MASK = (1 << _READING_BITS) - 1


class _Beam(NamedTuple):
    """Prefixes, best first, as in `beam`; probabilities are times e to what fusion adds.

    Besides, for each prefix its place in the trie, the factor by which its last token counted, and
    factors that no token after it exceeds: one that ends no word, and one that may.
    """

    nodes: NDArray[np.int32]
    last: NDArray[np.int32]
    parent_rows: NDArray[np.int32]
    trie: NDArray[np.int32]
    in_blank: NDArray[np.float64]
    in_token: NDArray[np.float64]
    total: NDArray[np.float64]
    factor: NDArray[np.float64]
    letter_gain: NDArray[np.float64]
    end_gain: NDArray[np.float64]


@compiled()
def search(log_probs, fusion, beam_size, pruning):  # type: ignore[no-untyped-def] # pragma: no cover
    """Find the best prefixes: their tree, the nodes of the beam and the logarithms of their ranks.

    A rank is the probability by CTC times e to what fusion adds, look-ahead included.
    """
    num_frames = len(log_probs)
    tree = new_tree(fusion, min(num_frames, 128) * beam_size + 1)
    beam = _Beam(
        np.empty(beam_size, np.int32),
        np.empty(beam_size, np.int32),
        np.empty(beam_size, np.int32),
        np.empty(beam_size, np.int32),
        np.empty(beam_size),
        np.empty(beam_size),
        np.empty(beam_size),
        np.empty(beam_size),
        np.empty(beam_size),
        np.empty(beam_size),
    )
    hot_gains = np.exp(fusion.hot_gain)
    beam.nodes[0], beam.last[0], beam.parent_rows[0], beam.trie[0] = ROOT, BLANK, -1, 0
    beam.in_blank[0], beam.in_token[0], beam.total[0], beam.factor[0] = 1.0, 0.0, 1.0, 1.0
    beam.letter_gain[0] = hot_gains[fusion.hot_start]
    beam.end_gain[0] = beam.letter_gain[0] * fusion.trie[0].end_gain
    t, size, num_nodes, log_scale = 0, 1, 1, 0.0
    while t < num_frames and size > 0:
        if num_nodes + beam_size > len(tree.nodes):
            tree = enlarged(tree, num_nodes)
        t, size, num_nodes, log_scale = _advance(
            log_probs, fusion, hot_gains, t, tree, num_nodes, beam, size, log_scale, pruning
        )
    return tree.nodes, beam.nodes[:size], np.log(beam.total[:size]) + log_scale


@compiled()
def _advance(  # type: ignore[no-untyped-def] # noqa: PLR0915 # pragma: no cover
    log_probs, fusion, hot_gains, first_frame, tree, num_nodes, beam, size, log_scale, pruning
):
    """Account for frames from `first_frame` on, as long as the tree has room, as in `beam`.

    Without candidates a frame leaves prefixes in their places, even where that is out of order.
    """
    num_frames, vocab_size = log_probs.shape
    beam_size = len(beam.nodes)
    token_min_log_prob, max_frame_tokens, skip_log_prob, least_share = pruning
    tree_nodes, table = tree
    trie, trie_letter, words = fusion.trie, fusion.trie_letter, fusion.words
    ends_word, first_letter, letters = fusion.ends_word, fusion.first_letter, fusion.letters
    lm_word, lm_log_prob, lm_next_state, lm_backoff, lm_suffix, lm_first_child = fusion.lm
    lm_weight, lm_ids = fusion.lm_weight, fusion.lm_ids
    word_scores, hot_potential = fusion.word_scores, fusion.hot_potential
    is_separated, has_hotwords = fusion.is_separated, fusion.has_hotwords
    trie_factor, has_few_letters = fusion.trie_factor, fusion.has_few_letters
    most_hot_gain = hot_gains.max()
    nodes, last, parent_rows, trie_of = beam[:4]
    in_blank, in_token, total, factor_of, letter_gain, end_gain = beam[4:]
    new_nodes = np.empty(beam_size, np.int32)
    new_in_blank, new_in_token = np.empty(beam_size), np.empty(beam_size)
    new_total = np.empty(beam_size)
    # What competes for the next beam, in order, and what waits to be merged into it.
    scores, codes = np.empty(beam_size), np.empty(beam_size, np.int64)
    waiting, waiting_codes = np.empty(_MOST_WAITING), np.empty(_MOST_WAITING, np.int64)
    probs, stamps = np.empty(vocab_size), np.zeros(vocab_size, np.int64)
    candidates, candidate_probs = np.empty(vocab_size, np.int32), np.empty(vocab_size)
    first_child, next_child = np.empty(beam_size, np.int32), np.empty(beam_size, np.int32)
    child_tokens = np.empty(beam_size, np.int64)
    most_from = np.empty(beam_size)  # of this and all later prefixes, what one could reach
    for t in range(first_frame, num_frames):
        if num_nodes + beam_size > len(tree_nodes):
            return t, size, num_nodes, log_scale
        blank_log_prob = np.float64(log_probs[t, BLANK])
        if blank_log_prob > skip_log_prob:
            log_scale += blank_log_prob
            for row in range(size):
                in_blank[row], in_token[row] = total[row], 0.0
            continue

        # Prefixes stay, or grow into one another.
        blank = math.exp(blank_log_prob)
        for row in range(size):
            token, parent = last[row], parent_rows[row]
            if stamps[token] != t + 1:
                stamps[token] = t + 1
                probs[token] = math.exp(np.float64(log_probs[t, token]))
            before = in_token[row]
            if parent >= 0:
                grown = in_blank[parent] if last[parent] == token else total[parent]
                before += grown * factor_of[row]
            by_token = before * probs[token]
            if by_token < NEGLIGIBLE:
                by_token = 0.0
            new_in_token[row] = by_token
        for row in range(size):  # apart, for it is vectorised
            new_in_blank[row] = total[row] * blank
            new_total[row] = new_in_blank[row] + new_in_token[row]
        least = max(NEGLIGIBLE, new_total[:size].max() * least_share)
        num_dead = 0
        for row in range(size):
            num_dead += not new_total[row] > least

        # Tokens that can bring any prefix at least to the last place of the beam.
        limit = token_min_log_prob
        if reaches(log_probs, t, limit):
            lowest, highest = least, 0.0
            if size == beam_size:
                lowest = max(least, new_total.min())
            for row in range(size):
                highest = max(highest, total[row] * max(letter_gain[row], end_gain[row]))
            limit = max(limit, math.log(lowest / highest) - 1e-4)
        most = max_frame_tokens if max_frame_tokens > 0 else vocab_size
        num_candidates = find_candidates(log_probs, t, limit, most, candidates, candidate_probs)
        if num_candidates == 0 and blank_log_prob < token_min_log_prob:
            likeliest = log_probs[t].max()
            if likeliest < token_min_log_prob:
                num_candidates = find_candidates(
                    log_probs, t, likeliest, most, candidates, candidate_probs
                )
        if num_candidates < 0 or not blank_log_prob < math.inf:
            return t, 0, num_nodes, log_scale
        if num_candidates == 0 and num_dead == 0:
            for row in range(size):
                in_blank[row], in_token[row] = new_in_blank[row], new_in_token[row]
                total[row] = new_total[row]
        else:
            count, num_waiting = 0, 0
            for row in range(size):
                if new_total[row] > least:
                    count = insert(scores, codes, count, new_total[row], row << _ROW_BITS)
                first_child[row], child_tokens[row] = -1, 0
            for row in range(size):
                parent = parent_rows[row]
                if parent >= 0:
                    next_child[row] = first_child[parent]
                    first_child[parent] = row
                    child_tokens[parent] |= 1 << (last[row] & 63)
            best_from = 0.0
            for row in range(size - 1, -1, -1):
                best_from = max(best_from, total[row])
                most_from[row] = best_from * most_hot_gain
            last_place = scores[beam_size - 1] if count == beam_size else least
            for index in range(num_candidates):
                token, prob = np.int64(candidates[index]), candidate_probs[index]
                ends = ends_word[token]
                may_end = ends or not is_separated
                first, stop = np.int64(first_letter[token]), np.int64(first_letter[token + 1])
                for row in range(size):
                    score = (in_blank[row] if last[row] == token else total[row]) * prob
                    if not score * (end_gain[row] if may_end else letter_gain[row]) > last_place:
                        if not may_end and most_from[row] * prob <= last_place:
                            break
                        continue
                    before = np.int64(trie_of[row])
                    after, factor = spell_on(
                        trie,
                        trie_letter,
                        trie_factor,
                        has_few_letters,
                        letters,
                        first,
                        stop,
                        np.int64(0) if ends else before,
                    )
                    # Readings: -1 is to end no word.
                    first_reading, num_readings, ended = -1, np.int64(0), before
                    if ends and before != 0:
                        first_reading = 0
                    if not is_separated:
                        ended = after
                        if trie[after].first_child == trie[after].stop_child:
                            first_reading = 0
                    if may_end and ended != 0:
                        num_readings = np.int64(trie[ended].stop_word - trie[ended].first_word)
                    may_be_there = child_tokens[row] >> (token & 63) & 1
                    for reading in range(first_reading, num_readings):
                        word = np.int64(NO_WORD)
                        if reading >= 0:
                            word = np.int64(words[trie[ended].first_word + reading])
                        if may_be_there:
                            child = first_child[row]
                            while child >= 0 and (
                                last[child] != token or tree_nodes[nodes[child]].word != word
                            ):
                                child = next_child[child]
                            if child >= 0:
                                continue
                        grown = score * factor
                        if reading >= 0:
                            node = tree_nodes[nodes[row]]
                            is_noted = is_separated and num_readings == 1
                            end_factor = node.end_factor if is_noted else np.nan
                            if np.isnan(end_factor):
                                # `step`, written out: called, it would count references.
                                added, state = 0.0, np.int64(node.lm)
                                lm_id = lm_ids[word]
                                found = 1 + np.int64(lm_id)
                                while state != EMPTY_STATE:
                                    low = np.int64(lm_first_child[state])
                                    high = np.int64(lm_first_child[state + 1])
                                    while high - low > 1:
                                        middle = (low + high) >> 1
                                        if lm_word[middle] <= lm_id:
                                            low = middle
                                        else:
                                            high = middle
                                    if low < high and lm_word[low] == lm_id:
                                        found = low
                                        break
                                    added += lm_backoff[state]
                                    state = np.int64(lm_suffix[state])
                                added += lm_log_prob[found]
                                added = lm_weight * added if lm_weight > 0 else 0.0
                                added += word_scores[word]
                                end_factor = math.exp(added - trie[ended].look_ahead)
                                if is_noted:
                                    node.end_score, node.end_factor = added, end_factor
                                    node.end_lm = lm_next_state[found]
                                    end_gain[row] = end_factor * letter_gain[row]
                            grown *= end_factor
                        if has_hotwords:
                            state = np.int64(tree_nodes[nodes[row]].hot)
                            grown *= follow_hotwords(fusion, state, token, reading >= 0)[2]
                        if grown > last_place:
                            num_waiting = insert(
                                waiting,
                                waiting_codes,
                                num_waiting,
                                grown,
                                row << _ROW_BITS | (reading + 1) << _READING_BITS | token,
                            )
                            if num_waiting == _MOST_WAITING:
                                count = merge(
                                    scores, codes, count, waiting, waiting_codes, num_waiting
                                )
                                num_waiting = 0
                                last_place = max(last_place, scores[0] * least_share)
                                if count == beam_size:
                                    last_place = max(last_place, scores[beam_size - 1])
            count = merge(scores, codes, count, waiting, waiting_codes, num_waiting)
            while count > 0 and scores[count - 1] <= scores[0] * least_share:
                count -= 1
            for row in range(size):
                tree_nodes[nodes[row]].row = -1
            size = count
            for place in range(size):
                row, token = codes[place] >> _ROW_BITS, codes[place] & _TOKEN_MASK
                number = np.int64(nodes[row])
                if token == BLANK:
                    in_blank[place], in_token[place] = new_in_blank[row], new_in_token[row]
                else:
                    in_blank[place], in_token[place] = 0.0, scores[place]
                    reading = (codes[place] >> _READING_BITS & _TOKEN_MASK) - 1
                    parent, before = number, np.int64(tree_nodes[number].trie)
                    after, factor = spell_on(
                        trie,
                        trie_letter,
                        trie_factor,
                        has_few_letters,
                        letters,
                        np.int64(first_letter[token]),
                        np.int64(first_letter[token + 1]),
                        np.int64(0) if ends_word[token] else before,
                    )
                    word = np.int64(NO_WORD)
                    if reading >= 0:
                        ended = before if is_separated else after
                        word = np.int64(words[trie[ended].first_word + reading])
                        after = after if is_separated else np.int64(0)
                    slot = hash_of(parent, token, word) & (len(table) - 1)
                    while table[slot] != ROOT:
                        node = tree_nodes[table[slot]]
                        if node.parent == parent and node.last == token and node.word == word:
                            break
                        slot = (slot + 1) & (len(table) - 1)
                    number = np.int64(table[slot])
                    if number == ROOT:
                        number = num_nodes
                        num_nodes += 1
                        table[slot] = number
                        above, node = tree_nodes[parent], tree_nodes[number]
                        score, state, lent = 0.0, np.int64(above.lm), 0.0
                        if reading >= 0:
                            if np.isnan(above.end_score):
                                score, state = score_word(
                                    fusion.lm, lm_weight, lm_ids, word_scores, state, word
                                )
                            else:
                                score, state = above.end_score, np.int64(above.end_lm)
                        node.lm, node.hot = state, above.hot
                        if has_hotwords:
                            state, credit, _ = follow_hotwords(
                                fusion, np.int64(above.hot), token, reading >= 0
                            )
                            score += credit
                            lent = hot_potential[state] - hot_potential[above.hot]
                            node.hot = state
                        node.parent, node.last, node.word = parent, token, word
                        node.trie, node.certain = after, above.certain + score
                        if reading >= 0 or has_hotwords:
                            ahead = trie[after].look_ahead - trie[before].look_ahead
                            factor = math.exp(score + ahead + lent)
                        node.factor = factor
                        node.end_score = node.end_factor = np.nan
                new_nodes[place] = number
                tree_nodes[number].row = place
            for place in range(size):
                number = np.int64(new_nodes[place])
                node = tree_nodes[number]
                nodes[place], total[place] = number, scores[place]
                last[place], trie_of[place] = node.last, node.trie
                factor_of[place] = node.factor
                gain, end_factor = hot_gains[node.hot], node.end_factor
                if np.isnan(end_factor):
                    end_factor = trie[node.trie].end_gain
                letter_gain[place], end_gain[place] = gain, gain * end_factor
                parent_rows[place] = tree_nodes[node.parent].row if number != ROOT else -1
        if size == 0 or not total[0] < math.inf:
            return t, 0, num_nodes, log_scale
        if not _RESCALE_BELOW < total[0] < _RESCALE_ABOVE:
            exponent = math.frexp(total[:size].max())[1]
            scale = math.ldexp(1.0, -exponent)
            log_scale += exponent * math.log(2.0)
            for row in range(size):
                in_blank[row] *= scale
                in_token[row] *= scale
                total[row] *= scale
    return num_frames, size, num_nodes, log_scale
