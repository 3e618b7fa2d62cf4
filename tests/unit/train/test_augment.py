"""The whole chain of augmentation, as the loop runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from asrkit.settings import AugmentSettings
from asrkit.train import loop
from asrkit.train.augment import change_waves

EVERYTHING: dict[str, Any] = {
    "room_t60_s": (0.1, 0.2),
    "babble_snr_db": (5.0, 15.0),
    "noise_snr_db": (5.0, 15.0),
    "noise_slope": (0.0, 2.0),
    "gain_db": (-6.0, 6.0),
    "telephone_probability": 0.3,
    "low_pass_hz": (1000.0, 3000.0),
}
LENS = torch.tensor([4000, 2500, 3100, 0])


def change(seed: int = 1, **settings: Any) -> tuple[Tensor, Tensor, torch.Generator]:
    waves = 0.1 * torch.randn(4, 4000, generator=torch.Generator().manual_seed(9))
    waves *= torch.arange(4000) < LENS[:, None]
    generator = torch.Generator().manual_seed(seed)
    changed = change_waves(waves, LENS, AugmentSettings(**settings), 8000, generator)
    return waves, changed, generator


def test_everything_at_once() -> None:
    waves, changed, _ = change(**EVERYTHING)
    assert changed.shape == waves.shape
    assert changed.isfinite().all()
    for row, length in enumerate(LENS.tolist()):
        assert not changed[row, length:].any()
        assert length == 0 or not torch.equal(changed[row], waves[row])
    assert torch.equal(changed, change(**EVERYTHING)[1])
    assert not torch.equal(changed, change(seed=2, **EVERYTHING)[1])


def test_what_is_not_asked_for_draws_nothing() -> None:
    waves, changed, generator = change()
    assert torch.equal(changed, waves)
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(1).get_state())


def test_a_run_with_everything_is_reproducible(
    tmp_path: Any, make_trainer: Callable[..., Any], monkeypatch: Any
) -> None:
    monkeypatch.setattr(loop, "draw_curves", lambda _folder: None)
    metrics = []
    for name in ("one", "other"):
        make_trainer(tmp_path / name, augment=EVERYTHING).run()
        metrics.append((tmp_path / name / "metrics.jsonl").read_bytes())
    assert metrics[0] == metrics[1]
