"""`asrkit lexicon`: learn from a lexicon how letters sound, and guess pronunciations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrkit.cli.results import check_out_file, exit_if_any_failed

if TYPE_CHECKING:
    from asrkit.data.pronunciation import Phones

app = typer.Typer(
    help="Learn how letters sound, and guess how words are pronounced.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_HELD_OUT = 20
"""Every so manieth word of a lexicon tells how well words are guessed."""


@app.callback()
def _group() -> None:
    """Learn how letters sound, and guess how words are pronounced."""


@app.command("learn")
def learn_command(
    lexicon: Annotated[
        Path,
        typer.Argument(
            metavar="LEXICON",
            help="A word and its phones a line, plain or compressed (gzip, bzip2, xz); of several "
            "lines for a word the first counts; - is standard input.",
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where it goes.")],
) -> None:
    """Learn from LEXICON how letters sound, for `asrkit lexicon guess` and decode.pronouncer.

    Prints how well words are guessed: every 20th is compared with what is learned without these.
    FILE is then learned from all.
    """
    from asrkit.lm.model_file import save_ngram
    from asrkit.progress import ShareProgress
    from asrkit.pronounce.graphones import can_align
    from asrkit.pronounce.learn import learn, read_lexicon

    check_out_file(out)
    phones_of = read_lexicon(lexicon)
    unfit = [word for word, phones in phones_of.items() if not can_align(word, phones)]
    if unfit:
        typer.echo(
            f"asrkit: {len(unfit)} of {len(phones_of)} words have more than two phones a letter "
            f"and teach nothing, such as {' '.join(unfit[:5])}",
            err=True,
        )
    with ShareProgress() as progress:
        figures = _measure(phones_of, lambda stage, share: progress.show(stage, share / 2))
        model = learn(phones_of, lambda stage, share: progress.show(stage, (1 + share) / 2))
        save_ngram(out, model, quantized=True)
    typer.echo(f"words: {len(phones_of)}\n{figures}")


def _measure(phones_of: Mapping[str, Phones], on_progress: Callable[[str, float], None]) -> str:
    """Tell how well some words are guessed by what the others teach."""
    from asrkit.errors import TokenError
    from asrkit.pronounce.guess import Pronouncer
    from asrkit.pronounce.learn import learn
    from asrkit.score.alignment import align
    from asrkit.score.counts import ErrorCounts

    held_out = [*phones_of][_HELD_OUT - 1 :: _HELD_OUT]
    if not held_out:
        return f"held out: 0; fewer than {_HELD_OUT} words tell nothing of others"
    others = {**phones_of}
    for word in held_out:
        del others[word]
    pronouncer = Pronouncer(learn(others, on_progress))
    counts, num_wrong = ErrorCounts(), 0
    for word in held_out:
        try:
            guessed = pronouncer.guess(word)
        except TokenError:
            guessed = ()
        counts += ErrorCounts.from_edits(align(phones_of[word], guessed))
        num_wrong += guessed != phones_of[word]
    return (
        f"held out: {len(held_out)}\n"
        f"phone error rate: {counts.error_rate:.2%}\n"
        f"words wrong: {num_wrong / len(held_out):.2%}"
    )


@app.command("guess")
def guess_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `asrkit lexicon learn` wrote.")
    ],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORD...", help="To be pronounced.")
    ] = None,
    *,
    word_list: Annotated[
        Path | None,
        typer.Option(
            "--words",
            metavar="FILE",
            help="More words, between white space, plain or compressed; - is standard input.",
        ),
    ] = None,
) -> None:
    """Print lines of a lexicon: each word with its likeliest phones.

    A word that cannot be guessed is reported on standard error, the others go on, and the exit code
    is 1.
    """
    from asrkit.errors import TokenError, UsageError
    from asrkit.lm.corpus import read_vocabulary
    from asrkit.progress import CountProgress
    from asrkit.pronounce.guess import Pronouncer

    pronouncer = Pronouncer.load(file)
    wanted = [*(words or ()), *(read_vocabulary(word_list) if word_list is not None else ())]
    if not wanted:
        raise UsageError("no words to guess; expected WORD... or --words FILE")
    lines, failed = [], []
    with CountProgress("guessing", len(wanted)) as progress:
        for word in wanted:
            try:
                lines.append(f"{word} {' '.join(pronouncer.guess(word))}")
            except TokenError as error:
                failed.append(word)
                progress.say(f"asrkit: {error}")
            progress.advance()
    if lines:
        typer.echo("\n".join(lines))
    exit_if_any_failed(failed, len(wanted))
