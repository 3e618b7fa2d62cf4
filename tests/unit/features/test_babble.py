"""Babble is made of the other utterances, at exactly the ratio asked for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.features.babble import add_babble


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_waves(lens: list[int]) -> Tensor:
    """Utterances of quite different loudness."""
    generator, size = seeded(1), max(lens)
    rows = [0.1 * 3**i * torch.randn(n, generator=generator) for i, n in enumerate(lens)]
    return torch.stack([F.pad(row, (0, size - len(row))) for row in rows])


def babbled(
    waves: Tensor,
    lens: list[int],
    snr_db: tuple[float, float] = (6.0, 6.0),
    share: float = 1.0,
    voices: int = 2,
    seed: int = 2,
) -> Tensor:
    return add_babble(waves, torch.tensor(lens), snr_db, share, voices, seeded(seed))


def test_the_ratio_is_exact_and_padding_stays_zero() -> None:
    lens = [800, 300, 500, 650]
    waves = make_waves(lens)
    added = babbled(waves, lens) - waves
    ratios_db = 20 * torch.log10(waves.norm(dim=1) / added.norm(dim=1))
    torch.testing.assert_close(ratios_db, torch.full((4,), 6.0), atol=0.01, rtol=0)
    for row, length in enumerate(lens):
        assert not added[row, length:].any()


def test_one_voice_is_another_utterance_repeated_from_a_drawn_place() -> None:
    lens = [700, 300]
    waves = make_waves(lens)
    first, second = babbled(waves, lens, voices=5) - waves
    around = torch.cat([waves[1, :300]] * 5)
    places = around.unfold(0, 700, 1)[:300]
    similar = F.cosine_similarity(places, first[None], dim=1)
    assert similar.max() > 0.9999
    assert similar.argmax() > 0
    similar = F.cosine_similarity(torch.cat([waves[0]] * 2).unfold(0, 300, 1), second[None, :300])
    assert similar.max() > 0.9999


def test_all_voices_are_equally_loud() -> None:
    lens = [4000] * 3
    waves = make_waves(lens)
    added = babbled(waves, lens)[0] - waves[0]
    shares = []
    for voice in waves[1:]:
        places = torch.cat([voice, voice]).unfold(0, 4000, 1)[:4000]
        shares.append(F.cosine_similarity(places, added[None], dim=1).max())
    assert all(abs(share - 0.5**0.5) < 0.05 for share in shares)


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_padding_changes_no_draw(share: float) -> None:
    lens = [800, 300, 500]
    waves = make_waves(lens)
    mixed = babbled(waves, lens, (0.0, 20.0), share)
    padded = babbled(F.pad(waves, (0, 99)), lens, (0.0, 20.0), share)
    torch.testing.assert_close(padded[:, :800], mixed, atol=1e-5, rtol=1e-5)
    assert torch.equal(mixed, babbled(waves, lens, (0.0, 20.0), share))
    assert not torch.equal(mixed, babbled(waves, lens, (0.0, 20.0), share, seed=3))


def test_nobody_else_to_hear() -> None:
    alone = make_waves([500])
    assert torch.equal(babbled(alone, [500]), alone)
    waves = torch.cat([F.pad(alone, (0, 0)), torch.zeros(2, 500)])
    assert torch.equal(babbled(waves, [500, 500, 0]), waves)  # silence and nothing
