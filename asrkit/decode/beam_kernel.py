"""The prefix beam search itself, compiled; what it does and why it is fast stands in `beam`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asrkit.compiled import compiled
from asrkit.data.tokens import TokenTable

BLANK = TokenTable.blank_id
ROOT = 0

NEGLIGIBLE = 1e-290
_RESCALE_BELOW = 2.0**-64


@compiled()
def labels_of(parents, last_tokens, node):  # type: ignore[no-untyped-def] # pragma: no cover
    """Token ids of a prefix, int32."""
    length, ancestor = 0, node
    while ancestor != ROOT:
        length += 1
        ancestor = parents[ancestor]
    labels = np.empty(length, np.int32)
    while node != ROOT:
        length -= 1
        labels[length] = last_tokens[node]
        node = parents[node]
    return labels


@compiled(inline=True)
def _slot(table, parents, last_tokens, parent, token):  # type: ignore[no-untyped-def] # pragma: no cover
    """Place of a prefix in the table of nodes, or the free one where it belongs."""
    mask = len(table) - 1
    slot = (parent * 0x9E3779B1 + token * 0x85EBCA6B) & 0x7FFFFFFFFFFFFFFF
    slot = (slot ^ (slot >> 17)) & mask
    while table[slot] != ROOT:
        node = table[slot]
        if parents[node] == parent and last_tokens[node] == token:
            break
        slot = (slot + 1) & mask
    return slot


@compiled(inline=True)
def insert(scores, codes, count, score, code):  # type: ignore[no-untyped-def] # pragma: no cover
    """Put a score after all that are not below it; in a full array the last one makes room."""
    place = min(count, len(scores) - 1)
    while place > 0 and scores[place - 1] < score:
        scores[place] = scores[place - 1]
        codes[place] = codes[place - 1]
        place -= 1
    scores[place] = score
    codes[place] = code
    return min(count + 1, len(scores))


@compiled()
def find_candidates(log_probs, t, limit, most, tokens, probs):  # type: ignore[no-untyped-def] # pragma: no cover
    """Note the tokens at least as likely as the limit, likeliest first, equals by their ids.

    Blank apart, and not more than `most` of them. Returns how many, -1 if the frame holds what is
    no log-probability.
    """
    frame = log_probs[t]
    frame_limit = frame.dtype.type(limit)
    count = 0
    for token in range(1, len(frame)):  # counting is vectorised, and mostly there are none
        count += not frame[token] < frame_limit  # NaN, too, is to be noticed
    if count == 0:
        return 0
    count = 0
    for token in range(1, len(frame)):
        if not frame[token] < frame_limit:
            if not frame[token] < math.inf:
                return -1
            tokens[count] = token
            probs[count] = math.exp(np.float64(frame[token]))
            count += 1
    # Shell's sort: mostly of two or three tokens, sometimes of thousands.
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for index in range(gap, count):
            token, prob = tokens[index], probs[index]
            place = index
            while place >= gap and (
                probs[place - gap] < prob
                or (probs[place - gap] == prob and tokens[place - gap] > token)
            ):
                tokens[place], probs[place] = tokens[place - gap], probs[place - gap]
                place -= gap
            tokens[place], probs[place] = token, prob
        gap //= 3
    return min(count, most)


class _Tree(NamedTuple):
    """Prefixes met so far, with room for more. `rows` tells where in the beam each is, -1 if not.

    `table` finds a node, 0 where none is, by its parent and last token.
    """

    parents: NDArray[np.int32]
    last_tokens: NDArray[np.int32]
    rows: NDArray[np.int32]
    table: NDArray[np.int32]


class _Beam(NamedTuple):
    """Prefixes, best first: node, last token, row of the parent (-1 if it is not in the beam).

    And the probability of their alignments, by how these end and in total.
    """

    nodes: NDArray[np.int32]
    last: NDArray[np.int32]
    parent_rows: NDArray[np.int32]
    in_blank: NDArray[np.float64]
    in_token: NDArray[np.float64]
    total: NDArray[np.float64]


@compiled()
def search(log_probs, beam_size, pruning):  # type: ignore[no-untyped-def] # pragma: no cover
    """Find the best prefixes.

    Returns the tree (parent and last token of each node), and the nodes and log-probabilities of
    the beam, best first; none if nothing was possible in some frame.
    """
    num_frames = len(log_probs)
    capacity = min(num_frames, 128) * beam_size + 1
    num_slots = 64
    while num_slots < 2 * capacity:
        num_slots *= 2
    tree = _Tree(
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int32),
        np.zeros(num_slots, np.int32),
    )
    tree.parents[ROOT], tree.last_tokens[ROOT], tree.rows[ROOT] = -1, BLANK, 0
    beam = _Beam(
        np.empty(beam_size, np.int32),
        np.empty(beam_size, np.int32),
        np.empty(beam_size, np.int32),
        np.empty(beam_size),
        np.empty(beam_size),
        np.empty(beam_size),
    )
    beam.nodes[0], beam.last[0], beam.parent_rows[0] = ROOT, BLANK, -1
    beam.in_blank[0], beam.in_token[0], beam.total[0] = 1.0, 0.0, 1.0
    t, size, num_nodes, log_scale = 0, 1, 1, 0.0
    while t < num_frames and size > 0:
        if num_nodes + beam_size > len(tree.parents):
            tree = _enlarge(tree, num_nodes)
        t, size, num_nodes, log_scale = _advance(
            log_probs, t, tree, num_nodes, beam, size, log_scale, pruning
        )
    found = np.log(beam.total[:size]) + log_scale
    return tree.parents, tree.last_tokens, beam.nodes[:size], found


@compiled()
def _enlarge(tree, num_nodes):  # type: ignore[no-untyped-def] # pragma: no cover
    """Give a tree room for twice as many nodes."""
    larger = _Tree(
        np.concatenate((tree.parents, np.empty_like(tree.parents))),
        np.concatenate((tree.last_tokens, np.empty_like(tree.last_tokens))),
        np.concatenate((tree.rows, np.empty_like(tree.rows))),
        np.zeros(2 * len(tree.table), np.int32),
    )
    for node in range(1, num_nodes):
        parent, token = larger.parents[node], larger.last_tokens[node]
        slot = _slot(larger.table, larger.parents, larger.last_tokens, parent, token)
        larger.table[slot] = node
    return larger


@compiled()
def _advance(  # type: ignore[no-untyped-def] # noqa: PLR0915 # pragma: no cover
    log_probs, first_frame, tree, num_nodes, beam, size, log_scale, pruning
):
    """Account for frames from `first_frame` on, as long as the tree has room.

    Returns the frame to go on with, the numbers of prefixes in the beam and in the tree, and the
    logarithm of what the probabilities in the beam are to be multiplied by. No prefixes are left if
    nothing is possible in a frame, or it is not finite.
    """
    num_frames, vocab_size = log_probs.shape
    beam_size = len(beam.nodes)
    token_min_log_prob, max_frame_tokens, skip_log_prob, least_share = pruning
    parents, last_tokens, rows, table = tree
    nodes, last, parent_rows, in_blank, in_token, total = beam
    new_nodes = np.empty(beam_size, np.int32)
    new_in_blank, new_in_token = np.empty(beam_size), np.empty(beam_size)
    new_total = np.empty(beam_size)
    # What stays, and grows by its last token, in order. A code is `row << 32 | token`, the
    # token blank where the prefix stays; `merged` are the codes of the next beam.
    scores, codes = np.empty(beam_size), np.empty(beam_size, np.int64)
    merged = np.empty(beam_size, np.int64)
    # Per token: its probability, where the stamp is that of the frame.
    probs, stamps = np.empty(vocab_size), np.zeros(vocab_size, np.int64)
    # Tokens by which to grow; where in the beam each one's list is, and the score there.
    candidates, candidate_probs = np.empty(vocab_size, np.int32), np.empty(vocab_size)
    list_rows, heads = np.empty(vocab_size, np.int32), np.empty(vocab_size)
    # Per prefix: those of the beam that are it and one more token, as a chain and as a set of their
    # tokens' lowest bits, which mostly spares following the chain.
    first_child, next_child = np.empty(beam_size, np.int32), np.empty(beam_size, np.int32)
    child_tokens = np.empty(beam_size, np.int64)
    for t in range(first_frame, num_frames):
        if num_nodes + beam_size > len(parents):
            return t, size, num_nodes, log_scale
        blank_log_prob = np.float64(log_probs[t, BLANK])
        if blank_log_prob > skip_log_prob:
            log_scale += blank_log_prob
            for row in range(size):
                in_blank[row], in_token[row] = total[row], 0.0
            continue

        # A prefix stays by a blank, or by its last token going on; this is impossible at the root.
        # And what grows into another prefix of the beam is the same as that one.
        blank = math.exp(blank_log_prob)
        in_order = True
        previous = math.inf
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
            score = by_blank + by_token
            new_total[row] = score
            in_order &= max(NEGLIGIBLE, new_total[0] * least_share) < score <= previous
            previous = score

        # Tokens that can bring the best prefix at least to the last place of the beam.
        lowest = max(NEGLIGIBLE, new_total[:size].max() * least_share)
        if size == beam_size:
            lowest = max(lowest, new_total[:size].min())
        limit = max(token_min_log_prob, math.log(lowest / total[0]) - 1e-4)
        most = max_frame_tokens if max_frame_tokens > 0 else vocab_size
        num_candidates = find_candidates(log_probs, t, limit, most, candidates, candidate_probs)
        if num_candidates == 0 and blank_log_prob < token_min_log_prob:
            # The likeliest token is never pruned, or a narrow beam could end in nothing.
            highest = log_probs[t].max()
            if highest < token_min_log_prob:
                num_candidates = find_candidates(
                    log_probs, t, highest, most, candidates, candidate_probs
                )
        if num_candidates < 0 or not blank_log_prob < math.inf:
            return t, 0, num_nodes, log_scale
        if num_candidates == 0 and in_order:
            for row in range(size):
                in_blank[row], in_token[row] = new_in_blank[row], new_in_token[row]
                total[row] = new_total[row]
        else:
            count = 0
            for row in range(size):
                if new_total[row] > NEGLIGIBLE:
                    count = insert(scores, codes, count, new_total[row], row << 32)
                first_child[row], child_tokens[row] = -1, 0
            if num_candidates > 0:
                for row in range(size):
                    parent = parent_rows[row]
                    if parent >= 0:
                        next_child[row] = first_child[parent]
                        first_child[parent] = row
                        child_tokens[parent] |= 1 << (last[row] & 63)
                for row in range(size):
                    token = last[row]
                    score = in_blank[row] * probs[token]
                    if (
                        score > (scores[count - 1] if count == beam_size else NEGLIGIBLE)
                        and token != BLANK
                    ):
                        allowed = False
                        for index in range(num_candidates):
                            allowed |= candidates[index] == token
                        if allowed and not _has_child(
                            row, token, child_tokens, first_child, next_child, last
                        ):
                            count = insert(scores, codes, count, score, row << 32 | token)
            # Merge. The list of a candidate is begun when its best could be next.
            num_lists, place, taken = 0, 0, 0
            least = NEGLIGIBLE
            while place < beam_size:
                if place > 0:
                    least = max(NEGLIGIBLE, new_total[0] * least_share)
                best, best_list = least, -1
                for index in range(num_lists):
                    if heads[index] > best:
                        best, best_list = heads[index], index
                if num_lists < num_candidates and total[0] * candidate_probs[num_lists] > best:
                    best, best_list = total[0] * candidate_probs[num_lists], num_lists
                while place < beam_size and taken < count and scores[taken] >= best:
                    merged[place], new_total[place] = codes[taken], scores[taken]
                    place += 1
                    taken += 1
                if place == beam_size or best_list == -1:
                    break
                token, row = candidates[best_list], -1
                if best_list == num_lists:
                    num_lists += 1
                else:
                    row = list_rows[best_list]
                    merged[place], new_total[place] = row << 32 | token, best
                    place += 1
                row += 1
                while row < size and (
                    last[row] == token
                    or _has_child(row, token, child_tokens, first_child, next_child, last)
                ):
                    row += 1
                list_rows[best_list] = row
                heads[best_list] = total[row] * candidate_probs[best_list] if row < size else 0.0
            while place > 0 and new_total[place - 1] <= new_total[0] * least_share:
                place -= 1
            for row in range(size):
                rows[nodes[row]] = -1
            size = place
            for place in range(size):
                row, token = merged[place] >> 32, merged[place] & 0xFFFFFFFF
                node = nodes[row]
                if token == BLANK:
                    in_blank[place], in_token[place] = new_in_blank[row], new_in_token[row]
                else:
                    slot = _slot(table, parents, last_tokens, node, token)
                    if table[slot] == ROOT:
                        table[slot] = num_nodes
                        parents[num_nodes], last_tokens[num_nodes] = node, token
                        num_nodes += 1
                    node = table[slot]
                    in_blank[place], in_token[place] = 0.0, new_total[place]
                new_nodes[place] = node
                rows[node] = place
            for place in range(size):
                node = new_nodes[place]
                nodes[place], total[place] = node, new_total[place]
                last[place] = last_tokens[node]
                parent_rows[place] = rows[parents[node]] if node != ROOT else -1
        if size == 0 or not total[0] < math.inf:
            return t, 0, num_nodes, log_scale
        if total[0] < _RESCALE_BELOW:
            exponent = math.frexp(total[0])[1]
            scale = math.ldexp(1.0, -exponent)
            log_scale += exponent * math.log(2.0)
            for row in range(size):
                in_blank[row] *= scale
                in_token[row] *= scale
                total[row] *= scale
    return num_frames, size, num_nodes, log_scale


@compiled(inline=True)
def _has_child(row, token, child_tokens, first_child, next_child, last):  # type: ignore[no-untyped-def] # pragma: no cover
    """Whether the prefix of a row and a token after it are a prefix of the beam."""
    if child_tokens[row] >> (token & 63) & 1 == 0:
        return False
    child = first_child[row]
    while child >= 0 and last[child] != token:
        child = next_child[child]
    return child >= 0
