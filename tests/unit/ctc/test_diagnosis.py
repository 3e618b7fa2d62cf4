from __future__ import annotations

import math
from itertools import groupby

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.ctc.diagnosis import (
    REMEDIES,
    STALL_STEPS,
    Emission,
    Observation,
    describe,
    diagnose,
    measure_emission,
)


def course(*points: tuple[int, float, float]) -> list[Observation]:
    return [Observation(step, loss, emission_rate) for step, loss, emission_rate in points]


# A two-layer BLSTM on synthetic speech: random emissions, silence, then tokens one after the other.
FIRST_STEPS = ((0, 139.3, 1.34), (60, 36.4, 0.0), (180, 33.1, 0.0), (420, 22.7, 0.0))
LEARNT = (*FIRST_STEPS, (540, 15.5, 0.01), (660, 10.2, 0.11), (780, 6.8, 0.79), (900, 2.6, 0.95))


@pytest.mark.parametrize(
    ("points", "state"),
    [
        ((), "plateau"),
        (FIRST_STEPS[:2], "plateau"),
        (FIRST_STEPS, "plateau"),
        (LEARNT[:5], "plateau"),
        (LEARNT[:6], "learning"),
        (LEARNT, "learning"),
        ((*LEARNT, (960, 80.0, 0.0)), "collapse"),
        ((*LEARNT, (960, 80.0, 0.0), (1020, 33.0, 0.02)), "collapse"),
        ((*LEARNT, (960, 80.0, 0.0), (1020, 22.0, 0.24)), "learning"),
    ],
)
def test_a_course_of_training(points: tuple[tuple[int, float, float], ...], state: str) -> None:
    assert diagnose(course(*points)) == state


def test_emissions_that_flicker_as_they_begin_are_no_collapse() -> None:
    assert diagnose(course(*LEARNT[:6], (720, 11.0, 0.08))) == "plateau"


