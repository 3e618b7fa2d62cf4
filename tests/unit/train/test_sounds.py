"""Text put together of what was heard of phones."""

from __future__ import annotations

from itertools import groupby

import pytest
import torch
from torch import Tensor

from asrkit.train.sounds import Sounds

SIZE = 4


def heard(path: list[int]) -> Tensor:
    """Log-posteriors of a network that is nearly sure of a path, and differs in each frame."""
    sure = torch.full((len(path), SIZE), 0.01)
    for frame, phone in enumerate(path):
        sure[frame, phone] = 0.9 - 0.001 * frame
    return (sure / sure.sum(dim=1, keepdim=True)).log()


def make_up(sounds: Sounds, *rows: list[int]) -> tuple[Tensor, Tensor]:
    lens = torch.tensor([len(row) for row in rows])
    padded = torch.zeros(len(rows), int(lens.max()), dtype=torch.int64)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = torch.tensor(row)
    return sounds.make_up(padded, lens)


def collapse(probs: Tensor) -> list[int]:
    return [token for token, _ in groupby(probs.argmax(dim=1).tolist()) if token]


PATH = [0, 0, 1, 1, 0, 2, 0, 0, 0, 0, 3, 0]


def test_an_utterance_alone_is_put_together_as_it_was() -> None:
    sounds = Sounds([heard(PATH)] * 3, [[1, 2, 3]] * 3)
    probs, lens = make_up(sounds, [1, 2, 3])
    assert lens.tolist() == [len(PATH)]
    torch.testing.assert_close(probs[0], heard(PATH).exp())
    assert sounds.num_sounds == 9
    assert sounds.mean_posterior == pytest.approx(
        float(heard(PATH).exp().max(dim=1)[0].max()), abs=0.05
    )


def test_sentences_say_their_phones_and_are_padded_with_nothing() -> None:
    sounds = Sounds([heard(PATH), heard([3, 0, 2, 2, 1])], [[1, 2, 3], [3, 2, 1]])
    rows = [[2], [3, 1, 2, 1], [1, 1], [2, 3, 1, 3, 3, 2]]
    probs, lens = make_up(sounds, *rows)
    for row, length, each in zip(rows, lens.tolist(), probs, strict=True):
        assert collapse(each[:length]) in (row, [phone for phone, _ in groupby(row)])
        assert not each[length:].any()
        torch.testing.assert_close(each[:length].sum(dim=1), torch.ones(length))


def test_neighbours_decide_where_there_are_enough_sounds() -> None:
    # After 1, phone 2 lasts five frames; after 3 one frame. Sounds reach halfway to neighbours.
    after_1, after_3 = heard([1, 2, 2, 2, 2, 2]), heard([3, 2])
    sounds = Sounds([after_1] * 3 + [after_3] * 5, [[1, 2]] * 3 + [[3, 2]] * 5)
    for _ in range(20):
        assert make_up(sounds, [1, 2])[1].tolist() == [6]
        assert make_up(sounds, [3, 2])[1].tolist() == [2]
    # Alone it stands after nothing, which it never did: any sound will do.
    lens = {int(make_up(sounds, [2])[1]) for _ in range(60)}
    assert lens == {5, 1, 2}  # and what stands for a phone that was never heard


def test_a_phone_that_was_never_heard_is_made_up_as_certain() -> None:
    sounds = Sounds([heard([1, 0, 2])], [[1, 2]])
    probs, lens = make_up(sounds, [3])
    assert lens.tolist() == [2]
    assert probs[0].tolist() == [[0, 0, 0, 1], [1, 0, 0, 0]]


def test_draws_come_from_the_seed() -> None:
    sounds = Sounds([heard([1, 1, 1, 0, 2]), heard([1, 2, 0])], [[1, 2], [1, 2]])
    found = []
    for seed in (1, 1, 2, 3, 4, 5, 6, 7):
        torch.manual_seed(seed)
        found.append(make_up(sounds, [1, 2, 1, 2, 1, 2])[1].tolist())
    assert found[0] == found[1]
    assert len({tuple(each) for each in found}) > 1
