"""`asrkit model`: look into a model file, make it smaller, export it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from asrkit.cli.results import check_out_file

app = typer.Typer(
    help="Look into a trained model file, make it smaller, export it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_ModelFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A model file (.asr)."),
]


@app.callback()
def _group() -> None:
    """Look into a trained model file, make it smaller, export it."""


@app.command("info")
def info_command(
    file: _ModelFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Print the model card, the size, the fingerprint and the settings of a model."""
    from asrkit.config import settings_to_toml
    from asrkit.model_file import load_recognizer, sha256_of

    recognizer = load_recognizer(file)
    facts: dict[str, object] = {
        "file": str(file),
        "sha256": sha256_of(file),
        "bytes": file.stat().st_size,
        "weights": recognizer.num_weights,
        "tokens": len(recognizer.tokens),
    }
    if as_json:
        settings = recognizer.settings.model_dump(mode="json")
        typer.echo(json.dumps({**facts, "settings": settings, "card": recognizer.card}))
        return
    typer.echo(recognizer.card)
    for name, value in facts.items():
        typer.echo(f"{name}: {value}")
    typer.echo(f"\n{settings_to_toml(recognizer.settings)}", nl=False)


@app.command("compress")
def compress_command(
    file: _ModelFile,
    output: Annotated[
        Path, typer.Option("-o", metavar="OUT.asr", dir_okay=False, help="The smaller copy.")
    ],
    weights: Annotated[
        Literal["float16", "int8"],
        typer.Option(help="Store weights in 2 bytes, or in 1 with a scale for each row."),
    ] = "float16",
) -> None:
    """Write a copy of a model whose weights are rounded to take less space.

    It is used like any other model. A language model is found from the copy's place as well.
    """
    from dataclasses import replace

    from asrkit.decode.fusion_settings import place_decode_files, relate_decode_files
    from asrkit.errors import UsageError
    from asrkit.model_file import load_recognizer, save_recognizer

    if output.exists() and output.samefile(file):
        raise UsageError(f"-o {output}: is FILE itself; expected another file")
    check_out_file(output)
    recognizer = load_recognizer(file)
    placed = place_decode_files(recognizer.settings.decode, file.parent.absolute())
    decode = relate_decode_files(placed, output.parent.absolute())
    settings = recognizer.settings.model_copy(update={"decode": decode})
    save_recognizer(output, replace(recognizer, settings=settings), weights)
    size, before = output.stat().st_size, file.stat().st_size
    typer.echo(f"{output}: {size} bytes, of {before}")
    if size > 0.99 * before:
        typer.echo(f"asrkit: {file}: is no larger: its weights are rounded already", err=True)


@app.command("export")
def export_command(
    file: _ModelFile,
    output: Annotated[
        Path, typer.Option("-o", metavar="OUT.onnx", dir_okay=False, help="The ONNX file.")
    ],
) -> None:
    """Write a CTC model as an ONNX file, from samples to log-probabilities.

    It takes waves (batch, samples) as float32 and wave_lens (batch,) as int64, and gives log_probs
    (batch, frames, tokens) and out_lens (batch,); of a model with phones phone_log_probs (batch,
    frames, phones) too. Its metadata hold tokens and phones, the blank first, the sample rate and
    the seconds of a frame. Needs `pip install asrkit-speech[onnx]`.
    """
    from asrkit.errors import UsageError
    from asrkit.model_file import load_recognizer

    try:
        from asrkit.export.onnx_file import export_onnx
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise UsageError(
            "model export: needs the package onnx, which is not installed; "
            "pip install asrkit-speech[onnx]"
        ) from error
    check_out_file(output)
    export_onnx(output, load_recognizer(file))
    typer.echo(f"{output}: {output.stat().st_size} bytes")
