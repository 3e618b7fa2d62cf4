"""The searches of a transducer, against enumeration of all its paths."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asrkit.data.tokens import TokenTable
from asrkit.decode import transducer, transducer_beam
from asrkit.decode.search import decode_transducer_batch
from asrkit.decode.transducer import align_labels, greedy_transducer_search
from asrkit.decode.transducer_beam import beam_transducer_search
from asrkit.errors import DataError
from asrkit.settings import DecodeSettings

TOKENS = TokenTable(("<blank>", "a", "b"), "char")
WIDTH = 6
GREEDY = DecodeSettings(method="greedy")
BEAM = DecodeSettings(method="beam", beam_size=6, token_min_log_prob=-5.0)
seeds = st.integers(0, 10_000)


class RandomTransducer:
    """A small recurrent network in float64 with random weights; counts what it is asked."""

    def __init__(self, seed: int, blank_bias: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.recurrent, self.inputs = draw(WIDTH, WIDTH), draw(len(TOKENS), WIDTH)
        self.output = 2.0 * draw(WIDTH, len(TOKENS))
        self.bias = torch.tensor([blank_bias, 0.0, 0.0], dtype=torch.float64)
        self.frames = draw(40, WIDTH)
        self.num_extended = 0
        self.known: dict[tuple[int, tuple[int, ...]], list[float]] = {}

    def begin(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        zero = torch.zeros(1, WIDTH, dtype=torch.float64)
        return zero, (zero,)

    def extend(
        self, state: tuple[Tensor, ...], labels: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        self.num_extended += len(labels)
        (hidden,) = state
        hidden = torch.tanh(hidden @ self.recurrent + self.inputs[labels])
        return hidden, (hidden,)

    def join(self, frames: Tensor, heard: Tensor) -> Tensor:
        return (torch.tanh(frames + heard) @ self.output + self.bias).log_softmax(dim=-1)

    def next_log_probs(self, frame: int, prefix: Sequence[int]) -> list[float]:
        """After a prefix that is read from its start."""
        key = (frame, tuple(prefix))
        if key not in self.known:
            heard, state = self.begin()
            for label in prefix:
                heard, state = self.extend(state, torch.tensor([label]))
            self.known[key] = self.join(self.frames[frame], heard)[0].tolist()
        return self.known[key]


def paths(
    model: RandomTransducer, num_frames: int, most: int, vocab_size: int
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], float]]:
    """All paths of at most so many labels a frame: labels, their frames, log-probability."""
    for counts in itertools.product(range(most + 1), repeat=num_frames):
        for labels in itertools.product(range(1, vocab_size), repeat=sum(counts)):
            log_prob, done, emitted_in = 0.0, 0, []
            for frame, count in enumerate(counts):
                for label in labels[done : done + count]:
                    log_prob += model.next_log_probs(frame, labels[:done])[label]
                    emitted_in.append(frame)
                    done += 1
                log_prob += model.next_log_probs(frame, labels[:done])[0]
            yield labels, tuple(emitted_in), log_prob


def log_likelihood(model: RandomTransducer, labels: Sequence[int], num_frames: int) -> float:
    """Sum over all alignments by the forward recursion, any number of labels a frame."""
    alpha: dict[tuple[int, int], float] = {(0, 0): 1.0}
    for t in range(num_frames):
        for u in range(len(labels) + 1):
            mass = alpha.get((t, u), 0.0)
            log_probs = model.next_log_probs(t, labels[:u])
            alpha[t + 1, u] = alpha.get((t + 1, u), 0.0) + mass * math.exp(log_probs[0])
            if u < len(labels):
                grown = mass * math.exp(log_probs[labels[u]])
                alpha[t, u + 1] = alpha.get((t, u + 1), 0.0) + grown
    return math.log(alpha[num_frames, len(labels)])


@pytest.fixture
def two_labels_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (transducer, transducer_beam):
        monkeypatch.setattr(module, "MAX_LABELS_PER_FRAME", 2)


# --- beam


@pytest.mark.usefixtures("two_labels_a_frame")
@pytest.mark.parametrize("seed", range(5))
def test_a_large_beam_finds_every_labelling_with_its_exact_probability(seed: int) -> None:
    model, num_frames = RandomTransducer(seed), 3
    expected: dict[tuple[int, ...], float] = defaultdict(float)
    for labels, _, log_prob in paths(model, num_frames, most=2, vocab_size=len(TOKENS)):
        expected[labels] += math.exp(log_prob)
    hypotheses = beam_transducer_search(
        model.frames[:num_frames], model, TOKENS, 1.0, 1000, -math.inf, nbest=1000
    )
    assert len(hypotheses) == len(expected) == 2**7 - 1
    for hypothesis in hypotheses:
        labels = tuple(TOKENS.encode(hypothesis.text))
        assert hypothesis.log_prob == pytest.approx(math.log(expected[labels]), abs=1e-9)
    log_probs = [hypothesis.log_prob for hypothesis in hypotheses]
    assert log_probs == sorted(log_probs, reverse=True)


@pytest.mark.parametrize("seed", range(8))
def test_a_beam_of_a_hundred_finds_the_best_labelling_of_all(seed: int) -> None:
    model = RandomTransducer(seed, blank_bias=3.0)
    best = max(
        (labels for length in range(6) for labels in itertools.product((1, 2), repeat=length)),
        key=lambda labels: log_likelihood(model, labels, 3),
    )
    (found,) = beam_transducer_search(model.frames[:3], model, TOKENS, 1.0, 100, -math.inf)
    labels = TOKENS.encode(found.text)
    exact = log_likelihood(model, labels, 3)
    assert found.log_prob == pytest.approx(exact, abs=1e-4)
    assert exact >= log_likelihood(model, best, 3) - 1e-9


@settings(max_examples=25, deadline=None)
@given(seed=seeds, beam_size=st.integers(1, 6), num_frames=st.integers(0, 6))
def test_a_small_beam_never_claims_more_than_the_exact_probability(
    seed: int, beam_size: int, num_frames: int
) -> None:
    model = RandomTransducer(seed)
    frames = model.frames[:num_frames]
    found = beam_transducer_search(frames, model, TOKENS, 1.0, beam_size, -12.0, nbest=beam_size)
    assert 1 <= len(found) <= beam_size
    assert len({hypothesis.text for hypothesis in found}) == len(found)
    for hypothesis in found:
        exact = log_likelihood(model, TOKENS.encode(hypothesis.text), num_frames)
        assert hypothesis.log_prob <= exact + 1e-9


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_forgotten_prefixes_change_nothing(seed: int) -> None:
    """Twenty frames of a small beam meet far more prefixes than are remembered at once."""
    found, asked = [], []
    for factor in (1, 1000):
        model = RandomTransducer(seed)
        with pytest.MonkeyPatch.context() as patch:
            if factor > 1:
                patch.setattr(transducer_beam.Predictions, "make_room", lambda _self, _nodes: None)
                patch.setattr(transducer_beam, "CAPACITY_IN_FRAMES", 1000)
            found.append(beam_transducer_search(model.frames[:20], model, TOKENS, 1.0, 3, -12.0))
        asked.append(model.num_extended)
    assert found[0][0].text == found[1][0].text
    assert found[0][0].log_prob == pytest.approx(found[1][0].log_prob, abs=1e-9)
    assert asked[1] <= asked[0]


def test_labels_below_the_limit_are_not_considered() -> None:
    model = RandomTransducer(0)
    (found,) = beam_transducer_search(model.frames[:5], model, TOKENS, 1.0, 10, -1e-9)
    assert found.text == ""
    assert found.log_prob == pytest.approx(log_likelihood(model, [], 5))


def test_a_model_that_never_ends_a_frame_is_made_to() -> None:
    model = RandomTransducer(0)
    model.bias[1] = 1000.0  # "a", whatever comes
    greedy = greedy_transducer_search(model.frames[:4], model, TOKENS, 1.0)
    assert greedy.text == "a" * 4 * transducer.MAX_LABELS_PER_FRAME
    (found,) = beam_transducer_search(model.frames[:4], model, TOKENS, 1.0, 3, -math.inf)
    assert len(found.text) <= 4 * transducer.MAX_LABELS_PER_FRAME


# --- best path


def test_greedy_takes_the_likeliest_token_step_by_step() -> None:
    num_tokens = 0
    for seed in range(10):
        model = RandomTransducer(seed)
        labels: list[int] = []
        emitted_in: list[int] = []
        log_prob, probabilities = 0.0, []
        for frame in range(12):
            for number in itertools.count():
                log_probs = model.next_log_probs(frame, labels)
                best = log_probs.index(max(log_probs))
                if number == transducer.MAX_LABELS_PER_FRAME:
                    best = 0
                log_prob += log_probs[best]
                if best == 0:
                    break
                labels.append(best)
                emitted_in.append(frame)
                probabilities.append(math.exp(log_probs[best]))
        found = greedy_transducer_search(model.frames[:12], model, TOKENS, 0.5)
        num_tokens += len(labels)
        assert found.text == TOKENS.decode(labels)
        assert found.log_prob == pytest.approx(log_prob)
        assert [token.start_s for token in found.tokens] == [0.5 * t for t in emitted_in]
        assert [token.end_s for token in found.tokens] == [0.5 * t + 0.5 for t in emitted_in]
        assert [token.probability for token in found.tokens] == pytest.approx(probabilities)
    assert num_tokens > 20


@pytest.mark.parametrize("joined_at_once", [1, 1 << 14])
@pytest.mark.parametrize("seed", range(4))
def test_times_are_those_of_the_best_alignment(
    monkeypatch: pytest.MonkeyPatch, seed: int, joined_at_once: int
) -> None:
    monkeypatch.setattr(transducer, "_MAX_JOINED", joined_at_once)
    model, num_frames = RandomTransducer(seed), 3
    best: dict[tuple[int, ...], tuple[float, tuple[int, ...]]] = {}
    for labels, emitted_in, log_prob in paths(model, num_frames, most=3, vocab_size=2):
        if len(labels) <= 3 and log_prob > best.get(labels, (-math.inf,))[0]:
            best[labels] = (log_prob, emitted_in)
    assert {len(labels) for labels in best} == {0, 1, 2, 3}
    for labels, (_, emitted_in) in best.items():
        frames = model.frames[:num_frames]
        found = align_labels(labels, -1.5, frames, model, TOKENS, 2.0)
        assert found.log_prob == -1.5
        assert [token.start_s for token in found.tokens] == [2.0 * t for t in emitted_in]
        for number, (token, t) in enumerate(zip(found.tokens, emitted_in, strict=True)):
            log_probs = model.next_log_probs(t, labels[:number])
            assert token.probability == pytest.approx(math.exp(log_probs[labels[number]]))


@pytest.mark.parametrize("settings", [GREEDY, BEAM], ids=["greedy", "beam"])
@pytest.mark.parametrize("rubbish", [0.0, 1e9, math.nan])
def test_neither_padding_nor_neighbours_change_a_hypothesis(
    settings: DecodeSettings, rubbish: float
) -> None:
    model, lens = RandomTransducer(3, blank_bias=2.0), torch.tensor([12, 0, 7])
    frames = torch.stack([model.frames[start : start + 12] for start in (0, 12, 24)])
    for n, length in enumerate(lens.tolist()):
        frames[n, length:] = rubbish
    together = decode_transducer_batch(frames, lens, model, TOKENS, 0.01, settings)
    for n, length in enumerate(lens.tolist()):
        arguments = (frames[n, None, :length], lens[n, None], model, TOKENS, 0.01)
        assert decode_transducer_batch(*arguments, settings) == [together[n]]
    assert together[1].text == ""
    assert together[0].text != together[2].text != ""


def test_the_settings_choose_the_search() -> None:
    model, lens = RandomTransducer(3, blank_bias=2.0), torch.tensor([12])
    frames = model.frames[:12]
    (greedy,) = decode_transducer_batch(frames[None], lens, model, TOKENS, 0.01, GREEDY)
    assert greedy == greedy_transducer_search(frames, model, TOKENS, 0.01)
    (beam,) = decode_transducer_batch(frames[None], lens, model, TOKENS, 0.01, BEAM)
    assert [beam] == beam_transducer_search(frames, model, TOKENS, 0.01, 6, -5.0)
    assert beam.log_prob > greedy.log_prob
    for change in ({"beam_size": 1}, {"token_min_log_prob": -0.5}):
        settings = BEAM.model_copy(update=change)
        (changed,) = decode_transducer_batch(frames[None], lens, model, TOKENS, 0.01, settings)
        assert changed != beam


@pytest.mark.parametrize("settings", [GREEDY, BEAM], ids=["greedy", "beam"])
def test_damage_is_an_error(settings: DecodeSettings) -> None:
    model, lens = RandomTransducer(3), torch.tensor([12, 12])
    frames = model.frames[:24].view(2, 12, WIDTH).clone()
    frames[1, 4, 2] = math.nan
    with pytest.raises(DataError, match="utterance 1 of the batch is not finite"):
        decode_transducer_batch(frames, lens, model, TOKENS, 0.01, settings)
    model.inputs[:] = math.nan  # weights that only labels bring in
    with pytest.raises(DataError, match="output is not finite"):
        decode_transducer_batch(model.frames[None, :12], lens[:1], model, TOKENS, 0.01, settings)


def test_no_frames_give_the_empty_hypothesis() -> None:
    model = RandomTransducer(0)
    (beam,) = beam_transducer_search(model.frames[:0], model, TOKENS, 1.0, 4, -12.0)
    greedy = greedy_transducer_search(model.frames[:0], model, TOKENS, 1.0)
    assert beam.text == greedy.text == ""
    assert beam.log_prob == greedy.log_prob == 0.0
