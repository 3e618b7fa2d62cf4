"""Every task: what its sequences are, that they repeat, and that only the right answer passes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from asrkit.lab.tasks.catalogue import make_task
from asrkit.lab.tasks.reber import SYMBOLS, all_foreseen, draw_string, encode_sets
from asrkit.lab.tasks.task import Sequences, Task
from asrkit.lab_settings import TaskSettings

SETTINGS = {
    "reber": {},
    "continual_reber": {"piece_frames": 20, "stream_pieces": 3, "error_free_symbols": 1000},
    "long_lag": {"lag": 30},
    "adding": {"length": 40},
    "temporal_order": {},
    "counting": {"num_letters": 3, "trained_n": 4, "tested_n": 6},
    "spike_delays": {"period": 5, "max_delay": 2, "trained_spikes": 4, "tested_spikes": 6},
    "timed_spikes": {"period": 5, "max_delay": 2, "trained_spikes": 4, "tested_spikes": 6},
}


def make(name: str, **more: object) -> Task:
    values = {"name": name, **SETTINGS[name], **more}
    return make_task(TypeAdapter(TaskSettings).validate_python(values))


def draw(task: Task, batch_size: int = 8, seed: int = 1) -> Sequences:
    return next(task.draw(batch_size, torch.Generator().manual_seed(seed)))


def text(one_hot: Tensor, symbols: str) -> str:
    return "".join(symbols[int(i)] for i in one_hot.argmax(-1))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_batch_has_the_shapes_that_the_network_is_made_for(name: str) -> None:
    task = make(name)
    batch = draw(task)
    num_frames = len(batch.inputs)
    assert batch.inputs.shape == (num_frames, 8, task.num_inputs)
    assert batch.weights.shape == (num_frames, 8)
    assert float(batch.weights.sum()) == pytest.approx(1.0)
    outputs = torch.zeros(num_frames, 8, task.num_outputs)
    assert task.frame_losses(outputs, batch.targets).shape == (num_frames, 8)
    assert torch.isfinite(task.loss(outputs, batch))
    assert num_frames < 3 * task.mean_frames + 20


@pytest.mark.parametrize("name", SETTINGS)
def test_batches_are_a_function_of_the_generator(name: str) -> None:
    def first_two(seed: int) -> list[Sequences]:
        batches = make(name).draw(4, torch.Generator().manual_seed(seed))
        return [next(batches), next(batches)]

    for one, other in zip(first_two(7), first_two(7), strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.targets, other.targets)
    first, second = first_two(7)
    # Strings of the grammars may coincide; two batches do not.
    assert first.inputs.shape != second.inputs.shape or not torch.equal(first.inputs, second.inputs)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_frame_keeps_its_share_of_the_loss(name: str) -> None:
    task = make(name)
    batch = draw(task)
    outputs = torch.randn(len(batch.inputs), 8, task.num_outputs)
    parts = [task.loss(outputs[t : t + 1], batch.frame(t)) for t in range(len(outputs))]
    assert float(sum(parts)) == pytest.approx(float(task.loss(outputs, batch)), rel=1e-5)


def answer(task: Task, solve: Callable[[Tensor], Tensor]) -> float:
    """Share of test sequences that are wrong if `solve` maps inputs to outputs."""
    return task.test(lambda inputs, _: (solve(inputs), ()), torch.Generator().manual_seed(3)).error


@pytest.mark.parametrize("name", SETTINGS)
def test_a_network_that_says_nothing_fails(name: str) -> None:
    task = make(name)
    error = answer(task, lambda inputs: torch.zeros(*inputs.shape[:2], task.num_outputs))
    assert error > 0.3


# --- the grammars


def test_strings_are_of_the_grammar() -> None:
    generator = torch.Generator().manual_seed(1)
    strings = {draw_string(generator)[0] for _ in range(300)}
    assert {"BTBTXSETE", "BPBPVVEPE"} <= strings
    for string in strings:
        assert string[1] == string[-2]
        assert string[1] in "TP"
        assert string[2] == "B"
        assert string[-3:] in ("ETE", "EPE")
        assert min(len(s) for s in strings) == 9


def test_what_comes_is_possible_and_the_memory_is_needed_once() -> None:
    generator = torch.Generator().manual_seed(2)
    for _ in range(50):
        string, possible = draw_string(generator)
        assert len(string) == len(possible)
        assert all(symbol in each for symbol, each in zip(string, possible, strict=True))
        assert [len(each) for each in possible[-3:]] == [1, 1, 1]


def test_all_that_is_possible_must_come_before_all_that_is_not() -> None:
    possible = encode_sets(["TP"])[:, None]
    outputs = torch.zeros(1, 1, 7)
    outputs[..., SYMBOLS.index("T")] = 2.0
    assert not all_foreseen(outputs, possible)
    outputs[..., SYMBOLS.index("P")] = 1.0
    assert all_foreseen(outputs, possible)
    outputs[..., SYMBOLS.index("E")] = 1.5
    assert not all_foreseen(outputs, possible)


def test_a_stream_goes_on_from_piece_to_piece_and_begins_anew() -> None:
    task = make("continual_reber")
    batches = task.draw(2, torch.Generator().manual_seed(1))
    pieces = [next(batches) for _ in range(7)]
    assert [piece.goes_on for piece in pieces] == [False, True, True] * 2 + [False]
    symbols = "".join(text(piece.inputs[:, 0], SYMBOLS) for piece in pieces[:3])
    assert symbols.startswith("B")
    assert "EB" in symbols
    assert len(symbols) == 60
    for piece, following in pairwise(pieces[:3]):
        assert torch.equal(piece.targets[-1], following.inputs[0].argmax(-1))
    assert sum(piece.count for piece in pieces[:3]) > 2


def test_a_stream_is_read_to_its_first_error() -> None:
    task = make("continual_reber")
    # Everything foreseen is right only where everything is possible, which it never is.
    score = task.test(lambda inputs, _: (inputs, ()), torch.Generator().manual_seed(1))
    assert score.error == 1.0
    assert "to the first error" in score.text


# --- recalling


@pytest.mark.parametrize("random", [True, False])
def test_the_first_symbol_is_asked_for_after_the_lag(random: bool) -> None:
    task = make("long_lag", random=random, num_distractors=5)
    batch = draw(task, 64)
    numbers = batch.inputs.argmax(-1)
    assert set(numbers[0].tolist()) == {0, 1}
    assert (numbers[-1] == 2).all()
    assert set(numbers[1:-1].flatten().tolist()) == {3, 4, 5, 6, 7}
    assert 30 <= len(numbers) - 2 <= 33
    assert torch.equal(batch.targets[-1], numbers[0])
    assert float(batch.weights[:-1].sum()) == 0.0
    assert random or (numbers[1:-1] == numbers[1:-1, :1]).all()


def test_recalling_the_first_symbol_passes() -> None:
    assert answer(make("long_lag"), lambda x: x[:1, :, :2].expand(len(x), -1, -1)) == 0.0


def test_the_sum_of_the_marked_numbers_passes() -> None:
    task = make("adding")
    batch = draw(task, 200)
    marks = batch.inputs[..., 1]
    assert ((marks == 1).sum(0) == 2).all()
    assert (marks[[0, -1]] == -1).all()
    assert (marks[1:10] == 1).any(0).all()
    assert not (marks[20:] == 1).any()

    def add(x: Tensor) -> Tensor:
        total = (x[..., 0] * (x[..., 1] == 1)).sum(0)
        return (0.5 + total / 4).expand(len(x), -1)[..., None]

    assert answer(task, add) == 0.0
    assert answer(task, lambda x: add(x) + 0.05) == 1.0


@pytest.mark.parametrize("num_relevant", [2, 3])
def test_the_order_of_the_relevant_symbols_passes(num_relevant: int) -> None:
    task = make("temporal_order", num_relevant=num_relevant)

    def classify(x: Tensor) -> Tensor:
        numbers = x.argmax(-1)
        outputs = torch.zeros(*x.shape[:2], task.num_outputs)
        for n, sequence in enumerate(numbers.T.tolist()):
            relevant = [s - 2 for s in sequence if s in (2, 3)]
            assert len(relevant) == num_relevant
            outputs[:, n, int("".join(map(str, relevant)), 2)] = 1.0
        return outputs

    assert answer(task, classify) == 0.0


# --- counting


def test_the_sets_of_a_counting_language() -> None:
    task = make("counting")
    inputs, targets = task.string(2)
    assert text(inputs, "STabc") == "Saabbcc"
    sets = ["".join(s for s, on in zip("STabc", row, strict=True) if on) for row in targets]
    assert sets == ["a", "ab", "ab", "b", "c", "c", "T"]


def test_right_sets_pass_and_are_counted_from_one() -> None:
    task = make("counting")

    def solve(x: Tensor) -> Tensor:
        outputs = torch.full((*x.shape[:2], task.num_outputs), -1.0)
        for n in range(1, 7):
            _, targets = task.string(n)
            outputs[: len(targets), n - 1] = 2 * targets - 1
        return outputs

    assert answer(task, solve) == 0.0
    score = task.test(
        lambda x, _: (solve(x) * (torch.arange(6) != 3)[:, None], ()), torch.Generator()
    )
    assert score.text == "right up to n = 3"
    assert score.error == pytest.approx(1 / 6)


# --- spikes


def test_delays_are_told_at_the_spikes() -> None:
    task = make("spike_delays")
    batch = draw(task)
    for n in range(8):
        times = [-1, *batch.inputs[:, n, 0].nonzero()[:, 0].tolist()]
        delays = [b - a - 5 for a, b in pairwise(times)]
        assert len(delays) == 4
        assert set(delays) <= {0, 1, 2}
        assert batch.targets[times[1:], n, 0].tolist() == delays
        assert set(batch.weights[:, n].nonzero()[:, 0].tolist()) == set(times[1:])


def test_measured_delays_pass() -> None:
    def measure(x: Tensor) -> Tensor:
        outputs = torch.zeros_like(x)
        for n in range(x.shape[1]):
            before = -1
            for t in x[:, n, 0].nonzero()[:, 0].tolist():
                outputs[t, n, 0] = t - before - 5
                before = t
        return outputs

    task = make("spike_delays")
    assert answer(task, measure) == 0.0
    assert answer(task, lambda x: measure(x) + 0.6) == 1.0


def test_spikes_are_due_as_the_input_says() -> None:
    batches = make("timed_spikes").draw(8, torch.Generator().manual_seed(1))
    numbers = set()
    for _ in range(12):
        batch = next(batches)
        for n in range(8):
            due = [0, *batch.targets[:, n, 0].nonzero()[:, 0].tolist()]
            said = [round(float(batch.inputs[t, n, 0]) * 2) for t in due[:-1]]
            assert [b - a for a, b in pairwise(due)] == [5 + s for s in said]
            assert batch.weights[:, n].nonzero()[:, 0].tolist() == list(range(due[-1] + 1))
            numbers.add(len(said))
    assert numbers == {1, 2, 3, 4}


def test_spikes_in_time_pass() -> None:
    def generate(x: Tensor) -> Tensor:
        outputs = torch.full_like(x, -1.0)
        for n in range(x.shape[1]):
            t = 0
            while t < len(x):
                t += 5 + round(float(x[t, n, 0]) * 2)
                if t < len(x):
                    outputs[t, n] = 1.0
        return outputs

    task = make("timed_spikes")
    assert answer(task, generate) == 0.0
    assert answer(task, lambda x: generate(x).roll(1, 0)) == 1.0


def test_without_delays_there_is_nothing_to_read() -> None:
    batch = draw(make("timed_spikes", max_delay=0))
    assert not batch.inputs.any()
    assert batch.targets[5].all()
