"""The table of 2013 is the paper's; a table that makes no sense is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrkit.bundled import RECIPES_DIR
from asrkit.errors import ConfigError, UsageError
from asrkit.recipe.results_table import find_table, load_table
from asrkit.recipe.table_figures import count_weights
from asrkit.recipe.table_run import TableRun

RECIPE = RECIPES_DIR / "timit" / "recipe.toml"
TABLE = RECIPES_DIR / "timit" / "tables" / "graves2013.toml"
# As the paper's Table 1 states them, in millions.
WEIGHTS_M = {
    "CTC-3l-500h-tanh": 3.7,
    "CTC-1l-250h": 0.8,
    "CTC-1l-622h": 3.8,
    "CTC-2l-250h": 2.3,
    "CTC-3l-421h-uni": 3.8,
    "CTC-3l-250h": 3.8,
    "CTC-5l-250h": 6.8,
    "Trans-3l-250h": 4.3,
    "PreTrans-3l-250h": 4.3,
}
SMALL = """
title = "Small"
source = "nobody"
protocols = ["plain"]
[phases.first]
[phases.second.settings.train]
weight_noise_std = 0.1
[networks.a]
published = { weights_m = 1.0, epochs = 2, per = 3.0 }
[networks.b]
start_from = ["c", "a"]
phases = ["second"]
published = { weights_m = 1.0, epochs = 2, per = 3.0 }
[networks.c]
start_from = ["a"]
"""


@pytest.fixture(scope="module")
def graves2013() -> TableRun:
    return TableRun(RECIPE, TABLE, Path("nowhere"), [])


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


# --- the paper's


def test_nine_rows_in_the_order_of_the_paper(graves2013: TableRun) -> None:
    assert {n: p.weights_m for n, p in graves2013.table.rows.items()} == WEIGHTS_M
    assert list(graves2013.table.rows) == list(WEIGHTS_M)
    rates = [published.per for published in graves2013.table.rows.values()]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("name", WEIGHTS_M)
def test_numbers_of_weights_are_those_of_the_paper(graves2013: TableRun, name: str) -> None:
    for phase in graves2013.table.phases_of(name):
        settings = graves2013.planned_settings(name, 1, phase)
        assert round(count_weights(settings, 61 + 1) / 1e6, 1) == WEIGHTS_M[name]


@pytest.mark.parametrize("name", [*WEIGHTS_M, "next-phone"])
def test_all_networks_are_trained_as_in_the_paper(graves2013: TableRun, name: str) -> None:
    for phase in graves2013.table.phases_of(name):
        settings = graves2013.planned_settings(name, 3, phase)
        model, train, features = settings.model, settings.train, settings.features
        assert settings.recipe.seed == 3
        assert model.cell == ("tanh" if name.endswith("tanh") else "lstm_peephole")
        assert (model.init, model.init_range, model.forget_bias) == ("uniform", 0.1, 0.0)
        assert (model.dropout, model.recurrent_dropout, model.connection) == (0.0, 0.0, "plain")
        assert (train.optimizer, train.learning_rate, train.momentum) == ("sgd", 1e-4, 0.9)
        assert (train.schedule, train.warmup_steps, train.weight_decay) == ("constant", 0, 0.0)
        assert (train.clip_norm, train.clip_value, train.truncate_frames) == (0.0, 0.0, 0)
        assert train.weight_noise_std == (0.075 if phase == "noise" else 0.0)
        assert train.early_stopping_epochs > 0
        assert settings.data.max_batch_utterances == 1
        assert settings.augment == type(settings.augment)()
        assert (features.num_mel_bins + features.use_energy) * (features.delta_order + 1) == 123
        assert (settings.decode.method, settings.decode.beam_size) == ("beam", 100)
        assert settings.score.protocol == graves2013.table.protocols[0] == "timit39"


def test_noise_begins_at_the_best_point_without_it(graves2013: TableRun) -> None:
    def begins_with(name: str, phase: str) -> list[str]:
        return list(graves2013.planned_settings(name, 2, phase).train.initial_weights)

    def final(name: str, phase: str) -> str:
        return f"nowhere/{name}/seed-2/{phase}/checkpoints/final.safetensors"

    for name in WEIGHTS_M:
        if name.startswith("PreTrans"):
            others = [final("CTC-3l-250h", "noise"), final("next-phone", "noise")]
            assert graves2013.table.phases_of(name) == ("noise",)
            assert begins_with(name, "noise") == others
            continue
        assert begins_with(name, "noiseless") == []
        if not name.endswith("tanh"):
            assert begins_with(name, "noise") == [final(name, "noiseless")]
    assert graves2013.table.phases_of("CTC-3l-500h-tanh") == ("noiseless",)


# --- names


def test_a_table_is_found_by_name() -> None:
    assert find_table(RECIPE, "graves2013") == TABLE
    with pytest.raises(UsageError, match="timit has no such table; expected one of graves2013"):
        find_table(RECIPE, "graves2014")
    with pytest.raises(UsageError, match="mini has no such table; the recipe has none"):
        find_table(RECIPES_DIR / "mini" / "recipe.toml", "graves2013")


def test_rows_come_after_what_they_begin_with(small: Path) -> None:
    table = load_table(small)
    assert list(table.rows) == ["a", "b"]
    assert table.with_needed(["b"]) == ["a", "c", "b"]
    assert table.with_needed(["a", "b"]) == ["a", "c", "b"]
    assert table.with_needed(["a"]) == ["a"]
    assert table.phases_of("a") == ("first", "second")
    assert table.phases_of("b") == ("second",)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"nobody"', "7", "source = 7; expected a string in quotes"),
        ("per = 3.0", "per = -1.0", "networks.a.published.per = -1.0; input should be greater"),
        ("epochs = 2", "epoch = 2", "epoch is not a known key; did you mean epochs?"),
        ("[phases.first]", "[phases.first]\nnoise = 1", "phases.first.noise is not a known key"),
        ('phases = ["second"]', 'phases = ["third"]', "'third'; known: first, second"),
        ('["c", "a"]', '["d"]', "networks.b.start_from names 'd'; known: a, b, c"),
        ('start_from = ["a"]', 'start_from = ["b"]', "b by start_from; expected no circle"),
        ("[phases.first]", "[settings]\nmodel = 3\n[phases.first]", "settings.model = 3"),
        ('["plain"]', "[]", "protocols = []"),
        ("title", "[title", "not valid TOML"),
    ],
)
def test_mistakes_are_named(small: Path, old: str, new: str, problem: str) -> None:
    small.write_text(SMALL.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_table(small)
    assert problem in str(caught.value)
    assert all(line.startswith(f"{small}: ") for line in str(caught.value).splitlines())
