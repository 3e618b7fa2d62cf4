"""The acoustic model from samples: an utterance alone and in a batch gives the same log_probs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from asrkit.features.normalize import Statistics
from asrkit.nn.model import AcousticModel
from asrkit.settings import Settings

WAVE_LENS = [8000, 399, 400, 5601, 16001, 0]
SPEAKERS = ("anna", "ben", "ben", "ben", "anna", "")


def make(num_phones: int = 0, **tables: object) -> AcousticModel:
    torch.manual_seed(7)
    settings = Settings.model_validate(
        {
            "recipe": {"name": "x"},
            "features": {"num_mel_bins": 8, "delta_order": 1},
            "model": {"num_layers": 2, "hidden_size": 12},
            **tables,
        }
    )
    model = AcousticModel(settings, 5, num_phones=num_phones)
    statistics = Statistics(model.extractor.num_features)
    for speaker, scale in (("anna", 0.1), ("ben", 0.02)):
        waves = scale * torch.randn(1, 16000)
        statistics.update(*model.extractor(waves, torch.tensor([16000])), (speaker,))
    model.normalizer.set_statistics(statistics)
    return model.eval()


@pytest.fixture(scope="module")
def waves() -> list[Tensor]:
    generator = torch.Generator().manual_seed(8)
    return [0.1 * torch.randn(length, generator=generator) for length in WAVE_LENS]


def run(
    model: AcousticModel,
    batch: Tensor,
    lens: list[int],
    speakers: object,
    reads_phones: bool = False,
) -> list[Tensor]:
    with torch.inference_mode():
        log_probs, out_lens = model(batch, torch.tensor(lens), speakers, reads_phones)
    assert torch.equal(out_lens, model.out_lens(torch.tensor(lens)))
    return [row[:length] for row, length in zip(log_probs, out_lens.tolist(), strict=True)]


def join(waves: list[Tensor], filling: float = 0.0) -> Tensor:
    longest = max(len(wave) for wave in waves) + 1000
    return torch.stack([pad(wave, (0, longest - len(wave)), value=filling) for wave in waves])


@pytest.mark.parametrize("normalization", ["none", "global", "speaker", "utterance"])
@pytest.mark.parametrize(
    "model_table",
    [
        {"num_layers": 2, "hidden_size": 12},
        {"hidden_size": 12, "frontend": "stack", "subsampling": 3},
        {"hidden_size": 12, "frontend": "conv", "subsampling": 4, "conv_channels": 3},
    ],
    ids=["none", "stack", "conv"],
)
def test_alone_and_in_a_batch(
    waves: list[Tensor], normalization: str, model_table: dict[str, object]
) -> None:
    features = {"num_mel_bins": 8, "delta_order": 1, "normalization": normalization}
    model = make(features=features, model=model_table)
    together = run(model, join(waves), WAVE_LENS, SPEAKERS)
    with_rubbish = run(model, join(waves, filling=0.7), WAVE_LENS, SPEAKERS)
    for number, wave in enumerate(waves):
        (alone,) = run(model, wave[None], [len(wave)], SPEAKERS[number : number + 1])
        torch.testing.assert_close(together[number], alone, rtol=0, atol=1e-5)
        assert torch.equal(with_rubbish[number], together[number])


def test_phones_alone_and_in_a_batch(waves: list[Tensor]) -> None:
    table = {"num_layers": 2, "hidden_size": 12, "phone_layer": 1}
    model = make(num_phones=4, model=table)
    together = run(model, join(waves), WAVE_LENS, SPEAKERS, reads_phones=True)
    with_rubbish = run(model, join(waves, filling=0.7), WAVE_LENS, SPEAKERS, reads_phones=True)
    for number, wave in enumerate(waves):
        length, speakers = [len(wave)], SPEAKERS[number : number + 1]
        (alone,) = run(model, wave[None], length, speakers, reads_phones=True)
        (tokens,) = run(model, wave[None], length, speakers)
        assert (alone.shape[1], tokens.shape[1]) == (4, 5)
        torch.testing.assert_close(together[number], alone, rtol=0, atol=1e-5)
        assert torch.equal(with_rubbish[number], together[number])


def test_out_lens() -> None:
    model = make(model={"frontend": "stack", "subsampling": 3})
    # 25 ms windows every 10 ms: 48, 0, 1, 33, 98 and 0 frames; then a third of them, rounded up.
    assert model.out_lens(torch.tensor(WAVE_LENS)).tolist() == [16, 0, 1, 11, 33, 0]
    assert model.frame_s == pytest.approx(0.03)


def test_every_sample_within_a_frame_matters(waves: list[Tensor]) -> None:
    model = make()
    length = WAVE_LENS[3]
    (clean,) = run(model, waves[3][None], [length], ())
    for sample in (0, 1, 399, 2800, 5519):  # the last frame ends with sample 5519 of 5601
        wave = waves[3].clone()
        wave[sample] += 0.3
        assert not torch.equal(run(model, wave[None], [length], ())[0], clean)
    wave = waves[3].clone()
    wave[5520:] += 0.3
    assert torch.equal(run(model, wave[None], [length], ())[0], clean)


def test_statistics_travel_with_the_weights(waves: list[Tensor]) -> None:
    model = make()
    other = AcousticModel(
        Settings.model_validate(
            {
                "recipe": {"name": "x"},
                "features": {"num_mel_bins": 8, "delta_order": 1},
                "model": {"num_layers": 2, "hidden_size": 12},
            }
        ),
        5,
    )
    other.load_state_dict(model.state_dict())
    other.eval()
    for found, expected in zip(
        run(other, join(waves), WAVE_LENS, ()),
        run(model, join(waves), WAVE_LENS, ()),
        strict=True,
    ):
        assert torch.equal(found, expected)
