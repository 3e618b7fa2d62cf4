"""`asrkit transcribe`: audio files to text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asrkit.errors import EXIT_SOME_FAILED

if TYPE_CHECKING:
    from asrkit.settings import DecodeSettings
    from asrkit.transcribe.pipeline import Transcript
    from asrkit.transcribe.writers import Writer

_DEFAULT_BATCH_S = 120.0


def transcribe_command(
    context: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|FOLDER|GLOB|-",
            help="Audio (WAV, FLAC, Ogg, Opus, MP3, AIFF, NIST SPHERE); - reads standard input.",
        ),
    ],
    *,
    model: Annotated[
        Path,
        typer.Option(metavar="MODEL", exists=True, dir_okay=False, help="A trained model (.asr)."),
    ],
    formats: Annotated[str, typer.Option("--format", help="txt, json, or both: txt,json.")] = "txt",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Write one file a format and input here, not to stdout.",
        ),
    ] = None,
    method: Annotated[
        Literal["greedy", "beam"] | None, typer.Option(help="The model's own if not given.")
    ] = None,
    beam_size: Annotated[
        int | None,
        typer.Option(min=1, help="Of --method beam; the model's own if not given."),
    ] = None,
    batch_s: Annotated[
        float,
        typer.Option(min=0.0, help="Seconds of audio recognised at once: speed against memory."),
    ] = _DEFAULT_BATCH_S,
) -> None:
    """Print what is said in audio files of any rate and channel count.

    One file gives its text; several give a line each, the file and its text separated by a tab
    (--format json: an object a line). A file that cannot be read is reported on standard error,
    the others go on, and the exit code is 1.
    """
    import tempfile

    import torch

    from asrkit.model_file import load_recognizer
    from asrkit.nn.denormals import flushed_denormals
    from asrkit.progress import CountProgress
    from asrkit.transcribe.inputs import check_distinct_names, find_sources
    from asrkit.transcribe.pipeline import Failure, transcribe

    context.with_resource(flushed_denormals())
    writers = _choose_writers(formats, out)
    with tempfile.TemporaryDirectory() as spool:
        sources = find_sources(inputs, Path(spool))
        if out is not None:
            check_distinct_names(sources)
        recognizer = load_recognizer(model)
        if torch.cuda.is_available():
            recognizer.model.cuda()
        settings = _decode_settings(recognizer.settings.decode, method, beam_size)
        failures = []
        with CountProgress("transcribing", len(sources)) as progress:
            for result in transcribe(recognizer, sources, settings, batch_s):
                progress.advance()
                if isinstance(result, Failure):
                    failures.append(result)
                    progress.say(f"asrkit: {result.message}")
                    continue
                if result.conversion:
                    progress.say(f"asrkit: {result.source.label}: {result.conversion}")
                if out is not None:
                    _write_files(out, result, writers)
                else:
                    _print(result, len(sources) > 1, writers)
    if failures:
        typer.echo(
            f"asrkit: {len(failures)} of {len(sources)} failed: "
            f"{', '.join(failure.source.label for failure in failures)}",
            err=True,
        )
        raise typer.Exit(EXIT_SOME_FAILED)


def _decode_settings(
    of_model: DecodeSettings, method: Literal["greedy", "beam"] | None, beam_size: int | None
) -> DecodeSettings:
    """Put what was asked for in place of the model's own."""
    from asrkit.errors import UsageError

    changes = {"method": method, "beam_size": beam_size}
    settings = of_model.model_copy(update={k: v for k, v in changes.items() if v is not None})
    if beam_size is not None and settings.method == "greedy":
        raise UsageError(f"--beam-size {beam_size}: the greedy search has none; add --method beam")
    return settings


def _choose_writers(formats: str, out: Path | None) -> dict[str, Writer]:
    from asrkit.errors import UsageError
    from asrkit.transcribe.writers import WRITERS

    names = [name.strip() for name in formats.split(",")]
    for name in names:
        if name not in WRITERS:
            raise UsageError(f"--format {name}: unknown; expected {' or '.join(WRITERS)}")
    if out is None and len(names) > 1:
        raise UsageError(f"--format {formats}: several formats need --out DIR")
    return {name: WRITERS[name] for name in names}


def _print(transcript: Transcript, is_one_of_many: bool, writers: dict[str, Writer]) -> None:
    for name, write in writers.items():
        if is_one_of_many and name == "txt":
            # A file name may hold what separates the two cells, or the lines.
            label = " ".join(transcript.source.label.replace("\t", " ").splitlines())
            typer.echo(f"{label}\t", nl=False)
        typer.echo(write(transcript), nl=False)


def _write_files(out: Path, transcript: Transcript, writers: dict[str, Writer]) -> None:
    from asrkit.files import write_atomically

    for name, write in writers.items():
        path = out / transcript.source.name.with_name(f"{transcript.source.name.name}.{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        # What is not UTF-8 in a file name are lone surrogates; JSON escapes them as Python does.
        write_atomically(path, write(transcript).encode("utf-8", "backslashreplace"))
