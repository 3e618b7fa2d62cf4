"""`asrkit data`: check the data, or bring them into asrkit's format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    help="Check manifests, make them of other formats, or fetch a corpus.", no_args_is_help=True
)


@app.command("validate")
def validate_command(
    manifests: Annotated[
        list[Path],
        typer.Argument(metavar="MANIFEST", help="JSONL manifests, each a split of its own."),
    ],
    *,
    tokens: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Transcripts may hold only the symbols of this table."),
    ] = None,
    unit: Annotated[
        Literal["char", "phone", "bpe"] | None,
        typer.Option(help="What the symbols of --tokens are; characters if not given."),
    ] = None,
) -> None:
    """List what is wrong: kind, utterance id and message, one problem a line, on stdout.

    All audio is decoded. Exit code 1 if there is any problem; that a speaker is in several splits
    is listed too but is only a warning.
    """
    from asrkit.data.manifest import read_manifest
    from asrkit.data.tokens import TokenTable
    from asrkit.data.validate import validate
    from asrkit.errors import UsageError

    if len(set(manifests)) < len(manifests):
        raise UsageError("data validate: a manifest is given twice; give each split once")
    if unit is not None and tokens is None:
        raise UsageError(f"data validate: --unit {unit} is of --tokens FILE; add it")
    table = None if tokens is None else TokenTable.read(tokens, unit or "char")
    splits = {str(path): read_manifest(path) for path in manifests}
    problems = validate(splits, table)
    for problem in problems:
        typer.echo("\t".join([problem.kind, problem.utt_id, _in_one_line(problem.message)]))
    num_warnings = sum(problem.is_warning for problem in problems)
    num_utterances = sum(map(len, splits.values()))
    typer.echo(
        f"{num_utterances} utterances in {len(splits)} splits: {len(problems) - num_warnings} "
        f"problems, {num_warnings} warnings",
        err=True,
    )
    if len(problems) > num_warnings:
        raise typer.Exit(1)


@app.command("import")
def import_command(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A Kaldi data folder, or a CSV or TSV table.")
    ],
    manifest: Annotated[
        Path, typer.Argument(metavar="OUT.jsonl", help="The manifest to write; replaced if there.")
    ],
) -> None:
    """Turn a Kaldi data folder or a table into a manifest."""
    from asrkit.data.kaldi import read_kaldi_dir
    from asrkit.data.manifest import write_manifest
    from asrkit.data.table import read_table
    from asrkit.errors import UsageError

    if manifest.suffix != ".jsonl":
        raise UsageError(f"data import: {manifest}: expected a name that ends in .jsonl")
    utterances = read_kaldi_dir(source) if source.is_dir() else read_table(source)
    write_manifest(manifest, utterances)
    hours = sum(utterance.duration_s for utterance in utterances) / 3600
    typer.echo(f"{manifest}: {len(utterances)} utterances, {hours:.2f} h", err=True)


@app.command("download")
def download_command(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="One that has a downloads.toml, as librispeech.")
    ],
    *,
    to: Annotated[
        Path, typer.Option(metavar="DIR", file_okay=False, help="Where to; made if not there.")
    ],
    subsets: Annotated[
        list[str] | None,
        typer.Option("--subset", metavar="NAME", help="What to fetch; repeatable."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Fetch from this mirror, not from the publisher."),
    ] = None,
) -> None:
    """Fetch parts of a recipe's corpus, check them against their published MD5 sums, unpack them.

    What is interrupted goes on when the command is repeated; what is there already stays.
    """
    from asrkit.data.download import download, read_downloads
    from asrkit.errors import DataError, UsageError
    from asrkit.progress import ShareProgress
    from asrkit.recipe.locate import find_recipe

    downloads = read_downloads(find_recipe(recipe).with_name("downloads.toml"))
    known = downloads.subsets
    if not subsets or (set(subsets) - known.keys()):
        sizes = ", ".join(f"{name} ({s.num_bytes / 1e9:.1f} GB)" for name, s in known.items())
        wrong = next((name for name in subsets or () if name not in known), None)
        what = "no --subset is given" if wrong is None else f"--subset {wrong} is not known"
        raise UsageError(f"data download {recipe}: {what}; expected some of {sizes}")
    num_failed = 0
    for name in subsets:
        try:
            with ShareProgress() as progress:
                is_new = download(known[name], url or downloads.url, to, progress.show)
        except DataError as error:
            typer.echo(f"asrkit: {error}", err=True)
            num_failed += 1
            continue
        typer.echo(f"{to / known[name].folder}{'' if is_new else ': was there already'}", err=True)
    if num_failed:
        typer.echo(f"{num_failed} of {len(subsets)} subsets failed", err=True)
        raise typer.Exit(1)


def _in_one_line(message: str) -> str:
    """Make a message fit for a line of UTF-8, whatever the name of the file that it names."""
    return " ".join(message.splitlines()).encode("utf-8", "backslashreplace").decode()
