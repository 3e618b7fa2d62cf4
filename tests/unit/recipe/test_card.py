"""The model card states what a model is and what its scores are worth."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from asrkit.recipe.card import write_card
from asrkit.recipe.environment import Environment
from asrkit.recipe.prepare import PreparationNotes
from asrkit.recipe.run_folder import RunFolder
from asrkit.settings import Settings

SETTINGS: dict[str, dict[str, Any]] = {
    "recipe": {"name": "tones", "description": "Letters said as tones", "seed": 5},
    "features": {"kind": "mfcc"},
    "model": {"num_layers": 2, "hidden_size": 30, "frontend": "stack", "subsampling": 3},
    "decode": {"method": "beam", "splits": ("dev", "test")},
}
NOTHING = PreparationNotes([], [], [])


@pytest.fixture(autouse=True)
def environment(run: RunFolder) -> None:
    describe(run, git_commit="c0ffee", git_modified=False)


def describe(run: RunFolder, **environment: Any) -> None:
    found = Environment.of_this_process(seed=5)
    dataclasses.replace(found, asrkit="1.2.3", **environment).save(run.environment)


def write(run: RunFolder, notes: PreparationNotes = NOTHING, **model: object) -> str:
    tables = {**SETTINGS, "model": {**SETTINGS["model"], **model}}
    return write_card(Settings.model_validate(tables), run, notes, run.folder)


def score(run: RunFolder, split: str, error_rate: float | None) -> None:
    report = {
        "measure": "PER",
        "error_rate": error_rate,
        "protocol": "timit39",
        "reference": {"utterances": 192, "tokens": 7215},
    }
    run.score(split).write_text(json.dumps(report))


def test_what_it_is(run: RunFolder) -> None:
    assert write(run).splitlines()[:8] == [
        "# tones",
        "",
        "Letters said as tones",
        "",
        "- network: 2 x 30 bidirectional lstm, CTC",
        "- input: mfcc at 16000 Hz, one output frame every 30 ms",
        "- tokens: char",
        "- trained with: asrkit 1.2.3, commit c0ffee, seed 5",
    ]
    assert "2 x 30 unidirectional lstm" in write(run, bidirectional=False)


def test_code_that_cannot_be_told_exactly(run: RunFolder) -> None:
    describe(run, git_commit="c0ffee", git_modified=True)
    assert "commit c0ffee with local changes, seed" in write(run)
    describe(run, git_commit=None, git_modified=False)
    assert "commit unknown, seed" in write(run)


def test_scores(run: RunFolder) -> None:
    score(run, "test", 0.17654)
    score(run, "dev", None)
    assert write(run).splitlines()[-2:] == [
        "- dev: PER undefined, protocol timit39, 192 utterances, 7215 tokens, beam search",
        "- test: PER 17.65 %, protocol timit39, 192 utterances, 7215 tokens, beam search",
    ]
    assert "do not compare" not in write(run)


def test_scores_on_part_of_a_corpus(run: RunFolder) -> None:
    score(run, "test", 0.5)
    notes = PreparationNotes(["no core test set"], ["test: 3 utterances, the full has 192"], [])
    assert write(run, notes).endswith(
        "These scores do not compare with those on the full corpus:\n\n"
        "- test: 3 utterances, the full has 192\n- no core test set\n"
    )


def test_what_the_recipe_has_to_add(run: RunFolder) -> None:
    without = write(run)
    (run.folder / "card.md").write_text("## Data\n\nOne voice, CC0.\n\n")
    assert write(run) == f"{without}\n## Data\n\nOne voice, CC0.\n"
