"""`scripts/train-english` is carried out to its end: small layers, little text, one pass each."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from asrkit.model_file import load_recognizer

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    not (ROOT / ".venv/bin/asrkit").exists(), reason="scripts/setup has not made .venv"
)
def test_hearing_and_then_spelling(tmp_path: Path) -> None:
    corpus = ROOT / "recipes/mini/corpus"
    for name, count in (("train", 8), ("dev", 4)):
        records = map(json.loads, (corpus / f"{name}.jsonl").read_text().splitlines()[:count])
        lines = [
            json.dumps({**each, "audio_filepath": str(corpus / each["audio_filepath"])})
            for each in records
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
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
