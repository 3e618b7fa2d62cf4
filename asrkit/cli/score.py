"""`asrkit score`: the error rate of hypotheses against references."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asrkit.cli.score_page import check_page_options, write_score_page
from asrkit.errors import ScoreError, UsageError

if TYPE_CHECKING:
    from asrkit.score.reading import Transcripts

# Listed by file name, so that --help need not import the scorer.
_PROTOCOLS = sorted(
    entry.name.removesuffix(".toml")
    for entry in (files("asrkit") / "score" / "protocols").iterdir()
    if entry.name.endswith(".toml")
)
_FILE_HELP = (
    "JSONL (utt_id, text), Kaldi text, trn, STM, CTM, CSV or TSV, or results of icefall, "
    "SpeechBrain or Kaldi's per_utt"
)


def score_command(
    ref: Annotated[Path, typer.Argument(metavar="REF", help=f"References: {_FILE_HELP}.")],
    hyp: Annotated[
        Path | None,
        typer.Argument(
            metavar="HYP",
            help="Hypotheses, likewise; may be left out if REF holds them too, as results do.",
        ),
    ] = None,
    *,
    unit: Annotated[
        Literal["word", "char", "phone"] | None,
        typer.Option(help="What errors are counted in; the protocol's own if not given."),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            metavar="NAME[,NAME]",
            help=f"How texts are normalised: {', '.join(_PROTOCOLS)}; several are shown side by "
            "side (see `asrkit protocols`).",
        ),
    ] = "plain",
    alignments: Annotated[
        bool, typer.Option("--alignments", help="Add the alignment of every utterance.")
    ] = False,
    missing: Annotated[
        Literal["error", "delete"],
        typer.Option(help="A reference without a hypothesis is an error, or counts as deleted."),
    ] = "error",
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="HYP2",
            dir_okay=False,
            help="Other hypotheses for REF: is the difference between HYP and them real, how large "
            "is it, and which words changed?",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Also write a page to look at every utterance; with audio if REF is a manifest.",
        ),
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST", help="Where the audio is for --html, if REF does not say."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            exists=True,
            dir_okay=False,
            help="A CTC model (.asr) whose posteriors and times to show in --html.",
        ),
    ] = None,
    audio_utterances: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="Utterances with audio in --html, the worst; 50 if not given."
        ),
    ] = None,
) -> None:
    """Print the error rate of HYP against REF, its 95 % interval and what was compared.

    Utterances are paired by their ids.
    """
    from asrkit.score.protocol import load_protocols
    from asrkit.score.reading import read_transcripts
    from asrkit.score.scorer import score

    check_page_options(html, audio, model, audio_utterances)
    rules, *beside = load_protocols(protocol)
    references = read_transcripts(ref)
    if hyp is None:
        hyp = _same_file(ref, references)
    hypotheses = read_transcripts(hyp, references)
    score_hyps = partial(
        score,
        references.texts,
        unit=unit or rules.units[0],
        protocol=rules,
        speakers=references.speakers,
        allow_missing=missing == "delete",
        alternatives=references.alternatives,
    )
    report = score_hyps(hypotheses.texts, beside=beside)
    if against is None:
        typer.echo(report.to_json(alignments) if as_json else report.text(alignments))
    else:
        from asrkit.score.comparison import compare
        from asrkit.score.comparison_report import comparison_json, comparison_text

        others = read_transcripts(against, references).texts
        try:
            comparison = compare(report, score_hyps(others))
        except ScoreError as error:
            raise ScoreError(f"--against {against}: {error}") from None
        write = comparison_json if as_json else comparison_text
        typer.echo(write(comparison, alignments))
    if html is not None:
        sides = (ref, hyp), (references, hypotheses)
        write_score_page(html, report, *sides, audio, model, audio_utterances)


def _same_file(ref: Path, references: Transcripts) -> Path:
    """Take the hypotheses from the file of the references, if it has them."""
    if not references.has_both_sides:
        raise UsageError(
            f"{ref}: holds one transcript an utterance; give the other file as HYP (only results "
            "of icefall, SpeechBrain and Kaldi's per_utt hold both)"
        )
    return ref
