from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from asrkit.ctc.loss import ctc_nll
from asrkit.data.tokens import TokenTable
from asrkit.decode.beam import beam_search, search_prefixes
from asrkit.decode.greedy import greedy_search
from asrkit.decode.hypothesis import Hypothesis
from asrkit.decode.prefix_tree import ROOT, PrefixTree
from asrkit.decode.pruning import SearchLimits
from asrkit.errors import DataError

MakeTable = Callable[[int], TokenTable]

BLANK = 0


def random_log_probs(num_frames: int, vocab_size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(num_frames, vocab_size, generator=generator, dtype=torch.float64)
    return logits.log_softmax(-1)


def every_path(log_probs: Tensor) -> dict[tuple[int, ...], list[tuple[float, tuple[int, ...]]]]:
    """All paths with their log-probability, by the labelling to which they collapse."""
    paths = defaultdict(list)
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        labels = tuple(token for token, _ in groupby(path) if token != 0)
        score = math.fsum(float(log_probs[t, token]) for t, token in enumerate(path))
        paths[labels].append((score, path))
    return paths


@dataclass(frozen=True, slots=True)
class Beam:
    """K prefixes, best first, with the log-probability of their alignments by how those end."""

    nodes: list[int]
    in_blank: NDArray[np.float64]
    in_token: NDArray[np.float64]

    @property
    def log_probs(self) -> NDArray[np.float64]:
        """Log-probability of each prefix, shape (K,)."""
        total: NDArray[np.float64] = np.logaddexp(self.in_blank, self.in_token)
        return total


def _advance(
    beam: Beam,
    tree: PrefixTree,
    frame: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    limits: SearchLimits,
) -> Beam:
    """Account for one frame of log-probabilities, shape (V,), and keep the best prefixes."""
    num_prefixes, vocab_size = len(beam.nodes), len(frame)
    last = np.array([tree.last_tokens[node] for node in beam.nodes])
    total = beam.log_probs

    # The prefix stays what it is: by a blank, or by its last token going on (never at the root).
    in_blank = total + frame[BLANK]
    in_token = beam.in_token + frame[last]

    # It grows by a token, by its own last one only after a blank: (K, V).
    is_last = last[:, None] == np.arange(vocab_size)
    grown = np.where(is_last, beam.in_blank[:, None], total[:, None]) + frame

    # A prefix may grow into one that the beam holds already: these are one and the same.
    row_of = {node: row for row, node in enumerate(beam.nodes)}
    parents = np.array([row_of.get(tree.parents[node], -1) for node in beam.nodes])
    held = np.flatnonzero(parents >= 0)
    grown_to_held = (parents[held], last[held])
    in_token[held] = np.logaddexp(in_token[held], grown[grown_to_held])
    grown[grown_to_held] = -np.inf

    # The likeliest token is never pruned, or a low beam_size and a high limit could end the search.
    grown[:, frame < min(limits.token_min_log_prob, frame.max())] = -np.inf
    grown[:, ~allowed] = -np.inf
    grown[:, BLANK] = -np.inf

    scores = np.concatenate([np.logaddexp(in_blank, in_token), grown.ravel()])
    least = scores.max() - (limits.beam_threshold or np.inf)
    possible = np.flatnonzero(scores > least)
    kept = possible[np.argsort(-scores[possible], kind="stable")[: limits.beam_size]]
    stays = kept < num_prefixes
    rows = np.where(stays, kept, (kept - num_prefixes) // vocab_size)
    grown_by = (kept - num_prefixes) % vocab_size
    nodes = [
        beam.nodes[row] if stay else tree.child(beam.nodes[row], token)
        for row, token, stay in zip(rows.tolist(), grown_by.tolist(), stays.tolist(), strict=True)
    ]
    return Beam(
        nodes,
        in_blank=np.where(stays, in_blank[rows], -np.inf),
        in_token=np.where(stays, in_token[rows], scores[kept]),
    )


def literal_search(
    frames: NDArray[np.float64], limits: SearchLimits
) -> list[tuple[list[int], float]]:
    """Labellings of the beam and their log-probabilities, best first."""
    tree = PrefixTree()
    beam = Beam([ROOT], in_blank=np.zeros(1), in_token=np.full(1, -np.inf))
    for frame in frames:
        if frame[BLANK] > np.log(limits.blank_skip_prob):
            total = beam.log_probs
            beam = Beam(beam.nodes, total + frame[BLANK], np.full(len(total), -np.inf))
            continue
        allowed = np.full(len(frame), True)
        if limits.max_frame_tokens:
            likeliest = 1 + np.argsort(-frame[1:], kind="stable")[: limits.max_frame_tokens]
            allowed[:] = False
            allowed[likeliest] = True
        beam = _advance(beam, tree, frame, allowed, limits)
    found = zip([tree.labels(node) for node in beam.nodes], beam.log_probs.tolist(), strict=True)
    return sorted(found, key=lambda each: (-each[1], each[0]))


def labels_of(hypothesis: Hypothesis, tokens: TokenTable) -> tuple[int, ...]:
    return tuple(tokens.encode(hypothesis.text))


tiny = given(num_frames=st.integers(0, 5), vocab_size=st.integers(2, 4), seed=st.integers(0, 9999))


@settings(max_examples=60, deadline=None)
@tiny
def test_a_beam_that_holds_everything_equals_exhaustive_search(
    phone_table: MakeTable, num_frames: int, vocab_size: int, seed: int
) -> None:
    tokens = phone_table(vocab_size)
    log_probs = random_log_probs(num_frames, vocab_size, seed)
    exact = {
        labels: math.log(math.fsum(math.exp(score) for score, _ in paths))
        for labels, paths in every_path(log_probs).items()
    }
    found = beam_search(log_probs, tokens, 0.01, SearchLimits(1000), nbest=1000)
    scores = {labels_of(hypothesis, tokens): hypothesis.log_prob for hypothesis in found}
    assert len(scores) == len(found)
    assert scores == pytest.approx(exact, abs=1e-10)
    in_order = [hypothesis.log_prob for hypothesis in found]
    assert in_order == sorted(in_order, reverse=True)
    assert found[:3] == beam_search(log_probs, tokens, 0.01, SearchLimits(1000), nbest=3)


@settings(max_examples=30, deadline=None)
@tiny
def test_times_and_probabilities_are_those_of_the_best_alignment(
    phone_table: MakeTable, num_frames: int, vocab_size: int, seed: int
) -> None:
    tokens = phone_table(vocab_size)
    log_probs = random_log_probs(num_frames, vocab_size, seed)
    paths = every_path(log_probs)
    for hypothesis in beam_search(log_probs, tokens, 1.0, SearchLimits(1000), nbest=5):
        _, best = max(paths[labels_of(hypothesis, tokens)])
        expected = [token for token, _ in groupby(range(num_frames), key=lambda t: best[t])]
        assert len(hypothesis.tokens) == sum(token != 0 for token in expected)
        for token in hypothesis.tokens:
            frames = range(round(token.start_s), round(token.end_s))
            (token_id,) = tokens.encode(token.token)
            assert {best[frame] for frame in frames} == {token_id}
            peak = max(float(log_probs[frame, token_id].exp()) for frame in frames)
            assert token.probability == pytest.approx(peak)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 9999),
    beam_size=st.integers(1, 20),
    token_min_log_prob=st.sampled_from([-math.inf, -4.0, -1.0, -0.01]),
)
def test_pruning_only_ever_loses_probability(
    phone_table: MakeTable, seed: int, beam_size: int, token_min_log_prob: float
) -> None:
    tokens = phone_table(6)
    log_probs = random_log_probs(30, 6, seed)
    found = beam_search(
        log_probs, tokens, 0.01, SearchLimits(beam_size, token_min_log_prob), nbest=beam_size
    )
    assert 1 <= len(found) <= beam_size
    assert len({hypothesis.text for hypothesis in found}) == len(found)
    for hypothesis in found:
        labels = torch.tensor([labels_of(hypothesis, tokens)], dtype=torch.int64)
        nll = ctc_nll(log_probs[None], torch.tensor([30]), labels, torch.tensor([labels.numel()]))
        assert hypothesis.log_prob <= -float(nll) + 1e-9


