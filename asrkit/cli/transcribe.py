"""`asrkit transcribe`: audio files to text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from asrkit.cli.results import (
    check_fits_stdout,
    choose_writers,
    exit_if_any_failed,
    write_result,
)

if TYPE_CHECKING:
    from asrkit.model_file import Recognizer
    from asrkit.settings import DecodeSettings
    from asrkit.transcribe.inputs import Source
    from asrkit.transcribe.output_folder import OutputFolder
    from asrkit.transcribe.pipeline import Transcript
    from asrkit.transcribe.writers import Writer

FORMATS = ("txt", "json", "srt", "vtt", "tsv", "ctm", "stm", "textgrid")
"""The keys of `asrkit.transcribe.writers.WRITERS`, which cannot be imported without torch."""
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
        Path | None,
        typer.Option(
            metavar="MODEL",
            exists=True,
            dir_okay=False,
            help="A trained model (.asr); the English one that comes with asrkit if not given.",
        ),
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", help=f"{', '.join(FORMATS)}, or several: txt,json.")
    ] = "txt",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Write one file a format and input here, not to stdout.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Of --out: go on where a run ended; inputs whose files are there are left out.",
        ),
    ] = False,
    method: Annotated[
        Literal["greedy", "beam"] | None, typer.Option(help="The model's own if not given.")
    ] = None,
    beam_size: Annotated[
        int | None,
        typer.Option(min=1, help="Of --method beam; the model's own if not given."),
    ] = None,
    lm: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Language model: ARPA, or what `asrkit lm build` writes.",
        ),
    ] = None,
    rescoring_lm: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="What `asrkit lm train` writes: ranks the best hypotheses anew. A model's own is "
            "for its own --lm only.",
        ),
    ] = None,
    lm_weight: Annotated[
        float | None, typer.Option(min=0.0, help="Factor of the language model's log-probability.")
    ] = None,
    word_bonus: Annotated[
        float | None, typer.Option(help="Added to the score for each word.")
    ] = None,
    lexicon: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="A word and its tokens a line."
        ),
    ] = None,
    pronouncer: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="What `asrkit lexicon learn` writes: guesses phones of hotwords that the lexicon "
            "lacks.",
        ),
    ] = None,
    vocabulary: Annotated[
        Literal["open", "closed"] | None,
        typer.Option(
            help="closed: only words of the lexicon or the language model. A model that reads "
            "phones knows no others anyway."
        ),
    ] = None,
    hotwords: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Phrases to favour, `phrase` or `phrase:weight` a line.",
        ),
    ] = None,
    hotword: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="A phrase to favour, or phrase:weight; repeatable."),
    ] = None,
    nbest: Annotated[
        int,
        typer.Option(
            min=1,
            help="Hypotheses of each file, or of each segment of a long one; json has them as "
            "alternatives.",
        ),
    ] = 1,
    batch_s: Annotated[
        float,
        typer.Option(min=0.0, help="Seconds of audio recognised at once: speed against memory."),
    ] = _DEFAULT_BATCH_S,
    precision: Annotated[
        Literal["float32", "int8"],
        typer.Option(
            help="int8: recurrent layers in 8 bits, on the CPU; faster, hardly different."
        ),
    ] = "float32",
) -> None:
    """Print what is said in audio files of any rate, channel count and length.

    One file gives its text; several give a line each, the file and its text separated by a tab
    (--format json: an object a line). What is longer than 30 s is cut at pauses, and stretches in
    which nobody speaks are left out. A file that cannot be read is reported on standard error, the
    others go on, and the exit code is 1.

    With --out, a folder's files are written below it as they lie in that folder, each when it is
    complete. DIR/.asrkit-transcribe.json records the model and the decoding settings; --resume
    refuses others, and transcribes what is missing, older than that record or older than its audio.
    """
    import tempfile

    from asrkit.api import open_model
    from asrkit.bundled import ENGLISH_MODEL
    from asrkit.decode.search import load_decode_files
    from asrkit.errors import UsageError
    from asrkit.nn.denormals import flushed_denormals
    from asrkit.transcribe.inputs import check_distinct_names, find_sources
    from asrkit.transcribe.output_folder import OutputFolder, describe_run
    from asrkit.transcribe.writers import WRITERS, suffix_of

    context.with_resource(flushed_denormals())
    writers = choose_writers(formats, out, WRITERS)
    if nbest > 1 and "json" not in writers:
        raise UsageError(f"--nbest {nbest}: only json has room for alternatives; add --format json")
    if resume and out is None:
        raise UsageError("--resume: there is nothing to go on with on stdout; add --out DIR")
    with tempfile.TemporaryDirectory() as spool:
        sources = find_sources(inputs, Path(spool))
        if out is not None:
            check_distinct_names(sources)
        else:
            check_fits_stdout(writers, len(sources))
        recognizer = open_model(model, precision)
        changes = {
            "method": method,
            "beam_size": beam_size,
            "lm": lm and str(lm),
            "rescoring_lm": rescoring_lm and str(rescoring_lm),
            "lm_weight": lm_weight,
            "word_bonus": word_bonus,
            "lexicon": lexicon and str(lexicon),
            "pronouncer": pronouncer and str(pronouncer),
            "vocabulary": vocabulary,
            "hotwords": _read_hotwords(hotwords, hotword),
        }
        settings = _decode_settings(recognizer.settings.decode, changes, nbest)
        load_decode_files(settings, recognizer.table(settings))
        todo = sources
        give = partial(_print, is_one_of_many=len(sources) > 1, writers=writers)
        if out is not None:
            folder = OutputFolder(out, {name: suffix_of(name) for name in writers})
            folder.begin(
                describe_run(model or ENGLISH_MODEL, precision, settings, nbest), resume=resume
            )
            if resume:
                todo = [source for source in sources if not folder.has(source)]
            if len(todo) < len(sources):
                done = len(sources) - len(todo)
                typer.echo(f"asrkit: {done} of {len(sources)} were transcribed before", err=True)
            give = partial(_write_files, folder=folder, writers=writers)
        failed = _transcribe(todo, give, recognizer, settings, batch_s, nbest)
    exit_if_any_failed(failed, len(sources))


def _transcribe(
    sources: Sequence[Source],
    give: Callable[[Transcript], None],
    recognizer: Recognizer,
    settings: DecodeSettings,
    batch_s: float,
    nbest: int,
) -> list[str]:
    """Give each transcript, say what there is to say on stderr, and return what failed."""
    from asrkit.progress import AudioProgress
    from asrkit.transcribe.pipeline import Failure, transcribe

    failed = []
    with AudioProgress("transcribing") as progress:
        if progress.is_shown:
            progress.expect(_durations_s(sources))

        def advance(source: Source, seconds: float) -> None:
            progress.advance(source.label, seconds)

        for result in transcribe(
            recognizer, sources, settings, batch_s, nbest, on_progress=advance
        ):
            label = result.source.label
            progress.finish(label)
            if isinstance(result, Failure):
                failed.append(label)
                progress.say(f"asrkit: {result.message}")
                continue
            if result.conversion:
                progress.say(f"asrkit: {label}: {result.conversion}")
            give(result)
    return failed


def _durations_s(sources: Sequence[Source]) -> dict[str, float]:
    """Read how long the files are, 0 for those that will fail."""
    from asrkit.data.audio import audio_duration_s
    from asrkit.errors import AudioError

    durations_s = {}
    for source in sources:
        try:
            durations_s[source.label] = audio_duration_s(source.path)
        except AudioError:
            durations_s[source.label] = 0.0
    return durations_s


def _decode_settings(
    of_model: DecodeSettings, changes: Mapping[str, Any], nbest: int
) -> DecodeSettings:
    """Put what was asked for in place of the model's own; nothing asked for goes unheeded."""
    from asrkit.decode.fusion_settings import check_fusion, for_greedy_search, with_own_rescoring
    from asrkit.errors import UsageError

    given = with_own_rescoring(
        {name: value for name, value in changes.items() if value is not None}
    )
    settings = of_model.model_copy(update=given)
    if settings.method == "greedy":
        if given.get("method") == "greedy":  # the model's own are for its own search
            settings = for_greedy_search(of_model).model_copy(update=given)
        unused = [name for name in given if name != "method"] + ["nbest"] * (nbest > 1)
        if unused:
            option = "--" + unused[0].replace("_", "-")
            raise UsageError(
                f"{option} {given.get(unused[0], nbest)}: the greedy search has none; add "
                "--method beam"
            )
    if "lm_weight" in given and not settings.lm:
        raise UsageError(
            f"--lm-weight {given['lm_weight']}: there is no language model; add --lm FILE"
        )
    if "pronouncer" in given and not settings.hotwords:
        raise UsageError(
            f"--pronouncer {settings.pronouncer}: there are no hotwords to pronounce; add --hotword"
        )
    check_fusion(settings)
    return settings


def _read_hotwords(path: Path | None, phrases: Sequence[str] | None) -> tuple[str, ...] | None:
    """Collect hotwords of a file and of the command line; None if neither was given."""
    from asrkit.errors import UsageError

    if path is None and not phrases:
        return None
    try:
        lines = path.read_text("utf-8").splitlines() if path is not None else []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as hotwords: {error}") from error
    return tuple(line.strip() for line in lines if line.strip()) + tuple(phrases or ())


def _print(transcript: Transcript, is_one_of_many: bool, writers: dict[str, Writer]) -> None:
    for name, write in writers.items():
        if is_one_of_many and name == "txt":
            # A file name may hold what separates the two cells, or the lines.
            label = " ".join(transcript.source.label.replace("\t", " ").splitlines())
            typer.echo(f"{label}\t", nl=False)
        typer.echo(write(transcript), nl=False)


def _write_files(transcript: Transcript, folder: OutputFolder, writers: dict[str, Writer]) -> None:
    for name, write in writers.items():
        write_result(folder.path(transcript.source, name), write(transcript))
