from __future__ import annotations

from collections.abc import Callable

from asrkit.tuning.weights import (
    LM_WEIGHTS,
    WORD_BONUSES,
    Weights,
    best_at_usual_weights,
    search_weights,
)


def bowl(bottom: Weights) -> Callable[[Weights], int]:
    """Errors that grow with the distance from a point, in whole numbers."""

    def count_errors(point: Weights) -> int:
        x, y = point.lm_weight - bottom.lm_weight, point.word_bonus - bottom.word_bonus
        return round(1000 * x * x + 30 * y * y)

    return count_errors


def test_finds_a_bottom_between_the_points_of_the_grid() -> None:
    best, surface = search_weights(bowl(Weights(0.62, 1.4)))
    assert abs(best.lm_weight - 0.62) <= 0.05
    assert abs(best.word_bonus - 1.4) <= 0.2
    assert surface[best] == min(surface.values())


def test_leaves_the_grid_where_the_bottom_is_beyond() -> None:
    bottom = Weights(max(LM_WEIGHTS) + 0.6, max(WORD_BONUSES) + 2.0)
    best, _ = search_weights(bowl(bottom))
    assert abs(best.lm_weight - bottom.lm_weight) <= 0.07
    assert abs(best.word_bonus - bottom.word_bonus) <= 0.3


def test_no_weight_is_below_0_and_no_point_is_tried_twice() -> None:
    tried = []

    def count_errors(point: Weights) -> int:
        tried.append(point)
        return round(100 * point.lm_weight)

    best, surface = search_weights(count_errors)
    assert best == Weights(0.0, 0.0)  # of many equal ones, that with the bonus nearest to 0
    assert len(tried) == len(set(tried)) == len(surface)
    assert min(point.lm_weight for point in tried) == 0.0


def test_of_equal_points_the_least_weights_are_taken() -> None:
    best, _ = search_weights(lambda _: 7)
    assert best == Weights(0.0, 0.0)


def test_a_candidate_is_judged_at_its_best_weights() -> None:
    def count_errors(weights: Weights, penalty: float) -> int:
        return 10 if weights.lm_weight < 1 else abs(round(penalty) - 4)

    assert best_at_usual_weights(count_errors, [0.0, 4.0, 8.0]) == 4.0


def test_of_equal_candidates_the_first_is_taken() -> None:
    assert best_at_usual_weights(lambda *_: 3, [4.0, 0.0, 8.0]) == 4.0