def test_finds_the_labelling_that_greedy_search_misses(chars: TokenTable) -> None:
    # The best path is all blank (0.36), but "a" has three paths with 0.64 together.
    log_probs = torch.tensor([[0.6, 0.0, 0.4, 0.0, 0.0]] * 2).log()
    best, second = beam_search(log_probs, chars, 0.01, SearchLimits(8, -12.0), nbest=2)
    assert (best.text, math.exp(best.log_prob)) == ("a", pytest.approx(0.64))
    assert (second.text, math.exp(second.log_prob)) == ("", pytest.approx(0.36))
    assert greedy_search(log_probs, chars, 0.01).text == ""


def test_a_repeated_token_needs_a_blank_between(chars: TokenTable) -> None:
    certain = torch.eye(5).log()
    assert beam_search(certain[[2, 2, 2]], chars, 0.01, SearchLimits(4, -12.0))[0].text == "a"
    assert beam_search(certain[[2, 0, 2]], chars, 0.01, SearchLimits(4, -12.0))[0].text == "aa"


def test_a_prefix_that_left_the_beam_and_comes_back_is_still_the_same() -> None:
    tree = PrefixTree()
    first = tree.child(tree.child(0, 3), 1)
    assert tree.child(tree.child(0, 3), 1) == first
    assert tree.child(tree.child(0, 1), 3) != first
    assert tree.labels(first) == [3, 1]
    assert tree.labels(0) == []


