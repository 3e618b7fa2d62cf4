"""The prefix beam search with fusion itself, compiled; see `beam_fused`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asrkit.compiled import compiled
from asrkit.data.tokens import TokenTable
from asrkit.decode.beam_kernel import NEGLIGIBLE, ROOT, find_candidates, insert
from asrkit.decode.fused_tree import copy_tree, new_tree, set_state, slot_of
from asrkit.decode.fusion import (
    IMPOSSIBLE,
    NO_WORD,
    count_words,
    follow_hotwords,
    score_word,
    spell_on,
    word_of,
)

BLANK = TokenTable.blank_id


class _Beam(NamedTuple):
    """Prefixes, best first, as in `beam`; with e^fused, scaled, and its product with the total."""

    nodes: NDArray[np.int32]
    last: NDArray[np.int32]
    words: NDArray[np.int32]
    parent_rows: NDArray[np.int32]
    in_blank: NDArray[np.float64]
    in_token: NDArray[np.float64]
    total: NDArray[np.float64]
    weight: NDArray[np.float64]
    rank: NDArray[np.float64]


@compiled()
def search(  # type: ignore[no-untyped-def] # pragma: no cover
    log_probs, fusion, beam_size, token_min_log_prob, max_frame_tokens, blank_skip_log_prob
):
    """Find the best prefixes: the tree, the nodes of the beam and their log-probabilities."""
    num_frames = len(log_probs)
    capacity = min(num_frames, 128) * beam_size + 1
    num_slots = 64
    while num_slots < 2 * capacity:
        num_slots *= 2
    tree = new_tree(capacity, num_slots)
    tree.parents[ROOT], tree.last_tokens[ROOT], tree.words[ROOT] = -1, BLANK, NO_WORD
    tree.rows[ROOT] = 0
    set_state(fusion, tree, ROOT, 0, fusion.lm_start, fusion.hot_start, 0.0)
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
    )
    beam.nodes[0], beam.last[0], beam.words[0], beam.parent_rows[0] = ROOT, BLANK, NO_WORD, -1
    beam.in_blank[0], beam.in_token[0], beam.total[0] = 1.0, 0.0, 1.0
    beam.weight[0], beam.rank[0] = 1.0, 1.0
    t, size, num_nodes, log_scale, reference = 0, 1, 1, 0.0, tree.fused[ROOT]
    while t < num_frames and size > 0:
        if num_nodes + beam_size > len(tree.parents):
            larger = new_tree(2 * len(tree.parents), 2 * len(tree.table))
            copy_tree(tree, larger, num_nodes)
            tree = larger
        t, size, num_nodes, log_scale, reference = _advance(
            log_probs,
            fusion,
            t,
            tree,
            num_nodes,
            beam,
            size,
            log_scale,
            reference,
            token_min_log_prob,
            max_frame_tokens,
            blank_skip_log_prob,
        )
    return tree, beam.nodes[:size], np.log(beam.total[:size]) + log_scale


@compiled()
def _advance(  # type: ignore[no-untyped-def] # noqa: PLR0915 # pragma: no cover
    log_probs,
    fusion,
    first_frame,
    tree,
    num_nodes,
    beam,
    size,
    log_scale,
    reference,
    token_min_log_prob,
    max_frame_tokens,
    blank_skip_log_prob,
):
    """Account for frames from `first_frame` on, as long as the tree has room.

    As in `beam`; ranks are totals times e^(fused - reference).
    """
    num_frames, vocab_size = log_probs.shape
    beam_size = len(beam.nodes)
    parents, last_tokens, node_words, node_rows, table = tree[:5]
    node_trie, node_lm, node_hot, node_certain, node_fused = tree[5:10]
    node_end_score, node_end_lm, node_letter_gain, node_end_gain = tree[10:]
    nodes, last, words, parent_rows, in_blank, in_token, total, weight, rank = beam
    new_nodes, new_weight = np.empty(beam_size, np.int32), np.empty(beam_size)
    new_in_blank, new_in_token = np.empty(beam_size), np.empty(beam_size)
    new_total, new_rank = np.empty(beam_size), np.empty(beam_size)
    # What competes for the next beam, in order: the number of a row, or K and that of a growth.
    scores, codes = np.empty(beam_size), np.empty(beam_size, np.int64)
    free, num_free = np.empty(beam_size + 1, np.int64), 0
    grown_row, grown_token = np.empty(beam_size + 1, np.int64), np.empty(beam_size + 1, np.int64)
    grown_word, grown_trie = np.empty(beam_size + 1, np.int64), np.empty(beam_size + 1, np.int64)
    grown_lm, grown_hot = np.empty(beam_size + 1, np.int64), np.empty(beam_size + 1, np.int64)
    grown_certain, grown_mass = np.empty(beam_size + 1), np.empty(beam_size + 1)
    grown_weight = np.empty(beam_size + 1)
    probs, stamps = np.empty(vocab_size), np.zeros(vocab_size, np.int64)
    candidates, candidate_probs = np.empty(vocab_size, np.int32), np.empty(vocab_size)
    first_child, next_child = np.empty(beam_size, np.int32), np.empty(beam_size, np.int32)
    for t in range(first_frame, num_frames):
        if num_nodes + beam_size > len(parents):
            return t, size, num_nodes, log_scale, reference
        blank_log_prob = np.float64(log_probs[t, BLANK])
        if blank_log_prob > blank_skip_log_prob:
            log_scale += blank_log_prob
            for row in range(size):
                in_blank[row], in_token[row] = total[row], 0.0
            continue

        # Prefixes stay, or grow into one another, as in `beam`.
        blank = math.exp(blank_log_prob)
        in_order = True
        previous, highest = math.inf, 0.0
        for row in range(size):
            token, parent = last[row], parent_rows[row]
            if stamps[token] != t + 1:
                stamps[token] = t + 1
                probs[token] = math.exp(np.float64(log_probs[t, token]))
            before = in_token[row]
            if parent >= 0:
                before += in_blank[parent] if last[parent] == token else total[parent]
            by_token = before * probs[token]
            if by_token < NEGLIGIBLE:
                by_token = 0.0
            by_blank = total[row] * blank
            new_in_token[row], new_in_blank[row] = by_token, by_blank
            new_total[row] = by_blank + by_token
            score = new_total[row] * weight[row]
            new_rank[row] = score
            in_order &= NEGLIGIBLE < score <= previous
            previous = score
            gain = max(node_letter_gain[nodes[row]], node_end_gain[nodes[row]])
            highest = max(highest, rank[row] * gain)

        limit = token_min_log_prob
        if size == beam_size:
            lowest = new_rank[:size].min()
            if lowest > NEGLIGIBLE:
                limit = max(limit, math.log(lowest / highest) - 1e-4)
        most = max_frame_tokens if max_frame_tokens > 0 else vocab_size
        num_candidates = find_candidates(log_probs, t, limit, most, candidates, candidate_probs)
        if num_candidates == 0 and blank_log_prob < token_min_log_prob:
            highest = log_probs[t].max()
            if highest < token_min_log_prob:
                num_candidates = find_candidates(
                    log_probs, t, highest, most, candidates, candidate_probs
                )
        if num_candidates < 0 or not blank_log_prob < math.inf:
            return t, 0, num_nodes, log_scale, reference
        if num_candidates == 0 and in_order:
            for row in range(size):
                in_blank[row], in_token[row] = new_in_blank[row], new_in_token[row]
                total[row], rank[row] = new_total[row], new_rank[row]
        else:
            count = 0
            for row in range(size):
                if new_rank[row] > NEGLIGIBLE:
                    count = insert(scores, codes, count, new_rank[row], row)
                first_child[row] = -1
            for row in range(size):
                parent = parent_rows[row]
                if parent >= 0:
                    next_child[row] = first_child[parent]
                    first_child[parent] = row
            num_free = 0
            for slot in range(beam_size, -1, -1):
                free[num_free] = slot
                num_free += 1
            for row in range(size):
                node = nodes[row]
                trie = np.int64(node_trie[node])
                letter_gain, end_gain = node_letter_gain[node], node_end_gain[node]
                best_rank = rank[row] * max(letter_gain, end_gain)
                for index in range(num_candidates):
                    last_place = scores[beam_size - 1] if count == beam_size else NEGLIGIBLE
                    prob = candidate_probs[index]
                    if not best_rank * prob > last_place:
                        break
                    token = np.int64(candidates[index])
                    ends = fusion.is_separated and fusion.ends_word[token]
                    mass = (in_blank[row] if last[row] == token else total[row]) * prob
                    gain = end_gain if ends else letter_gain
                    if not mass * weight[row] * gain > last_place:
                        continue
                    # Readings: -1 is to end no word.
                    after = spell_on(fusion, np.int64(0) if ends else trie, token)
                    if after == IMPOSSIBLE:
                        continue
                    first_reading, ended = -1, trie
                    num_readings = 0
                    if fusion.is_separated:
                        if ends and trie != 0:
                            first_reading, num_readings = 0, count_words(fusion, trie)
                    else:
                        ended = after
                        num_readings = count_words(fusion, after)
                        if fusion.first_child[after] == fusion.first_child[after + 1]:
                            first_reading = 0
                    for reading in range(first_reading, num_readings):
                        word, after_it = np.int64(NO_WORD), after
                        certain, lm = node_certain[node], np.int64(node_lm[node])
                        if reading >= 0:
                            word = word_of(fusion, ended, reading)
                            if fusion.is_separated and num_readings == 1:
                                if np.isnan(node_end_score[node]):
                                    added, lm = score_word(fusion, lm, word)
                                    node_end_score[node], node_end_lm[node] = added, lm
                                certain += node_end_score[node]
                                lm = np.int64(node_end_lm[node])
                            else:
                                added, lm = score_word(fusion, lm, word)
                                certain += added
                            if not fusion.is_separated:
                                after_it = np.int64(0)
                        ends_before = fusion.is_separated and reading >= 0
                        ends_after = not fusion.is_separated and reading >= 0
                        hot, credit = follow_hotwords(
                            fusion, np.int64(node_hot[node]), ends_before, token, ends_after
                        )
                        certain += credit
                        fused = certain + fusion.look_ahead[after_it] + fusion.hot_potential[hot]
                        grown = math.exp(fused - reference)
                        score = mass * grown
                        last_place = scores[beam_size - 1] if count == beam_size else NEGLIGIBLE
                        if not score > last_place:
                            continue
                        child = first_child[row]
                        while child >= 0 and (last[child] != token or words[child] != word):
                            child = next_child[child]
                        if child >= 0:
                            continue
                        if count == beam_size and codes[count - 1] >= beam_size:
                            free[num_free] = codes[count - 1] - beam_size
                            num_free += 1
                        num_free -= 1
                        slot = free[num_free]
                        count = insert(scores, codes, count, score, beam_size + slot)
                        grown_row[slot], grown_token[slot], grown_word[slot] = row, token, word
                        grown_trie[slot], grown_lm[slot], grown_hot[slot] = after_it, lm, hot
                        grown_certain[slot], grown_mass[slot] = certain, mass
                        grown_weight[slot] = grown
            for row in range(size):
                node_rows[nodes[row]] = -1
            size = count
            for place in range(size):
                if codes[place] < beam_size:
                    row = codes[place]
                    node = nodes[row]
                    in_blank[place], in_token[place] = new_in_blank[row], new_in_token[row]
                    rank[place] = new_total[row]
                    new_weight[place] = weight[row]
                else:
                    growth = codes[place] - beam_size
                    parent = np.int64(nodes[grown_row[growth]])
                    token, word = grown_token[growth], grown_word[growth]
                    slot = slot_of(table, parents, last_tokens, node_words, parent, token, word)
                    if table[slot] == ROOT:
                        table[slot] = num_nodes
                        parents[num_nodes], last_tokens[num_nodes] = parent, token
                        node_words[num_nodes] = word
                        set_state(
                            fusion,
                            tree,
                            num_nodes,
                            grown_trie[growth],
                            grown_lm[growth],
                            grown_hot[growth],
                            grown_certain[growth],
                        )
                        num_nodes += 1
                    node = table[slot]
                    in_blank[place], in_token[place] = 0.0, grown_mass[growth]
                    rank[place] = grown_mass[growth]
                    new_weight[place] = grown_weight[growth]
                new_nodes[place] = node
                node_rows[node] = place
            for place in range(size):
                node = new_nodes[place]
                nodes[place], weight[place] = node, new_weight[place]
                total[place], rank[place] = rank[place], scores[place]
                last[place], words[place] = last_tokens[node], node_words[node]
                parent_rows[place] = node_rows[parents[node]] if node != ROOT else -1
        if size == 0 or not rank[0] < math.inf:
            return t, 0, num_nodes, log_scale, reference
        if abs(node_fused[nodes[0]] - reference) > 64.0:
            reference = node_fused[nodes[0]]
            for row in range(size):
                weight[row] = math.exp(node_fused[nodes[row]] - reference)
                rank[row] = total[row] * weight[row]
        if not 2.0**-64 < rank[0] < 2.0**64:
            exponent = math.frexp(rank[0])[1]
            scale = math.ldexp(1.0, -exponent)
            log_scale += exponent * math.log(2.0)
            for row in range(size):
                in_blank[row] *= scale
                in_token[row] *= scale
                total[row] *= scale
                rank[row] *= scale
    return num_frames, size, num_nodes, log_scale, reference
