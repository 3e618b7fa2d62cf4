"""A tiny training whose every loss is known: whoever changes what training computes sees it here.

python tests/e2e/test_golden_curve.py    # records the curve again, after a change that is meant
"""

from __future__ import annotations

import json
import math
import platform
import random
import struct
import tempfile
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from asrkit.config import load_settings
from asrkit.data.manifest import Utterance, write_manifest
from asrkit.recipe import stages
from asrkit.recipe.run_folder import RunFolder
from asrkit.recipe.stages import RecipeRun
from asrkit.train import loop, objective
from asrkit.train.distributed import World

GOLDEN = Path(__file__).parent / "golden" / "curve.jsonl"
RECORD = "if the change is meant, record the curve again: python tests/e2e/test_golden_curve.py"
TOLERANCE = 1e-4
"""Relative: what other processors and versions of torch may make of the same arithmetic."""
STREAM = ("loss", "learning_rate", "grad_norm", "train_loss", "dev_loss")
Event = dict[str, Any]

RATE_HZ = 8000
TONE_HZ = {"a": 300.0, "b": 900.0, "c": 2000.0, " ": 0.0}
TEXTS = {
    "train": ["ab", "cab a", "b", "acb", "ba ab", "cc a", "abc", "bcab", "a", "cba b"],
    "dev": ["ac", "b ca"],
}
# All that draws random numbers is on.
RECIPE = """
[recipe]
name = "golden"
seed = 5
[data]
train = "train.jsonl"
dev = "dev.jsonl"
sample_rate_hz = 8000
max_batch_s = 1.2
num_buckets = 3
[features]
num_mel_bins = 8
[augment]
speed_factors = [0.9, 1.0, 1.1]
noise_snr_db = [10, 30]
noise_slope = [0, 2]
babble_snr_db = [5, 20]
room_t60_s = [0.1, 0.3]
gain_db = [-6, 6]
telephone_probability = 0.3
low_pass_hz = [1000, 3000]
num_freq_masks = 1
max_freq_mask_bins = 2
num_time_masks = 1
max_time_mask_frames = 3
[model]
num_layers = 2
hidden_size = 8
dropout = 0.2
recurrent_dropout = 0.1
[train]
learning_rate = 5e-3
schedule = "cosine"
warmup_steps = 3
max_epochs = 3
clip_norm = 20.0
weight_noise_std = 0.02
average_checkpoints = 2
[score]
unit = "char"
"""


def environment() -> dict[str, str]:
    """What decides the last bits of float32 arithmetic on a CPU."""
    return {
        "torch": torch.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "processor": processor_maker(),
    }


def processor_maker() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("vendor_id")), "unknown")


def make_recipe(folder: Path) -> Path:
    """Tones and noise that are the same bytes everywhere."""
    draws = random.Random(1)
    for split, texts in TEXTS.items():
        utterances = []
        for number, text in enumerate(texts):
            samples = [
                round(9000 * math.sin(2 * math.pi * TONE_HZ[letter] * i / RATE_HZ))
                + int(600 * (draws.random() - 0.5))
                for letter in text
                for i in range(RATE_HZ // 10)
            ]
            path = folder / f"{split}{number}.wav"
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, RATE_HZ, 0, "NONE", "not compressed"))
                file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
            utterances.append(Utterance(path.stem, path, len(samples) / RATE_HZ, text))
        write_manifest(folder / f"{split}.jsonl", utterances)
    (folder / "recipe.toml").write_text(RECIPE)
    return folder / "recipe.toml"


def train(recipe_toml: Path, folder: Path) -> list[Event]:
    """Carry out the training on one thread; give its loss stream."""
    settings, run = load_settings(recipe_toml), RunFolder(folder)
    run.open(settings, resume=False)
    recipe_run = RecipeRun(recipe_toml, settings, run, World(0, 1, torch.device("cpu")))
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        recipe_run.prepare()
        recipe_run.train()
    finally:
        torch.set_num_threads(num_threads)
    events = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    kept = ("event", "step", *STREAM)
    return [{key: event[key] for key in kept if key in event} for event in events]