def test_no_frames_give_the_empty_hypothesis(chars: TokenTable) -> None:
    (hypothesis,) = beam_search(torch.zeros(0, 5), chars, 0.01, SearchLimits(8, -12.0), nbest=5)
    assert (hypothesis.text, hypothesis.tokens, hypothesis.log_prob) == ("", (), 0.0)


def test_equally_likely_labellings_come_lowest_token_ids_first(chars: TokenTable) -> None:
    uniform = torch.full((1, 5), 0.2).log()
    found = beam_search(uniform, chars, 0.01, SearchLimits(8, -12.0), nbest=8)
    emitted = ["".join(token.token for token in hypothesis.tokens) for hypothesis in found]
    assert emitted == ["", " ", "a", "b", "c"]
    narrow = beam_search(uniform, chars, 0.01, SearchLimits(3, -12.0), nbest=8)
    assert narrow == found[:3]


def test_ties_for_the_last_place_of_the_beam_go_to_the_lowest_token_id(
    phone_table: MakeTable,
) -> None:
    weights = torch.tensor([1.0, 2.0]).repeat(31)  # tokens of odd id are the likelier ones
    found = beam_search(
        (weights / weights.sum()).log()[None],
        phone_table(62),
        0.01,
        SearchLimits(40, -12.0),
        nbest=40,
    )
    odd = [f"p{token_id:02}" for token_id in range(1, 62, 2)]
    even = [f"p{token_id:02}" for token_id in range(2, 17, 2)]
    assert [hypothesis.text for hypothesis in found] == [*odd, "", *even]


def test_tokens_below_the_limit_do_not_extend_a_prefix(chars: TokenTable) -> None:
    log_probs = torch.tensor([[0.5, 0.0, 0.3, 0.15, 0.05]]).log()
    found = beam_search(log_probs, chars, 0.01, SearchLimits(8, math.log(0.1)), nbest=8)
    assert [hypothesis.text for hypothesis in found] == ["", "a", "b"]


def test_the_likeliest_token_extends_a_prefix_even_below_the_limit(chars: TokenTable) -> None:
    log_probs = torch.tensor([[0.0, 0.0, 0.4, 0.35, 0.25]] * 3).log()
    found = beam_search(log_probs, chars, 0.01, SearchLimits(8, -0.01), nbest=8)
    assert [hypothesis.text for hypothesis in found] == ["a"]


def test_the_search_is_deterministic(phone_table: MakeTable) -> None:
    log_probs = random_log_probs(60, 20, seed=5).float()
    results = [
        beam_search(log_probs, phone_table(20), 0.01, SearchLimits(10, -12.0), 10) for _ in range(2)
    ]
    assert results[0] == results[1]


def test_a_wide_beam_is_fast_enough(phone_table: MakeTable) -> None:
    from time import perf_counter

    log_probs = random_log_probs(400, 62, seed=1)
    started = perf_counter()
    beam_search(log_probs, phone_table(62), 0.01, SearchLimits(100, -12.0), nbest=10)
    assert perf_counter() - started < 10  # about 0.2 s on a desktop; leave room for slow machines


@settings(max_examples=80, deadline=None)
@given(
    num_frames=st.integers(0, 40),
    vocab_size=st.integers(2, 70),
    seed=st.integers(0, 9999),
    peak=st.sampled_from([0.0, 4.0, 9.0]),
    limits=st.builds(
        SearchLimits,
        beam_size=st.integers(1, 25),
        token_min_log_prob=st.sampled_from([-math.inf, -12.0, -4.0, -0.5]),
        max_frame_tokens=st.sampled_from([0, 1, 3]),
        blank_skip_prob=st.sampled_from([1.0, 0.9, 0.5]),
        beam_threshold=st.sampled_from([0.0, 0.1, 1.0, 4.0]),
    ),
)
def test_it_equals_the_search_as_it_is_written_down(
    num_frames: int, vocab_size: int, seed: int, peak: float, limits: SearchLimits
) -> None:
    frames = random_log_probs(num_frames, vocab_size, seed).numpy()
    generator = np.random.default_rng(seed)
    peaks = np.where(generator.random(num_frames) < 0.7, 0, generator.integers(vocab_size))
    frames[np.arange(num_frames), peaks] += peak
    frames -= np.logaddexp.reduce(frames, axis=1, keepdims=True)
    found = search_prefixes(frames, limits, nbest=limits.beam_size)
    expected = literal_search(frames, limits)
    assert [labels.tolist() for labels, _ in found] == [labels for labels, _ in expected]
    assert [p for _, p in found] == pytest.approx([p for _, p in expected], abs=1e-9)


