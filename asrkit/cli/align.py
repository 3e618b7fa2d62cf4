"""`asrkit align`: when the words of a text are said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrkit.cli.results import (
    check_fits_stdout,
    choose_writers,
    exit_if_any_failed,
    write_result,
)

if TYPE_CHECKING:
    from asrkit.transcribe.align import AlignedRecording
    from asrkit.transcribe.writers import AlignmentWriter


def align_command(
    context: typer.Context,
    audio: Annotated[
        Path,
        typer.Argument(metavar="AUDIO|MANIFEST", help="A recording; or many with their texts."),
    ],
    text: Annotated[
        Path | None,
        typer.Argument(metavar="[TEXT]", help="A text file (UTF-8): what is said in AUDIO."),
    ] = None,
    *,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            exists=True,
            dir_okay=False,
            help="A model trained with CTC (.asr); the English one that comes with asrkit if not "
            "given.",
        ),
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", help="json, srt, vtt, ctm, textgrid, or several: json,ctm.")
    ] = "json",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Write one file a format and recording here, not to stdout.",
        ),
    ] = None,
) -> None:
    """Find when each word and token of a known text is said, and how sure the model is of it.

    A manifest (.jsonl) lists many recordings with their texts. Recordings may be hours long. The
    text may be cased and punctuated as usual; what is changed to spell it for the model is
    reported on standard error, and characters that the model cannot spell are an error. A word's
    confidence, 0 to 1, is the mean posterior of its tokens. With a model that reads phones, such as
    the English one, the tokens are phones; those of words that its lexicon lacks are guessed. A
    recording that fails is reported, the others go on, and the exit code is 1.
    """
    from asrkit.api import open_model
    from asrkit.nn.denormals import flushed_denormals
    from asrkit.progress import CountProgress
    from asrkit.transcribe.align import AlignFailure, align_recordings
    from asrkit.transcribe.align_inputs import find_recordings
    from asrkit.transcribe.writers import ALIGNMENT_WRITERS

    context.with_resource(flushed_denormals())
    recordings = find_recordings(audio, text)
    writers = choose_writers(formats, out, ALIGNMENT_WRITERS)
    if out is None:
        check_fits_stdout(writers, len(recordings))
    recognizer = open_model(model)
    failures = []
    with CountProgress("aligning", len(recordings)) as progress:
        for result in align_recordings(recognizer, recordings):
            progress.advance()
            if isinstance(result, AlignFailure):
                failures.append(result)
                progress.say(f"asrkit: {result.message}")
                continue
            for remark in (result.conversion, result.spelled.note, result.doubt):
                if remark:
                    progress.say(f"asrkit: {result.recording.label}: {remark}")
            _write(result, writers, out)
    exit_if_any_failed([failure.label for failure in failures], len(recordings))


def _write(
    aligned: AlignedRecording, writers: dict[str, AlignmentWriter], out: Path | None
) -> None:
    from asrkit.transcribe.writers import suffix_of

    for name, write in writers.items():
        if out is None:
            typer.echo(write(aligned), nl=False)
        else:
            path = out / f"{aligned.recording.file_name}.{suffix_of(name)}"
            write_result(path, write(aligned))
