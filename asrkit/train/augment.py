"""From a batch of samples to the features the network is trained on, with augmentation."""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.data.dataset import Batch
from asrkit.features.babble import add_babble
from asrkit.features.channel import narrow_channel
from asrkit.features.gain import change_gain
from asrkit.features.noise import add_noise
from asrkit.features.room import add_room
from asrkit.features.spec_augment import spec_augment
from asrkit.features.speed import perturb_speed
from asrkit.nn.model import AcousticModel
from asrkit.settings import AugmentSettings


def training_features(
    model: AcousticModel, batch: Batch, settings: AugmentSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Compute augmented, normalised features (N, T, F) and their (N,) lengths.

    Samples are changed before the features are taken, features are masked after they are
    normalised. All draws come from `generator`, on the CPU.
    """
    waves, wave_lens = batch.waves, batch.wave_lens
    if settings.speed_factors:
        waves, wave_lens = perturb_speed(waves, wave_lens, settings.speed_factors, generator)
    waves = change_waves(waves, wave_lens, settings, model.sample_rate_hz, generator)
    feats, feat_lens = model.features(waves, wave_lens, batch.speakers)
    delta_order = model.extractor.delta_order
    return spec_augment(feats, feat_lens, settings, generator, delta_order), feat_lens


def change_waves(
    waves: Tensor,
    wave_lens: Tensor,
    settings: AugmentSettings,
    sample_rate_hz: int,
    generator: torch.Generator,
) -> Tensor:
    """Do to samples (N, S) what happens to speech on its way: room, others, noise, channel.

    What the settings do not ask for is not drawn. Lengths are kept.
    """
    if settings.room_t60_s is not None:
        waves = add_room(
            waves,
            wave_lens,
            settings.room_t60_s,
            settings.room_direct_db,
            settings.room_probability,
            sample_rate_hz,
            generator,
        )
    if settings.babble_snr_db is not None:
        waves = add_babble(
            waves,
            wave_lens,
            settings.babble_snr_db,
            settings.babble_probability,
            settings.babble_voices,
            generator,
        )
    if settings.noise_snr_db is not None:
        waves = add_noise(
            waves,
            wave_lens,
            settings.noise_snr_db,
            settings.noise_probability,
            generator,
            settings.noise_slope,
            sample_rate_hz,
        )
    if settings.gain_db is not None:
        waves = change_gain(waves, settings.gain_db, generator)
    if settings.telephone_probability or settings.low_pass_hz is not None:
        waves = narrow_channel(
            waves,
            wave_lens,
            settings.telephone_probability,
            settings.low_pass_hz,
            settings.low_pass_probability,
            sample_rate_hz,
            generator,
        )
    return waves