def silent(losses: list[float], step: int = STALL_STEPS // 5) -> list[Observation]:
    return [Observation(n * step, loss, 0.0) for n, loss in enumerate(losses)]


def test_long_silence_is_a_plateau_as_long_as_the_loss_falls() -> None:
    falling = [70 * 0.99 ** (n / 2) for n in range(40)]
    assert all(diagnose(silent(falling[:n])) == "plateau" for n in range(1, 40))


def test_long_silence_at_a_flat_loss_is_a_collapse() -> None:
    flat = silent([400, 70, *[60.0 + 0.1 * (-1) ** n for n in range(20)]])
    states = [diagnose(flat[: n + 1]) for n in range(len(flat))]
    first = states.index("collapse")
    assert flat[first].step >= flat[2].step + STALL_STEPS
    assert set(states[first:]) == {"collapse"}


def test_a_loss_that_rises_in_silence_is_a_collapse() -> None:
    assert diagnose(silent([60, 61, 63, 70, 80, 95, 120])) == "collapse"


def test_a_flat_loss_counts_only_since_the_model_fell_silent() -> None:
    history = [Observation(0, 50.0, 1.0), *silent([50.0] * 6)[1:]]
    assert history[-1].step == STALL_STEPS
    assert diagnose(history) == "plateau"


def one_token(*points: tuple[int, float, float]) -> list[Observation]:
    return [Observation(step, loss, 0.5, top_share) for step, loss, top_share in points]


def test_one_token_only_is_as_good_as_silence() -> None:
    assert diagnose(one_token((60, 36.0, 1.0), (120, 33.0, 1.0))) == "plateau"
    assert diagnose(one_token((60, 36.0, 1.0), (120, 20.0, 0.4))) == "learning"
    fallen = one_token((60, 36.0, 1.0), (120, 20.0, 0.4), (180, 60.0, 0.99))
    assert diagnose(fallen) == "collapse"
    assert describe(fallen) == (
        "collapse: the model emits hardly more than one token, for 60 steps, though it spoke at "
        "step 120; the dev loss was 20 then and is 60 now"
    )


def trained(*losses: float) -> list[Observation]:
    """A model that speaks, after every hundredth step; its dev loss is of no interest."""
    return [
        Observation(100 * n, 9.0, 0.9, train_loss=loss) for n, loss in enumerate(losses, start=1)
    ]


@pytest.mark.parametrize(
    ("losses", "state"),
    [
        ((50.0,), "learning"),
        ((50.0, 20.0, 10.0), "learning"),
        ((50.0, 20.0, 25.0), "learning"),
        ((50.0, 20.0, 10.0, 21.0), "divergence"),
        ((50.0, 80.0), "divergence"),
        ((50.0, 10.0, 0.01, 0.02), "learning"),  # a flicker near the end
        ((50.0, 20.0, 10.0, 40.0, 12.0), "learning"),  # it came back
        ((math.nan, math.nan), "learning"),  # not known
    ],
)
def test_a_training_loss_that_rises_for_good(losses: tuple[float, ...], state: str) -> None:
    assert diagnose(trained(*losses)) == state


def test_a_dev_loss_that_rises_is_no_divergence() -> None:
    history = [Observation(n, 10.0 + 5 * n, 0.9, train_loss=20.0 / (1 + n)) for n in range(9)]
    assert diagnose(history) == "learning"


def test_descriptions_say_since_when() -> None:
    assert describe([]) == ""
    assert describe(course(*LEARNT)) == ""
    assert describe(course(*FIRST_STEPS)) == (
        "plateau: the model emits only blanks, for 420 steps, which is normal early in training"
    )
    flat = silent([400, 70, *[60.0] * 8])
    assert describe(flat) == (
        f"collapse: the model emits only blanks, for {flat[-1].step} steps, and its loss made no "
        f"progress in {STALL_STEPS} of them"
    )
    assert describe(trained(50.0, 20.0, 10.0, 21.0)) == (
        "divergence: the training loss rose to 21 from 10 at step 300"
    )


def test_every_state_but_learning_has_a_remedy() -> None:
    assert {state for state, remedy in REMEDIES.items() if remedy} == {
        *("plateau", "collapse", "divergence")
    }


def one_hot(*paths: list[int], vocab_size: int = 4) -> torch.Tensor:
    return (torch.eye(vocab_size)[torch.tensor(paths)] * 50).log_softmax(-1)


def test_emission_of_a_hand_made_batch() -> None:
    log_probs = one_hot([0, 1, 1, 0, 1, 2], [3, 0, 2, 2, 1, 1])
    emission = measure_emission(log_probs, torch.tensor([6, 2]), torch.tensor([3, 2]))
    assert emission.emission_rate == pytest.approx(4 / 5)  # 1 1 2, and 3
    assert emission.blank_share == pytest.approx(3 / 8)


def test_blank_share_is_the_mean_posterior() -> None:
    log_probs = torch.tensor([[[0.5, 0.5], [0.2, 0.8], [math.nan, math.nan]]]).log()
    emission = measure_emission(log_probs, torch.tensor([2]), torch.tensor([1]))
    assert emission.blank_share == pytest.approx(0.35)


@pytest.mark.parametrize("num_frames", [0, 3])
def test_without_frames_or_labels(num_frames: int) -> None:
    log_probs = torch.zeros(1, num_frames, 4).log_softmax(-1)
    assert measure_emission(log_probs, torch.tensor([0]), torch.tensor([0])) == Emission(1.0, 0.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=4))
def test_emission_rate_counts_the_tokens_of_the_best_paths(paths: list[list[int]]) -> None:
    out_lens = [(5 * n) % 7 for n in range(1, len(paths) + 1)]
    emitted = sum(
        token != 0
        for path, length in zip(paths, out_lens, strict=True)
        for token, _ in groupby(path[:length])
    )
    emission = measure_emission(
        one_hot(*paths), torch.tensor(out_lens), torch.full((len(paths),), 2)
    )
    assert emission.emission_rate == pytest.approx(emitted / (2 * len(paths)))
