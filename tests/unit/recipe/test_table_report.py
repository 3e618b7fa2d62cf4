"""The report of a table: figures beside the published ones, and when they mean nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from asrkit.data.manifest import Utterance, write_manifest
from asrkit.data.tokens import TokenTable
from asrkit.recipe.prepare import PreparationNotes
from asrkit.recipe.results_table import load_table
from asrkit.recipe.table_chart import draw_table
from asrkit.recipe.table_figures import Row, TableFigures, TrainedNetwork, collect_figures
from asrkit.recipe.table_report import table_to_json, table_to_markdown
from asrkit.recipe.table_run import TableRun
from asrkit.score.protocol import load_protocol

RECIPE = """
[recipe]
name = "tiny"
[data]
unit = "phone"
[features]
num_mel_bins = 4
[model]
num_layers = 1
hidden_size = 2
[train]
max_epochs = 9
early_stopping_epochs = 2
[score]
unit = "phone"
protocol = "timit39"
"""
TABLE = """
title = "Two networks"
source = "nobody"
protocols = ["timit39", "timit39-optional-sil"]
[phases.quiet]
[phases.noisy]
[networks.one]
published = { weights_m = 1.5, epochs = 7, per = 30.0 }
[networks.two]
published = { weights_m = 2.5, epochs = 8, per = 20.0 }
"""


@pytest.fixture
def table_toml(tmp_path: Path) -> Path:
    path = tmp_path / "tables" / "two.toml"
    path.parent.mkdir()
    path.write_text(TABLE)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return path


def figures(table_toml: Path, rates: list[float], deviations: tuple[str, ...] = ()) -> TableFigures:
    table = load_table(table_toml)
    trained = [
        TrainedNetwork(
            seed=seed,
            weights=1_449_999,
            epochs={"quiet": 4, "noisy": 2 * seed},
            error_rates={"timit39": rate, "timit39-optional-sil": rate / 2},
        )
        for seed, rate in enumerate(rates, start=1)
    ]
    one, two = table.rows.values()
    rows = [Row("one", one, trained), Row("two", two, [])]
    return TableFigures("two", table, rows, deviations, ["abc"] if rates else [])


def cells(markdown: str) -> list[list[str]]:
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert len({len(line) for line in lines}) == 1, "columns are aligned"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_mean_and_spread_stand_beside_the_published(table_toml: Path) -> None:
    text = table_to_markdown(figures(table_toml, [0.25, 0.30, 0.20]))
    assert "Corpus, budget and settings are those of the table." in text
    heading, _, one, two = cells(text)
    assert heading[-3:] == ["PER timit39", "PER timit39-optional-sil", "published"]
    assert one == [
        *("one", "1.4 (1.5)", "8 (7)", "3"),
        *("25.00 (20.00 to 30.00)", "12.50 (10.00 to 15.00)", "30.0"),
    ]
    assert two == ["two", "– (2.5)", "– (8)", "0", "–", "–", "20.0"]
    assert f"- {load_protocol('timit39').id}: TIMIT phones in the 39 classes" in text
    assert "at commit abc." in text


def test_a_single_seed_has_no_spread(table_toml: Path) -> None:
    single = figures(table_toml, [0.25])
    assert cells(table_to_markdown(single))[2][4:6] == ["25.00", "12.50"]
    (one, _) = json.loads(table_to_json(single))["rows"]
    of_strict = one["error_rates"]["timit39"]
    assert of_strict["mean"] == of_strict["min"] == of_strict["max"] == 0.25
    assert (of_strict["standard_deviation"], of_strict["num_seeds"]) == (None, 1)


def test_json_has_every_figure(table_toml: Path) -> None:
    content = json.loads(table_to_json(figures(table_toml, [0.25, 0.35], ("corpus: half",))))
    assert content["compares_with_published"] is False
    assert content["deviations"] == ["corpus: half"]
    one, two = content["rows"]
    assert one["published"] == {"weights_m": 1.5, "epochs": 7, "per": 30.0}
    assert one["error_rates"]["timit39"]["standard_deviation"] == pytest.approx(math.sqrt(0.005))
    assert one["trained"][1] == {
        "seed": 2,
        "weights": 1_449_999,
        "epochs": {"quiet": 4, "noisy": 4},
        "error_rates": {"timit39": 0.35, "timit39-optional-sil": 0.175},
    }
    assert (two["trained"], two["error_rates"]) == ([], {})
    infinite = json.loads(table_to_json(figures(table_toml, [math.inf, 0.5])))
    assert infinite["rows"][0]["error_rates"]["timit39"]["mean"] is None


def test_it_says_when_the_figures_mean_nothing(table_toml: Path) -> None:
    text = table_to_markdown(figures(table_toml, [0.25], ("corpus: half", "budget: cut")))
    assert "do not compare with the published ones, and say nothing about the networks" in text
    assert "- corpus: half\n- budget: cut\n" in text
    assert "No row is trained yet." in table_to_markdown(figures(table_toml, []))


@pytest.mark.parametrize("rates", [[], [0.25], [0.2, 0.3, math.inf]])
def test_the_picture(table_toml: Path, tmp_path: Path, rates: list[float]) -> None:
    path = tmp_path / "table.png"
    draw_table(path, figures(table_toml, rates, ("corpus: half",)))
    assert path.read_bytes().startswith(b"\x89PNG")


# --- what is found in the folder


class Folder:
    """A table's folder as training leaves it, made by hand."""

    def __init__(self, table_toml: Path, *overrides: str, deviations: tuple[str, ...] = ()) -> None:
        recipe_toml = table_toml.parents[1] / "recipe.toml"
        self.run = TableRun(recipe_toml, table_toml, table_toml.parents[1] / "runs", overrides)
        (self.run.prepared.folder / "data").mkdir(parents=True)
        notes = PreparationNotes(["dev: others"], list(deviations), [])
        notes.save(self.run.prepared.notes)

    def add(self, network: str, seed: int, errors: dict[str, list[float]], text: str) -> None:
        """Add a trained network by the dev errors of its phases and what it says in the test."""
        for phase, dev_errors in errors.items():
            run = self.run.run_folder(network, seed, phase)
            settings = self.run.planned_settings(network, seed, phase)
            run.open(settings, resume=False)
            lines = [
                json.dumps({"event": "epoch", "step": n, "epoch": n, "dev_error": error}) + "\n"
                for n, error in enumerate(dev_errors, start=1)
            ]
            (run.folder / "metrics.jsonl").write_text("".join(lines))
        audio = run.folder / "x.wav"
        write_manifest(run.manifest("test"), [Utterance("x", audio, 1.0, "h# aa b h#")])
        run.hypotheses("test").write_text(json.dumps({"utt_id": "x", "text": text}) + "\n")
        tokens = TokenTable.from_texts(["h# aa b"], "phone")
        run.tokens.write_text(tokens.to_text())
        run.model.touch()


