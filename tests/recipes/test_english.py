"""`scripts/train-english` is carried out to its end: small layers, little text, one pass each."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from asrkit.data.manifest import read_manifest, write_manifest
from asrkit.model_file import load_recognizer

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    not (ROOT / ".venv/bin/asrkit").exists(), reason="scripts/setup has not made .venv"
)
def test_hearing_and_then_spelling(tmp_path: Path) -> None:
    corpus = ROOT / "recipes/mini/corpus"
    for name, count in (("train.jsonl", 8), ("dev.jsonl", 4)):
        write_manifest(tmp_path / name, read_manifest(corpus / name)[:count])
    text = tmp_path / "text.txt"
    text.write_text("one two three\nfour five\n")
    options = ["--set", "train.max_epochs=1", "--set", "model.hidden_size=8"]
    done = subprocess.run(
        [ROOT / "scripts/train-english", tmp_path, text, tmp_path / "runs", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    hears, spells = (
        load_recognizer(tmp_path / "runs" / run / "model.asr") for run in ("hearing", "spelling")
    )
    assert hears.settings.recipe.name == "english"
    assert spells.settings.recipe.name == "english-spelling"
    # What hears was taken over as it is.
    name = "network.phone_output.weight"
    assert hears.model.state_dict()[name].equal(spells.model.state_dict()[name])
