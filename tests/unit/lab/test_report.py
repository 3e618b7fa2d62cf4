"""The tables: medians over seeds, what failed, and the paper's figure with its source."""

from __future__ import annotations

import json

from asrkit.lab.report import make_rows, to_json, to_markdown
from asrkit.lab.trial import Result, Trial
from asrkit.lab_settings import Experiment, Reber


def make_result(solved: bool, num_sequences: int) -> Result:
    found = "0 of 256 strings wrong" if solved else "7 of 256 strings wrong"
    return Result(solved, num_sequences, found, ((num_sequences, 0.5),), 120, 1.5)


EXPERIMENT = Experiment.model_validate(
    {
        "name": "reber",
        "task": Reber(name="reber"),
        "cells": ("lstm", "tanh"),
        "hidden_size": 4,
        "max_sequences": 30_000,
        "test_interval": 1000,
        "paper": {"lstm": "100 %"},
        "source": "A paper, Table 1",
    }
)
RESULTS = [
    *(
        (Trial(EXPERIMENT, "lstm", "bptt", seed), make_result(solved, num_sequences))
        for seed, solved, num_sequences in ((1, True, 9000), (2, False, 30_000), (3, True, 12_000))
    ),
    (Trial(EXPERIMENT, "tanh", "bptt", 1), make_result(False, 30_000)),
]


def test_a_row_is_a_cell_over_its_seeds() -> None:
    rows = make_rows(RESULTS)
    assert [len(row.results) for row in rows] == [3, 1]
    assert [row.num_solved for row in rows] == [2, 0]
    assert [row.median_sequences for row in rows] == [10_500, None]


def test_the_table() -> None:
    lines = to_markdown(make_rows(RESULTS)).splitlines()
    assert lines[0] == "## Embedded Reber grammar"
    assert "every prediction right in all of 256 new strings" in lines[2]
    assert lines[4] == "Paper: A paper, Table 1."
    head, rule, lstm, tanh = (
        [field.strip() for field in line.strip("|").split("|")] for line in lines[6:10]
    )
    assert set("".join(rule)) == {"-"}
    assert len({len(line) for line in lines[6:10]}) == 1
    assert lstm == [
        *("lstm", "bptt", "120", "2 of 3", "10,500"),
        *("7 of 256 strings wrong", "100 %"),
    ]
    assert tanh[3:] == ["0 of 1", "> 30,000", "7 of 256 strings wrong", ""]
    assert len(head) == len(lstm)


def test_json_holds_every_trial() -> None:
    (lstm, tanh) = json.loads(to_json(make_rows(RESULTS)))
    assert [trial["seed"] for trial in lstm["trials"]] == [1, 2, 3]
    assert lstm["trials"][0]["curve"] == [[9000, 0.5]]
    assert tanh["median_sequences"] is None
