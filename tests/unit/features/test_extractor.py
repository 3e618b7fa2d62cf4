"""Features of a batch: sizes, lengths, and that only an utterance's own samples count."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchaudio.compliance import kaldi
from torchaudio.functional import compute_deltas

from asrkit.errors import ConfigError
from asrkit.features.extractor import FeatureExtractor
from asrkit.settings import FeatureSettings

RATE_HZ = 16000
GRAVES_2013 = FeatureSettings(num_mel_bins=40, use_energy=True, delta_order=2)
KINDS = {
    "fbank": FeatureSettings(),
    "graves_2013": GRAVES_2013,
    "mfcc": FeatureSettings(kind="mfcc", num_mel_bins=23, use_energy=True, delta_order=2),
}


@pytest.mark.parametrize(
    ("chosen", "num_features"),
    [
        (FeatureSettings(), 80),
        (FeatureSettings(num_mel_bins=40, use_energy=True), 41),
        (GRAVES_2013, 123),
        (FeatureSettings(kind="mfcc"), 13),
        (FeatureSettings(kind="mfcc", use_energy=True, delta_order=2), 39),
        (FeatureSettings(kind="mfcc", num_ceps=20, delta_order=1), 40),
    ],
)
def test_size_of_a_frame(chosen: FeatureSettings, num_features: int, noise: Tensor) -> None:
    extractor = FeatureExtractor(chosen, RATE_HZ)
    feats, _ = extractor(noise[None], torch.tensor([len(noise)]))
    assert extractor.num_features == feats.shape[2] == num_features


def test_graves_2013_is_kaldis_fbank_energy_and_differences(speech_like: Tensor) -> None:
    reference = kaldi.fbank(
        speech_like[None] * 32768, dither=0.0, num_mel_bins=40, use_energy=True, htk_compat=True
    )
    feats, feat_lens = FeatureExtractor(GRAVES_2013, RATE_HZ)(
        speech_like[None], torch.tensor([len(speech_like)])
    )
    assert feat_lens.tolist() == [len(reference)] == [198]
    torch.testing.assert_close(feats[0, :, :41], reference, atol=1e-5, rtol=0)
    slope = compute_deltas(reference.T, win_length=5).T
    torch.testing.assert_close(feats[0, :, 41:82], slope, atol=1e-4, rtol=0)
    # Away from the edges, differences of differences are second differences.
    curvature = compute_deltas(slope.T, win_length=5).T
    torch.testing.assert_close(feats[0, 4:-4, 82:], curvature[4:-4], atol=1e-4, rtol=0)


@pytest.mark.parametrize("chosen", KINDS.values(), ids=KINDS.keys())
def test_alone_and_in_a_batch(chosen: FeatureSettings, speech_like: Tensor, noise: Tensor) -> None:
    waves = [speech_like, noise, speech_like[:7000], noise[:400], noise[:399], noise[:0]]
    lens = torch.tensor([len(wave) for wave in waves])
    extractor = FeatureExtractor(chosen, RATE_HZ)
    batch = torch.stack([F.pad(wave, (0, 33_000 - len(wave))) for wave in waves])
    feats, feat_lens = extractor(batch, lens)
    assert feat_lens.dtype == torch.int64
    assert torch.equal(feat_lens, extractor.frame_lens(lens))
    for row, wave in enumerate(waves):
        alone, alone_lens = extractor(wave[None], lens[row : row + 1])
        length = int(feat_lens[row])
        assert alone_lens.tolist() == [length] == [alone.shape[1]]
        torch.testing.assert_close(feats[row, :length], alone[0], atol=5e-5, rtol=0)
        assert not feats[row, length:].any()


@settings(max_examples=15, deadline=None)
@given(
    lens=st.lists(st.integers(0, 4000), min_size=1, max_size=5),
    kind=st.sampled_from(sorted(KINDS)),
    seed=st.integers(0, 2**31),
)
def test_padding_is_not_looked_at(lens: list[int], kind: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    waves = 0.1 * torch.randn(len(lens), max(lens) + 700, generator=generator)
    wave_lens = torch.tensor(lens)
    cleared = waves.masked_fill(torch.arange(waves.shape[1]) >= wave_lens[:, None], 0.0)
    extractor = FeatureExtractor(KINDS[kind], RATE_HZ)
    dirty_feats, _ = extractor(waves, wave_lens)
    feats, _ = extractor(cleared, wave_lens)
    torch.testing.assert_close(dirty_feats, feats, atol=1e-5, rtol=0)
    assert feats.isfinite().all()


@pytest.mark.parametrize("chosen", KINDS.values(), ids=KINDS.keys())
def test_digital_silence_and_full_scale_are_finite(chosen: FeatureSettings) -> None:
    square = torch.ones(1, 4000)
    square[:, ::2] = -1
    extractor = FeatureExtractor(chosen, RATE_HZ)
    for wave in (torch.zeros(1, 4000), torch.ones(1, 4000), square):
        assert extractor(wave, torch.tensor([4000]))[0].isfinite().all()


def test_no_utterance_has_a_frame() -> None:
    feats, feat_lens = FeatureExtractor(GRAVES_2013, RATE_HZ)(
        torch.zeros(2, 300), torch.tensor([300, 0])
    )
    assert feats.shape == (2, 0, 123)
    assert feat_lens.tolist() == [0, 0]


def test_mixed_precision_does_not_reach_features(noise: Tensor) -> None:
    extractor = FeatureExtractor(GRAVES_2013, RATE_HZ)
    lens = torch.tensor([len(noise)])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, _ = extractor(noise[None], lens)
    assert torch.equal(mixed, extractor(noise[None], lens)[0])


def test_nothing_to_save() -> None:
    assert FeatureExtractor(GRAVES_2013, RATE_HZ).state_dict() == {}


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="num_ceps: 30"):
        FeatureExtractor(FeatureSettings(kind="mfcc", num_mel_bins=23, num_ceps=30), RATE_HZ)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_computes_the_same(speech_like: Tensor, noise: Tensor) -> None:
    waves = torch.stack([speech_like, F.pad(noise, (0, len(speech_like) - len(noise)))])
    lens = torch.tensor([len(speech_like), len(noise)])
    extractor = FeatureExtractor(GRAVES_2013, RATE_HZ)
    feats, feat_lens = extractor(waves, lens)
    gpu_feats, gpu_lens = extractor.cuda()(waves.cuda(), lens.cuda())
    assert torch.equal(gpu_lens.cpu(), feat_lens)
    torch.testing.assert_close(gpu_feats.cpu(), feats, atol=1e-2, rtol=0)