def test_a_wider_beam_finds_no_less_until_it_holds_everything() -> None:
    frames = random_log_probs(6, 4, seed=4).numpy()
    best = [search_prefixes(frames, SearchLimits(size))[0][1] for size in (1, 2, 4, 8, 64, 4000)]
    exact = max(
        math.log(math.fsum(math.exp(score) for score, _ in paths))
        for paths in every_path(torch.from_numpy(frames)).values()
    )
    assert best == sorted(best)
    assert best[-1] == pytest.approx(exact)


def test_a_skipped_run_of_frames_still_separates_equal_tokens(chars: TokenTable) -> None:
    blank = [0.96, 0.01, 0.01, 0.01, 0.01]
    peak = [0.04, 0.01, 0.93, 0.01, 0.01]
    log_probs = torch.tensor([peak, blank, blank, peak]).log()
    skipping = beam_search(log_probs, chars, 0.01, SearchLimits(8, -12.0, blank_skip_prob=0.95))
    assert skipping[0].text == "aa"
    assert (
        skipping[0].log_prob
        < beam_search(log_probs, chars, 0.01, SearchLimits(8, -12.0))[0].log_prob
    )


def test_only_the_likeliest_tokens_of_a_frame_extend_a_prefix(chars: TokenTable) -> None:
    log_probs = torch.tensor([[0.5, 0.02, 0.3, 0.15, 0.03]]).log()
    found = beam_search(log_probs, chars, 0.01, SearchLimits(8, -12.0, max_frame_tokens=2), nbest=8)
    assert [hypothesis.text for hypothesis in found] == ["", "a", "b"]


def test_single_precision_is_searched_as_it_is() -> None:
    single = random_log_probs(50, 12, seed=2).float()
    in_double = search_prefixes(single.double().numpy(), SearchLimits(10, -12.0), nbest=10)
    for (labels, log_prob), (expected, of_it) in zip(
        search_prefixes(single.numpy(), SearchLimits(10, -12.0), nbest=10), in_double, strict=True
    ):
        assert labels.tolist() == expected.tolist()
        assert log_prob == pytest.approx(of_it, abs=1e-12)


def test_many_frames_neither_underflow_nor_forget(chars: TokenTable) -> None:
    frames = random_log_probs(40, 5, seed=1).repeat(100, 1)  # likelihood below e^-1000
    (hypothesis,) = beam_search(frames, chars, 0.01, SearchLimits(4, -12.0))
    labels = torch.tensor(
        search_prefixes(frames.numpy(), SearchLimits(4, -12.0))[0][0], dtype=torch.int64
    )
    lens = torch.tensor([4000]), labels[None], torch.tensor([len(labels)])
    assert len(hypothesis.tokens) == len(labels) > 1000
    assert -math.inf < hypothesis.log_prob <= -float(ctc_nll(frames[None], *lens)) + 1e-6
    assert hypothesis.log_prob < -1000
    assert 39 < hypothesis.tokens[-1].end_s <= 40


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_log_probability_is_an_error(bad: float, chars: TokenTable) -> None:
    log_probs = random_log_probs(9, 5, seed=0)
    log_probs[4, 2] = bad
    with pytest.raises(DataError, match="not finite"):
        beam_search(log_probs, chars, 0.01, SearchLimits(4, -12.0))


def test_a_frame_in_which_nothing_is_possible_is_an_error(chars: TokenTable) -> None:
    with pytest.raises(DataError, match="not finite"):
        beam_search(torch.full((3, 5), -math.inf), chars, 0.01, SearchLimits(4, -12.0))


def test_the_smallest_vocabulary(phone_table: MakeTable) -> None:
    log_probs = torch.tensor([[0.3, 0.7]] * 3).log()
    found = beam_search(log_probs, phone_table(2), 0.01, SearchLimits(4, -12.0), nbest=4)
    assert [hypothesis.text for hypothesis in found] == ["p01", "p01 p01", ""]
    assert math.fsum(math.exp(h.log_prob) for h in found) == pytest.approx(1.0)
