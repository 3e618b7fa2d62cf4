"""A seed band: measured from runs, written beside the counts, and other runs held against it."""

from __future__ import annotations

import json
import math
import random
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from asrkit.config import load_settings
from asrkit.data.manifest import Utterance, write_manifest
from asrkit.errors import ConfigError, UsageError
from asrkit.recipe.band_measuring import measure_band, prediction_interval
from asrkit.recipe.band_scope import changed_settings, reasons_not_to_compare
from asrkit.recipe.expected import find_expected, load_expected, save_band
from asrkit.recipe.prepare import PreparationNotes
from asrkit.recipe.run_folder import RunFolder
from asrkit.recipe.seed_band import Curve, SeedBand, first_out, judge

STEPS_AN_EPOCH, EPOCHS = 50, 4
MakeRun = Callable[..., RunFolder]


@pytest.fixture
def recipe_toml(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text('[recipe]\nname = "tiny"\n[model]\nhidden_size = 7\n[train]\nmax_epochs = 4\n')
    return path


@pytest.fixture
def make_run(tmp_path: Path, recipe_toml: Path) -> MakeRun:
    """Write a run as training leaves it: its losses fall, all of them `scale` times as large."""

    def make(
        seed: int, scale: float = 1.0, error: float = 0.1, epochs: int = EPOCHS, *overrides: str
    ) -> RunFolder:
        run = RunFolder(tmp_path / f"seed-{seed}")
        run.open(load_settings(recipe_toml, [f"recipe.seed={seed}", *overrides]), resume=False)
        PreparationNotes([], [], []).save(run.notes)
        dev = [Utterance("x", tmp_path / "x.wav", 1.0, "four words of text")]
        write_manifest(run.manifest("dev"), dev)
        events = []
        for step in range(1, epochs * STEPS_AN_EPOCH + 1):
            events.append({"event": "step", "step": step, "loss": scale * 100 / step})
            if step % STEPS_AN_EPOCH == 0:
                epoch = {"epoch": step // STEPS_AN_EPOCH, "dev_error": error}
                events.append(
                    {"event": "epoch", "step": step, **epoch, "dev_loss": scale * 200 / step}
                )
        events.append({"event": "final", "step": step, "dev_error": error})
        metrics = "".join(json.dumps(event) + "\n" for event in events)
        (run.folder / "metrics.jsonl").write_text(metrics)
        return run

    return make


@pytest.fixture
def band(make_run: MakeRun) -> SeedBand:
    return measure_band([make_run(1, 1.0, 0.10), make_run(2, 1.1, 0.12), make_run(3, 0.9, 0.08)])


# --- intervals


def test_the_interval_is_students() -> None:
    # n = 5: t(4 degrees of freedom) is 2.776 for 95 %; mean 3, sd √2.5.
    low, high = prediction_interval([1, 2, 3, 4, 5], 0.95)
    reach = 2.77645 * math.sqrt(2.5) * math.sqrt(6 / 5)
    assert (low, high) == pytest.approx((3 - reach, 3 + reach), rel=1e-5)
    assert prediction_interval([2, 2, 2], 0.95, least_sd=0.1) == pytest.approx(
        (2 - 4.302653 * 0.1 * math.sqrt(4 / 3), 2 + 4.302653 * 0.1 * math.sqrt(4 / 3))
    )


@pytest.mark.parametrize("num_seeds", [3, 10])
def test_a_run_like_the_others_is_within_all_ranges_as_often_as_said(num_seeds: int) -> None:
    draws, num_figures, trials = random.Random(1), 13, 300
    within = 0
    for _ in range(trials):
        # Figures of one run hang together, as they do in a training.
        whole = [draws.gauss(0, 1) for _ in range(num_seeds + 1)]
        figures = [[each + draws.gauss(0, 1) for each in whole] for _ in range(num_figures)]
        ranges = [prediction_interval(values[1:], 1 - 0.05 / num_figures) for values in figures]
        within += all(
            low <= values[0] <= high for (low, high), values in zip(ranges, figures, strict=True)
        )
    assert 0.93 < within / trials < 1.0


# --- measuring


def test_which_figures_are_taken(band: SeedBand) -> None:
    assert band.seeds == (1, 2, 3)
    assert band.window_steps == 10, "a twentieth of the training"
    assert [(figure.of, figure.at) for figure in band.figures] == [
        *(("train_loss", step) for step in (10, 20, 40, 80, 140, 200)),
        *(("dev_loss", epoch) for epoch in (1, 2, 3, 4)),
        ("dev_error", 4),
    ]
    train_loss, *_, dev_loss, dev_error = band.figures
    first_ten = sum(100 / step for step in range(1, 11)) / 10
    assert train_loss.values == pytest.approx(
        (first_ten, 1.1 * first_ten, 0.9 * first_ten), rel=1e-4
    )
    assert dev_loss.values == (1.0, 1.1, 0.9)
    assert dev_error.values == (0.10, 0.12, 0.08)
    assert band.settings == {"model.hidden_size": 7, "train.max_epochs": 4}
    assert "torch 2." in band.made_with


def test_ranges_of_losses_are_of_their_logarithms(band: SeedBand) -> None:
    loss, error = band.figures[-2:]
    logs = [math.log(value) for value in loss.values]
    confidence = 1 - 0.05 / len(band.figures)
    low, high = map(math.exp, prediction_interval(logs, confidence))
    assert (loss.low, loss.high) == pytest.approx((low, high), rel=1e-4)
    assert loss.low <= low < high <= loss.high, "rounded outwards"
    _, high = prediction_interval(error.values, confidence, 1 / 4)
    assert error.low == 0.0, "an error rate is not negative"
    assert error.high == pytest.approx(high, rel=1e-4), "four words: no less than one of them"


def test_runs_of_different_lengths_are_measured_up_to_the_shortest(make_run: MakeRun) -> None:
    band = measure_band([make_run(1), make_run(2, epochs=3), make_run(3)])
    assert max(figure.at for figure in band.figures if figure.of == "train_loss") == 150
    assert band.figures[-1].at == 3


def test_what_is_no_band(make_run: MakeRun) -> None:
    runs = [make_run(1), make_run(2)]
    with pytest.raises(UsageError, match="2 runs: their spread says little; expected at least 3"):
        measure_band(runs)
    with pytest.raises(UsageError, match=r"seeds \[1, 2, 1\]: expected different ones"):
        measure_band([*runs, runs[0]])
    other = make_run(3, 1.0, 0.1, EPOCHS, "model.dropout=0.5")
    with pytest.raises(UsageError, match=r"seed-3: .* model\.dropout was 0\.0 and is now 0\.5"):
        measure_band([*runs, other])
    assert measure_band([*runs, make_run(4, 1.0, 0.1, EPOCHS, "train.checkpoint_steps=9")])


# --- judging


def test_each_of_its_own_runs_is_in_band(band: SeedBand, make_run: MakeRun) -> None:
    for seed, scale, error in ((7, 1.0, 0.10), (8, 1.1, 0.12), (9, 0.9, 0.08)):
        findings = judge(band, Curve(make_run(seed, scale, error).folder))
        assert len(findings) == len(band.figures)
        assert first_out(findings) is None


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_a_run_that_leaves_the_band(band: SeedBand, make_run: MakeRun, scale: float) -> None:
    run = make_run(9)
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    for event in events:
        if event["event"] == "epoch" and event["epoch"] >= 3:
            event["dev_loss"] *= scale
    changed = "".join(json.dumps(event) + "\n" for event in events)
    (run.folder / "metrics.jsonl").write_text(changed)
    findings = judge(band, Curve(run.folder))
    out = first_out(findings)
    assert out is not None
    assert (out.figure.name, out.step) == ("dev loss, epoch 3", 150)
    assert [finding.step for finding in findings] == sorted(f.step or 0 for f in findings)


def test_a_run_that_ended_before(band: SeedBand, make_run: MakeRun) -> None:
    findings = judge(band, Curve(make_run(9, epochs=3).folder))
    missing = [finding.figure.name for finding in findings if finding.value is None]
    assert missing == ["train loss, step 200", "dev loss, epoch 4"]
    assert [finding.is_in_band for finding in findings][-3:] == [True, False, False]


def test_a_figure_that_is_no_number_is_out(band: SeedBand, make_run: MakeRun) -> None:
    run = make_run(9)
    path = run.folder / "metrics.jsonl"
    path.write_text(path.read_text().replace('"loss": 100.0', '"loss": NaN'))
    out = first_out(judge(band, Curve(run.folder)))
    assert out is not None
    assert out.figure.name == "train loss, step 10"


# --- whether it says anything


def test_other_settings_and_corpora_are_told(
    band: SeedBand, make_run: MakeRun, recipe_toml: Path
) -> None:
    run = make_run(9)
    settings = load_settings(recipe_toml)
    assert reasons_not_to_compare(band, settings, run) == []
    PreparationNotes([], ["dev: 2 utterances, the full corpus has 9"], []).save(run.notes)
    environment = json.loads(run.environment.read_text()) | {"num_processes": 2}
    run.environment.write_text(json.dumps(environment))
    other = load_settings(recipe_toml, ["model.hidden_size=250", "augment.noise_snr_db=[5, 9]"])
    assert reasons_not_to_compare(band, other, run) == [
        "augment.noise_snr_db was None and is now [5.0, 9.0]",
        "model.hidden_size was 7 and is now 250",
        "dev: 2 utterances, the full corpus has 9",
        "2 processes trained it, not one",
    ]


def test_where_things_lie_and_the_seed_do_not_matter(recipe_toml: Path, band: SeedBand) -> None:
    overrides = ["recipe.seed=77", "data.root=/elsewhere", "decode.method=beam"]
    assert changed_settings(band.settings, load_settings(recipe_toml, overrides)) == []
    transducer = load_settings(recipe_toml, [*overrides, "model.kind=transducer"])
    changed = [line.split()[0] for line in changed_settings(band.settings, transducer)]
    assert changed == ["decode.method", "model.kind"], "its dev error is that of a narrow beam"


# --- expected.toml

COUNTS = """\
# What the corpus holds.
protocol = "plain"

[splits.dev]  # both voices
tokens = 391
"""


def test_a_band_is_put_beside_the_counts(band: SeedBand, tmp_path: Path) -> None:
    path = tmp_path / "expected.toml"
    path.write_text(COUNTS)
    save_band(path, band)
    text = path.read_text()
    assert text.startswith(COUNTS + "\n# --- Seed band: ")
    assert max(map(len, text.splitlines())) <= 120
    expected = load_expected(path)
    assert expected.band == band
    assert expected.splits["dev"].tokens == 391
    save_band(path, band)
    assert path.read_text() == text
    other = band.model_copy(update={"made_with": "another"})
    save_band(path, other)
    assert load_expected(path).band == other
    assert path.read_text().startswith(COUNTS + "\n# --- Seed band: ")


def test_a_band_without_counts(band: SeedBand, tmp_path: Path) -> None:
    save_band(tmp_path / "expected.toml", band)
    assert load_expected(tmp_path / "expected.toml").band == band
    assert load_expected(tmp_path / "none.toml").band is None


def test_nothing_of_others_is_overwritten(band: SeedBand, tmp_path: Path) -> None:
    path = tmp_path / "expected.toml"
    save_band(path, band)
    text = path.read_text() + "\n[splits.dev]\ntokens = 391\n"
    path.write_text(text)
    with pytest.raises(ConfigError, match="splits stands below the line '# --- Seed band: '"):
        save_band(path, band)
    _, _, by_hand = text.partition("\n[band]")
    path.write_text(f"[band]{by_hand}")
    with pytest.raises(ConfigError, match=r"\[band\] stands before the line"):
        save_band(path, band)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[splits.dev]\ntoken = 391\n", "splits.dev.token is not a known key; did you mean tokens"),
        ("[splits.dev]\ntokens = 3.5\n", "splits.dev.tokens = 3.5; expected a whole number"),
        ("[band]\nseeds = [1]\n", "band.confidence is missing"),
        ("[split.dev]\n", "split is not a known key; did you mean splits"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "expected.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"expected\.toml: ") as info:
        load_expected(tmp_path / "expected.toml")
    assert problem in str(info.value)


def test_a_recipe_beside_another_has_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "expected-960h.toml").touch()
    assert find_expected(tmp_path / "960h.toml").name == "expected-960h.toml"
    assert find_expected(tmp_path / "recipe.toml").name == "expected.toml"


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[3].glob("recipes/*/expected*.toml")))
def test_the_bands_that_come_with_asrkit_are_of_their_recipes(path: Path) -> None:
    band = load_expected(path).band
    if band is None:
        assert "[band" not in path.read_text()
        return
    name = path.name.removeprefix("expected").removeprefix("-")
    recipe_toml = path.with_name("recipe.toml" if name == ".toml" else name)
    assert changed_settings(band.settings, load_settings(recipe_toml)) == []
    assert tomllib.loads(path.read_text())["band"]["confidence"] == 0.95
