from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from asrkit.lm.build import build_model
from asrkit.train.trigram import estimate_trigram


def sequences() -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    chances = torch.rand(5, 5, generator=generator) ** 3
    found = []
    for _ in range(300):
        labels, last = [], 0
        for _ in range(int(torch.randint(1, 9, (), generator=generator))):
            last = 1 + int(torch.multinomial(chances[last, 1:], 1, generator=generator))
            labels.append(last)
        found.append(labels)
    return found


def test_what_follows_two_labels_is_a_distribution() -> None:
    sums = estimate_trigram(sequences(), 5).sum(dim=2)
    assert not sums[1:, 0].any()  # the start follows nothing
    torch.testing.assert_close(sums[0], torch.ones(5))
    torch.testing.assert_close(sums[1:, 1:], torch.ones(4, 4))


def test_probabilities_are_those_of_asrkit_lm(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("\n".join(" ".join(map(str, labels)) for labels in sequences()))
    model = build_model([text], 3, discount_fallback=True)
    trigram = estimate_trigram(sequences(), 5)
    for labels in ([], [1], [3, 3], [2, 4, 1, 1, 3]):
        spoken = [0, 0, *labels, 0]
        for position, log_prob in enumerate(model.score_sentence([*map(str, labels)])):
            found = float(trigram[tuple(spoken[position : position + 3])])
            # asrkit.lm keeps a little for unknown words.
            assert math.log(found) == pytest.approx(float(log_prob), abs=0.01)


def test_a_label_that_never_occurs_is_still_possible() -> None:
    trigram = estimate_trigram([[1, 2, 1], [1, 1], [2]], 4)
    assert (trigram[0, :, 3] > 0).all()
    assert (trigram[1:, 1:, 1:] > 0).all()
