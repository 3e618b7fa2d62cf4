"""`asrkit tune`: how a model decodes best, found on a dev set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from asrkit.tuning.report import TuningReport


def tune_command(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", exists=True, dir_okay=False, help="A CTC model (.asr)."),
    ],
    *,
    manifest: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="Dev set (JSONL), with transcripts."),
    ],
    check: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Another set, to see what the choice is worth there."
        ),
    ] = None,
    lm: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Language model: ARPA or asrkit lm build's."
        ),
    ] = None,
    rescoring_lm: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Recurrent language model: asrkit lm train's."
        ),
    ] = None,
    lexicon: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A word and its tokens a line."),
    ] = None,
    vocabulary: Annotated[
        Literal["open", "closed"] | None,
        typer.Option(help="Whether other words can be spelled; the model's own if not given."),
    ] = None,
    beam_sizes: Annotated[
        str, typer.Option(help="To choose from; of equally good ones the smallest.")
    ] = "4,8,16,32,64",
    threads: Annotated[
        int, typer.Option(min=0, help="Utterances decoded at once; 0: as many as cores.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder for tuning.json, surface.png, reliability.png."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", dir_okay=False, help="Write a tuned copy of the model here (.asr)."),
    ] = None,
) -> None:
    """Choose the search, its beam size and the weights of a language model on a dev set.

    With a language model the priors of the symbols are measured too, and it is chosen how far they
    are taken out of the posteriors, and how sure the network is taken to be.

    Prints a table of error rates: greedy, beam, beam + LM. What has the fewest errors is chosen, of
    equally good ones the fastest; if nothing is better than the greedy search, that stays, the
    table says so, and the exit code is 0. The probabilities of words are calibrated too. MODEL is
    not changed; -o writes a copy whose settings are the chosen ones. It finds the LM by its place
    beside it: move both together.
    """
    import os
    from dataclasses import replace

    from asrkit.decode.fusion_settings import place_decode_files, relate_decode_files
    from asrkit.errors import UsageError
    from asrkit.model_file import load_recognizer, save_recognizer
    from asrkit.tuning.dev_set import listen
    from asrkit.tuning.report import Checked, TuningReport
    from asrkit.tuning.tune import calibrate_words, tune

    if output is not None and output.exists() and output.samefile(model):
        raise UsageError(f"-o {output}: is MODEL itself; expected another file")
    if lexicon is not None and lm is None:
        raise UsageError(f"--lexicon {lexicon}: has weights to tune only with a language model")
    if rescoring_lm is not None and lm is None:
        raise UsageError(f"--rescoring-lm {rescoring_lm}: ranks what --lm finds; add --lm")
    sizes = _read_beam_sizes(beam_sizes)
    recognizer = load_recognizer(model)
    wanted = {
        "lm": lm and str(lm),
        "rescoring_lm": rescoring_lm and str(rescoring_lm),
        "lexicon": lexicon and str(lexicon),
        "pronouncer": None if lexicon else "",  # the model's own serves any lexicon
        "vocabulary": vocabulary,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    settings = place_decode_files(recognizer.settings.decode, model.parent).model_copy(
        update={"lm": "", "rescoring_lm": "", "lexicon": "", **given}
    )

    threads = threads or os.cpu_count() or 1
    dev = listen(recognizer, manifest, threads)
    tuning = tune(dev, settings, sizes)
    report = TuningReport(tuning, dev)
    if check is not None:
        held_out = listen(recognizer, check, threads)
        rows = {name: held_out.decode(row.settings) for name, row in tuning.rows.items()}
        fit = calibrate_words(held_out, rows[tuning.chosen], tuning.settings)
        report = replace(report, check=Checked(held_out, rows, fit))
    typer.echo(report.text())

    if out is not None:
        _write_report(out, report)
    if output is not None:
        decode = relate_decode_files(tuning.settings, output.parent)
        tuned = recognizer.settings.model_copy(update={"decode": decode})
        card = report.extend_card(recognizer.card)
        save_recognizer(output, replace(recognizer, settings=tuned, card=card))


def _write_report(folder: Path, report: TuningReport) -> None:
    """Write what was found as JSON and pictures."""
    import json

    from asrkit.files import write_atomically
    from asrkit.tuning.picture import draw_reliability, draw_surface
    from asrkit.tuning.weights import Weights

    tuning = report.tuning
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(report.to_json(), ensure_ascii=False, indent=1)
    write_atomically(folder / "tuning.json", f"{content}\n".encode())
    if tuning.surface:
        num_ref = max(1, tuning.rows["greedy"].counts.num_ref)
        rates = {weights: errors / num_ref for weights, errors in tuning.surface.items()}
        fused = tuning.rows["beam + LM"].settings
        best = Weights(fused.lm_weight, fused.word_bonus)
        draw_surface(folder / "surface.png", rates, best, report.measure)
    if tuning.calibration:
        draw_reliability(folder / "reliability.png", tuning.calibration)


def _read_beam_sizes(text: str) -> list[int]:
    from asrkit.errors import UsageError

    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise UsageError(f"--beam-sizes {text}: expected whole numbers from 1, as in 4,8,16")
    return sizes
