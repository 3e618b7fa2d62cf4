"""Masks for every frame, or one for a sequence."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from asrkit.nn.dropout import Dropout

FRAMES = torch.ones(50, 40, 30)


@pytest.mark.parametrize("per", ["frame", "sequence"])
def test_expectation(per: Literal["frame", "sequence"]) -> None:
    torch.manual_seed(0)
    dropped = Dropout(0.2, per)(FRAMES)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1.25])
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.05)


def test_a_mask_for_a_sequence_is_constant_over_time() -> None:
    dropped = Dropout(0.2, "sequence")(FRAMES)
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    assert not torch.equal(dropped[:, 0], dropped[:, 1])  # other utterances have others
    frame_by_frame = Dropout(0.2, "frame")(FRAMES)
    assert not torch.equal(frame_by_frame[0], frame_by_frame[1])


@pytest.mark.parametrize("per", ["frame", "sequence"])
def test_nothing_is_dropped_afterwards_or_with_probability_zero(
    per: Literal["frame", "sequence"],
) -> None:
    assert torch.equal(Dropout(0.5, per).eval()(FRAMES), FRAMES)
    assert torch.equal(Dropout(0.0, per)(FRAMES), FRAMES)