def record() -> None:
    with tempfile.TemporaryDirectory() as folder:
        events = train(make_recipe(Path(folder)), Path(folder) / "run")
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text("".join(json.dumps(line) + "\n" for line in (environment(), *events)))


def differences(found: Sequence[Event], golden: Sequence[Event], tolerance: float) -> list[str]:
    """List the figures that differ by more than a relative tolerance."""
    if [(e["event"], e["step"]) for e in found] != [(e["event"], e["step"]) for e in golden]:
        return [f"{len(found)} events, the golden curve has {len(golden)}, or others"]
    return [
        f"{event['event']} at step {event['step']}: {name} is {event[name]!r}, on the golden curve "
        f"{expected[name]!r}"
        for event, expected in zip(found, golden, strict=True)
        for name in STREAM
        if name in event and not math.isclose(event[name], expected[name], rel_tol=tolerance)
    ]


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "draw_curves", lambda _folder: None)


@pytest.fixture(scope="module")
def recipe_toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_recipe(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def golden() -> tuple[dict[str, str], list[Event]]:
    """What the golden curve was recorded with, and the curve."""
    made_with, *events = map(json.loads, GOLDEN.read_text().splitlines())
    return made_with, events


@pytest.fixture(scope="module")
def curve(recipe_toml: Path) -> list[Event]:
    return train(recipe_toml, recipe_toml.parent / "run")


def test_the_curve_is_the_golden_one_to_a_tolerance(curve: list[Event], golden: tuple) -> None:
    found = differences(curve, golden[1], TOLERANCE)
    assert not found, f"{found[0]} (and {len(found) - 1} more differ); {RECORD}"


def test_the_curve_is_the_golden_one_exactly(curve: list[Event], golden: tuple) -> None:
    made_with, events = golden
    if made_with != environment():
        pytest.skip(
            f"the golden curve is of {', '.join(made_with.values())}, this is "
            f"{', '.join(environment().values())}: compared to {TOLERANCE:g} only"
        )
    found = differences(curve, events, 0.0)
    assert not found, f"{found[0]} (and {len(found) - 1} more differ); {RECORD}"


# --- what the golden curve is there to see


def other_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = loop.batches_of_epoch
    monkeypatch.setattr(loop, "batches_of_epoch", lambda *given: batches(*given)[::-1])


def other_order_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = loop.batches_of_epoch
    monkeypatch.setattr(
        loop, "batches_of_epoch", lambda *given: [batch[::-1] for batch in batches(*given)]
    )


def other_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = loop.seed_everything
    monkeypatch.setattr(loop, "seed_everything", lambda *parts: seed(*parts, 1))


def another_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    nll = objective.ctc_nll
    monkeypatch.setattr(objective, "ctc_nll", lambda *given: nll(*given) * 1.001)


def other_first_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    make = stages.AcousticModel

    def make_otherwise(*given: Any, **named: Any) -> Any:
        model = make(*given, **named)
        with torch.no_grad():
            model.network.output.weight.mul_(1.01)
        return model

    monkeypatch.setattr(stages, "AcousticModel", make_otherwise)


def another_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = loop.learning_rate
    monkeypatch.setattr(loop, "learning_rate", lambda *given: rate(*given) * 1.001)


@pytest.mark.parametrize(
    "change",
    [
        *(other_batches, other_order_in_a_batch, other_seeds),
        *(another_loss, other_first_weights, another_optimizer),
    ],
)
def test_a_change_is_seen_whatever_the_processor(
    recipe_toml: Path,
    golden: tuple,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch], None],
) -> None:
    change(monkeypatch)
    assert differences(train(recipe_toml, tmp_path / "run"), golden[1], TOLERANCE)


if __name__ == "__main__":
    record()