def test_figures_are_gathered_over_seeds(table_toml: Path) -> None:
    folder = Folder(table_toml)
    early = {"quiet": [0.9, 0.5, 0.6, 0.5, 0.7, 0.8], "noisy": [0.4, 0.3, 0.4, 0.4]}
    folder.add("one", 1, early, "h# aa b h#")
    folder.add("one", 10, early, "aa b")
    (folder.run.folder / "one" / "seed-2" / "quiet").mkdir(parents=True)  # only begun
    gathered = collect_figures(folder.run)
    one, two = gathered.rows
    assert two.trained == []
    assert [network.seed for network in one.trained] == [1, 10]
    assert one.trained[0].epochs == {"quiet": 4, "noisy": 2}
    assert one.error_rates("timit39") == [0.0, 0.5]
    assert one.error_rates("timit39-optional-sil") == [0.0, 0.0]
    # Two LSTM cells each way on 4 filters and their own outputs, with a bias; then 4 outputs.
    assert one.trained[0].weights == 2 * 4 * 2 * (4 + 2 + 1) + (4 + 1) * 4
    assert gathered.deviations == []
    assert len(gathered.commits) == 1


def test_a_cut_budget_and_changed_settings_are_told(table_toml: Path) -> None:
    folder = Folder(
        *(table_toml, "train.max_epochs=2", "model.dropout=0.5", "train.checkpoint_steps=7"),
        deviations=("test: 1 utterances, the full corpus has 192",),
    )
    folder.add("one", 1, {"quiet": [0.9, 0.5], "noisy": [0.5, 0.4]}, "h# aa b h#")
    assert collect_figures(folder.run).deviations == [
        "corpus: test: 1 utterances, the full corpus has 192",
        "corpus: dev: others",
        "budget: train.max_epochs = 2 ended the training, and the dev set might have got better",
        "settings: model.dropout = 0.5",
    ]


def test_what_holds_for_some_networks_names_them(table_toml: Path) -> None:
    folder = Folder(table_toml)
    early, cut = [0.5, 0.6, 0.6], [0.1 * n for n in range(9, 0, -1)]
    folder.add("one", 1, {"quiet": early, "noisy": early}, "h# aa b h#")
    folder.add("two", 1, {"quiet": early, "noisy": cut}, "h# aa b h#")
    assert collect_figures(folder.run).deviations == [
        "budget: train.max_epochs = 9 ended the training, and the dev set might have got better: "
        "two"
    ]
