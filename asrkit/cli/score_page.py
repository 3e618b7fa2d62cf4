"""`asrkit score --html`: write the error browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from asrkit.cli.results import exit_if_any_failed
from asrkit.errors import UsageError
from asrkit.files import write_atomically

if TYPE_CHECKING:
    from asrkit.browser.posteriors import Listener
    from asrkit.browser.recordings import Recording
    from asrkit.score.reading import Transcripts
    from asrkit.score.report import ScoreReport


def check_page_options(
    html: Path | None, audio: Path | None, model: Path | None, audio_utterances: int | None
) -> None:
    """Refuse options that would change nothing, before anything is computed."""
    given = {"--audio": audio, "--model": model, "--audio-utterances": audio_utterances}
    for name, value in given.items():
        if html is None and value is not None:
            raise UsageError(f"{name} {value}: adds to the page of --html FILE; expected that too")
    if html is not None and not html.parent.is_dir():
        raise UsageError(f"--html {html}: there is no folder {html.parent}; make it first")


def write_score_page(
    html: Path,
    report: ScoreReport,
    paths: tuple[Path, Path],
    transcripts: tuple[Transcripts, Transcripts],
    audio: Path | None,
    model: Path | None,
    audio_utterances: int | None,
) -> None:
    """Write the page of a score, say what is in it, and exit with 1 if audio could not be read.

    `paths` and `transcripts` are those of the references and of the hypotheses.
    """
    from asrkit.browser.build import DEFAULT_AUDIO_UTTERANCES, Source, build_page, sounding
    from asrkit.progress import CountProgress

    recordings = _find_recordings(paths[0], audio, model)
    references, hypotheses = transcripts
    with_speakers = {utt_id: each.speaker for utt_id, each in recordings.items() if each.speaker}
    source = Source(
        report,
        *_names(*paths),
        references.texts,
        hypotheses.texts,
        {**with_speakers, **references.speakers},
        recordings,
        _open(model) if model else None,
    )
    most = DEFAULT_AUDIO_UTTERANCES if audio_utterances is None else audio_utterances
    num_sounding = len(sounding(source, most))
    with CountProgress("audio", num_sounding) as progress:
        page = build_page(source, most, progress.advance)
    write_atomically(html, page.content)
    for remark in (*page.failures.values(), *page.remarks):
        typer.echo(f"asrkit: {remark}", err=True)
    typer.echo(f"asrkit: {html}: {len(page.content) / 1e6:.1f} MB, {page.sound}", err=True)
    exit_if_any_failed(list(page.failures), num_sounding)


def _names(ref: Path, hyp: Path) -> tuple[str, str]:
    """Call both files by their names, or by their paths if these are the same."""
    return (ref.name, hyp.name) if ref.name != hyp.name else (str(ref), str(hyp))


def _find_recordings(ref: Path, audio: Path | None, model: Path | None) -> dict[str, Recording]:
    from asrkit.browser.recordings import is_manifest, read_recordings

    if audio is not None:
        return read_recordings(audio)
    if is_manifest(ref):
        return read_recordings(ref)
    if model is not None:
        raise UsageError(
            f"--model {model}: there is no audio for it to hear, as {ref} is no manifest; expected "
            "--audio MANIFEST too"
        )
    return {}


def _open(model: Path) -> Listener:
    from asrkit.api import open_model
    from asrkit.browser.posteriors import Listener
    from asrkit.model_file import sha256_of
    from asrkit.transcribe.reading import reading_of

    return Listener(reading_of(open_model(model)), f"{model.name}, SHA-256 {sha256_of(model)}")
