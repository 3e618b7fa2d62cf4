"""Targets of settings, and of what runs write down about themselves."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

from asrkit.bundled import RECIPES_DIR
from asrkit.config import load_settings, settings_from_toml, settings_to_toml
from asrkit.data.download import read_downloads
from asrkit.recipe.expected import load_expected
from asrkit.recipe.plan import Cost, Plan
from asrkit.recipe.prepare import PreparationNotes
from asrkit.recipe.results_table import load_table
from asrkit.settings import DecodeSettings
from asrkit.train.metrics import MetricsLog, read_metrics
from asrkit.transcribe.output_folder import RECORD_NAME, OutputFolder
from fuzzing.structures import Parts
from fuzzing.target import INPUT, Target

_MINI = RECIPES_DIR / "mini" / "recipe.toml"


def _recipes() -> list[Parts]:
    names = ("mini", "timit", "librispeech", "lstm_lab")
    texts = [(RECIPES_DIR / name / "recipe.toml").read_bytes() for name in names]
    texts.append(settings_to_toml(load_settings(_MINI)).encode())
    texts.append(b'extends = ["features/graves2013"]\n[recipe]\nname = "x"\n')
    return [{"recipe.toml": text} for text in texts]


def _read_settings(folder: Path) -> None:
    settings = load_settings(folder / "recipe.toml")
    assert settings_from_toml(settings_to_toml(settings), "copy") == settings


def _overrides() -> list[Parts]:
    texts = (
        "train.max_epochs=10",
        "augment.speed_factors=[0.9, 1.0, 1.1]",
        "recipe.description=über all",
        'decode = {method = "beam", hotwords = ["a", "b:3"]}',
        "train.learning_rate = 1e-3",
    )
    return [{"override": text.encode()} for text in texts]


def _read_override(folder: Path) -> None:
    text = (folder / "override").read_bytes().decode("utf-8", "surrogateescape")
    load_settings(_MINI, [text])


def _of_recipes(pattern: str, name: str) -> list[Parts]:
    return [{name: path.read_bytes()} for path in sorted(RECIPES_DIR.glob(pattern))]


def _metrics() -> list[Parts]:
    folder = Path(INPUT)
    with MetricsLog(folder, keep_bytes=0) as log:
        for step in range(1, 4):
            log.write("step", step, {"loss": 1 / step, "lr": 1e-3})
        log.write("epoch", 3, {"epoch": 1, "dev_error": 0.5, "note": "größer"})
    written = (folder / "metrics.jsonl").read_bytes()
    return [{"metrics.jsonl": written}]


def _read_metrics(folder: Path) -> None:
    for event in ("step", "epoch"):
        assert all(isinstance(item, dict) for item in read_metrics(folder, event))


_MADE_WITH = {
    "model": "0" * 64,
    "precision": "float32",
    "nbest": 1,
    "decode": DecodeSettings().model_dump(mode="json"),
}


def _resume_records() -> list[Parts]:
    return [{RECORD_NAME: json.dumps(_MADE_WITH, indent=1).encode()}]


def _resume(folder: Path) -> None:
    OutputFolder(folder, {"txt": "txt"}).begin(_MADE_WITH, resume=True)


def _notes() -> list[Parts]:
    notes = PreparationNotes(["a remark"], [], ["ann", "größer"])
    return [{"notes.json": json.dumps(asdict(notes)).encode()}]


def _plans() -> list[Parts]:
    plan = Plan("cpu", 3, 1.5, 2, 7, Cost(1.0, 2, 0, 3), (0.5, 1.5), {"model.cell": "lstm"})
    return [{"plan.json": json.dumps(asdict(plan)).encode()}]


TARGETS = (
    Target("settings", _recipes, _read_settings),
    Target("override", _overrides, _read_override, named_as="--set"),
    Target(
        "table-toml",
        partial(_of_recipes, "*/tables/*.toml", "table.toml"),
        lambda folder: load_table(folder / "table.toml"),
    ),
    Target(
        "downloads",
        partial(_of_recipes, "*/downloads.toml", "downloads.toml"),
        lambda folder: read_downloads(folder / "downloads.toml"),
    ),
    Target(
        "expected",
        partial(_of_recipes, "*/expected*.toml", "expected.toml"),
        lambda folder: load_expected(folder / "expected.toml"),
    ),
    Target("metrics", _metrics, _read_metrics),
    Target("resume", _resume_records, _resume, named_as=""),
    Target("notes", _notes, lambda folder: PreparationNotes.load(folder / "notes.json")),
    Target("plan", _plans, lambda folder: Plan.load(folder / "plan.json")),
)
"""A refusal to resume names the folder or the option."""
