"""The model card: what a model is, what it scored and on what, in Markdown."""

from __future__ import annotations

import json
from pathlib import Path

from asrkit.recipe.environment import Environment
from asrkit.recipe.prepare import PreparationNotes
from asrkit.recipe.run_folder import RunFolder
from asrkit.settings import Settings


def write_card(
    settings: Settings, run: RunFolder, notes: PreparationNotes, recipe_folder: Path
) -> str:
    """Compose the card from the settings, what the run folder holds, and the recipe's `card.md`.

    The latter is for what only people know: sources, licences, known failures. It may be absent.
    """
    environment = Environment.load(run.environment)
    model = settings.model
    direction = "bidirectional" if model.bidirectional else "unidirectional"
    lines = [
        f"# {settings.recipe.name}",
        "",
        settings.recipe.description,
        "",
        f"- network: {model.num_layers} x {model.hidden_size} {direction} {model.cell}, "
        f"{'CTC' if model.kind == 'ctc' else model.kind}",
        f"- input: {settings.features.kind} at {settings.data.sample_rate_hz} Hz, "
        f"one output frame every {settings.features.frame_shift_ms * model.subsampling:g} ms",
        f"- tokens: {settings.data.unit}"
        f"{f'; phones, off layer {model.phone_layer}' if model.phone_layer else ''}"
        f"{', and tokens off phones' if model.spells_from == 'phones' else ''}",
        f"- trained with: asrkit {environment.asrkit}, commit {environment.commit()}, "
        f"seed {settings.recipe.seed}",
        "",
        "## Scores",
        "",
    ]
    for split in settings.decode.splits:
        path = run.score(split)
        if not path.exists():
            continue
        report = json.loads(path.read_text("utf-8"))
        rate = report["error_rate"]
        lines.append(
            f"- {split}: {report['measure']} "
            f"{'undefined' if rate is None else f'{100 * rate:.2f} %'}, protocol "
            # A score of an older version has the protocol's name only.
            f"{report.get('protocol_id', report['protocol'])}, "
            f"{report['reference']['utterances']} utterances, "
            f"{report['reference']['tokens']} tokens, {settings.decode.method} search"
        )
    if notes.deviations:
        lines += ["", "These scores do not compare with those on the full corpus:", ""]
        lines += [f"- {item}" for item in (*notes.deviations, *notes.remarks)]
    by_hand = recipe_folder / "card.md"
    if by_hand.exists():
        lines += ["", by_hand.read_text("utf-8").rstrip()]
    return "\n".join([*lines, ""])
