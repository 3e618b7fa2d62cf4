"""Long recordings in windows against the model on the whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from asrkit.errors import UsageError
from asrkit.features.normalize import Statistics
from asrkit.model_file import Recognizer
from asrkit.nn.model import AcousticModel
from asrkit.settings import Settings
from asrkit.transcribe import windows
from asrkit.transcribe.windows import long_log_probs


def make_model(tables: dict[str, dict[str, object]], speakers: Sequence[str] = ()) -> AcousticModel:
    recipe = {"name": "x", "description": "", "seed": 0}
    features = {"num_mel_bins": 8, **tables.get("features", {})}
    model = {"num_layers": 2, "hidden_size": 5, **tables.get("model", {})}
    torch.manual_seed(1)
    settings = Settings.model_validate({"recipe": recipe, "features": features, "model": model})
    num_phones = 4 if settings.model.phone_layer else 0
    made = AcousticModel(settings, 6, speakers, num_phones=num_phones).eval()
    statistics = Statistics(made.extractor.num_features)
    feats = 3 + 2 * torch.randn(2, 50, made.extractor.num_features)
    statistics.update(feats, torch.tensor([50, 50]), speakers)
    made.normalizer.set_statistics(statistics)
    return made


def draw(duration_s: float) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    loudness = np.repeat(rng.uniform(0.001, 0.3, 200), 1600)[: round(duration_s * 16000)]
    return (loudness * rng.normal(0, 0.3, len(loudness))).astype(np.float32)


def whole(
    model: AcousticModel,
    samples: NDArray[np.float32],
    speaker: str = "",
    reads_phones: bool = False,
) -> NDArray:
    with torch.inference_mode():
        lens, speakers = torch.tensor([len(samples)]), [speaker] if speaker else []
        outputs, _ = model(torch.from_numpy(samples)[None], lens, speakers, reads_phones)
    return outputs[0].numpy()


@pytest.fixture(autouse=True)
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "WINDOW_S", 5.0)
    monkeypatch.setattr(windows, "CONTEXT_S", 2.0)


@pytest.mark.parametrize("duration_s", [5.01, 7.777, 15.003])
@pytest.mark.parametrize(
    "tables",
    [
        {"features": {"normalization": "utterance", "delta_order": 2}},
        {"features": {"normalization": "global", "kind": "mfcc", "num_ceps": 5, "delta_order": 1}},
        {
            "features": {"normalization": "utterance"},
            "model": {"frontend": "stack", "subsampling": 3},
        },
        {
            "features": {"normalization": "none"},
            "model": {"frontend": "conv", "subsampling": 4, "conv_channels": 2},
        },
        {"features": {"normalization": "utterance"}, "model": {"bidirectional": False}},
    ],
)
def test_windows_are_as_the_whole(tables, duration_s: float) -> None:
    model, samples = make_model(tables), draw(duration_s)
    found, expected = long_log_probs(model, samples), whole(model, samples)
    assert found.shape == expected.shape
    # Weights as they are drawn forget within far less than the context.
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("duration_s", [4.0, 7.777])
def test_phones_of_windows_are_as_the_whole(duration_s: float) -> None:
    model, samples = make_model({"model": {"phone_layer": 1}}), draw(duration_s)
    found = long_log_probs(model, samples, reads_phones=True)
    expected = whole(model, samples, reads_phones=True)
    assert found.shape == expected.shape
    assert found.shape[1] == 4
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_context_is_what_makes_windows_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples = make_model({"features": {"normalization": "utterance"}}), draw(8.0)
    monkeypatch.setattr(windows, "CONTEXT_S", 0.0)
    assert np.abs(long_log_probs(model, samples) - whole(model, samples)).max() > 0.01


@pytest.mark.parametrize("speaker", ["", "ann", "unknown"])
def test_speakers(speaker: str) -> None:
    model = make_model({"features": {"normalization": "speaker"}}, ["ann", "bob"])
    samples = draw(8.0)
    expected = whole(model, samples, speaker)
    np.testing.assert_allclose(long_log_probs(model, samples, speaker), expected, atol=2e-4)
    other = long_log_probs(model, samples, "bob")
    assert np.abs(other - expected).max() > 0.01


@pytest.mark.parametrize("num_samples", [1, 399, 400, 80000])
def test_what_fits_a_window_is_heard_whole(num_samples: int) -> None:
    model = make_model({"features": {"normalization": "utterance"}})
    samples = draw(5.0)[:num_samples]
    np.testing.assert_array_equal(long_log_probs(model, samples), whole(model, samples))


def test_a_tone_alphabet_is_read_across_seams(tone_recognizer: Recognizer, say_in_tones) -> None:
    samples = say_in_tones("ab ca " * 12).astype(np.float32)
    found = long_log_probs(tone_recognizer.model, samples)
    np.testing.assert_allclose(found, whole(tone_recognizer.model, samples), atol=1e-4)


def test_only_ctc_models() -> None:
    model = make_model({"model": {"kind": "transducer", "prediction_size": 3, "joint_size": 3}})
    with pytest.raises(UsageError, match=r'expected one with model.kind = "ctc"'):
        long_log_probs(model, draw(1.0))
