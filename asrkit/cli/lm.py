"""`asrkit lm`: make, look into, measure and convert language models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrkit.cli.results import check_out_file, resumable

if TYPE_CHECKING:
    from asrkit.lm.ngram import NGramModel

app = typer.Typer(
    help="Make, look into and measure language models.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Texts = Annotated[
    list[Path],
    typer.Argument(
        metavar="TEXT...",
        help="Texts, a sentence a line, plain or compressed (gzip, bzip2, xz); of manifests "
        "(.jsonl) the transcripts; - is standard input.",
    ),
]
Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A language model: ARPA, or of asrkit lm.")
]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="FILE", help="Where it goes: ARPA if it ends in .arpa."),
]
Quantize = Annotated[
    bool,
    typer.Option("--quantize", help="Store each number as one byte; not for ARPA."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.callback()
def _group() -> None:
    """Make, look into and measure language models."""


@app.command("build")
def build_command(
    texts: Texts,
    *,
    out: Out,
    order: Annotated[int, typer.Option(help="Length of the longest n-grams.")] = 3,
    prune: Annotated[
        str,
        typer.Option(
            metavar="N,N,...",
            help="For order 1, 2, ...: leave out n-grams that occur N times or fewer. The last "
            "number holds for all higher orders.",
        ),
    ] = "0",
    entropy_prune: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Leave out n-grams without which the perplexity rises by less than this share.",
        ),
    ] = 0.0,
    max_words: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Keep the N most frequent words; others are <unk>, which is then likely: decode "
            "with decode.oov_penalty, or misspelled words cost nothing.",
        ),
    ] = None,
    vocab: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="All words of the model, between white space; others are <unk>."
        ),
    ] = None,
    discount_fallback: Annotated[
        bool,
        typer.Option(
            "--discount-fallback",
            help="Where the text is too small or odd to tell how much to discount, take 0.5, 1 "
            "and 1.5.",
        ),
    ] = False,
    quantize: Quantize = False,
) -> None:
    """Estimate a language model from TEXT by interpolated modified Kneser-Ney smoothing.

    Words are what stands between white space, taken as they are.
    """
    from asrkit.lm.build import build_model
    from asrkit.lm.corpus import read_vocabulary
    from asrkit.progress import ShareProgress

    _check_out(out, quantize)
    limits = _numbers(prune)
    with ShareProgress() as progress:
        model = build_model(
            texts,
            order,
            prune=limits,
            entropy_threshold=entropy_prune,
            vocabulary=None if vocab is None else read_vocabulary(vocab),
            max_words=max_words,
            discount_fallback=discount_fallback,
            on_progress=progress.show,
        )
        progress.show("writing", 0.95)
        _save(out, model, quantize)


@app.command("train")
def train_command(
    texts: Texts,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where it goes.")],
    hidden_size: Annotated[
        int | None,
        typer.Option(
            min=1, max=65536, help="Cells of the LSTM; 512 if not given, or those of --start."
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="How often the texts are read.")] = 2,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="A model to go on from, say on text of a domain, at a lower rate; its words and "
            "size are kept.",
        ),
    ] = None,
    learning_rate: Annotated[float, typer.Option(min=1e-9, help="The highest.")] = 2e-3,
    seed: Annotated[int, typer.Option(min=0, help="Of first weights and order.")] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from FILE.checkpoint of an interrupted run.")
    ] = False,
) -> None:
    """Train a recurrent language model, an LSTM, on TEXT, for decode.rescoring_lm.

    It ranks anew what a search with an n-gram model found. Its words are those of the texts, taken
    as they are.
    """
    from asrkit.errors import UsageError
    from asrkit.progress import ShareProgress
    from asrkit.rnnlm.model_file import load_word_lstm, save_word_lstm
    from asrkit.rnnlm.network import Sizes
    from asrkit.rnnlm.training import train_word_lstm

    check_out_file(out)
    if start is not None and hidden_size is not None:
        raise UsageError(f"--hidden-size {hidden_size}: --start {start} has its own; leave it out")
    checkpoint = out.with_name(f"{out.name}.checkpoint")
    if checkpoint.exists() and not resume:
        raise UsageError(f"{checkpoint}: a run was interrupted; add --resume, or remove the file")
    with resumable(), ShareProgress() as progress:
        progress.show("reading", 0.0)
        model = train_word_lstm(
            texts,
            checkpoint,
            None if hidden_size is None else Sizes(hidden=hidden_size),
            None if start is None else load_word_lstm(start),
            learning_rate,
            epochs=epochs,
            seed=seed,
            on_progress=progress.show,
            on_epoch=progress.say,
        )
        save_word_lstm(out, model)
    checkpoint.unlink(missing_ok=True)


@app.command("info")
def info_command(file: Model, as_json: AsJson = False) -> None:
    """Print the size of a language model: order and n-grams, or words and weights."""
    from asrkit.lm.model_file import load_ngram
    from asrkit.rnnlm.model_file import is_word_lstm, load_word_lstm

    facts: dict[str, object] = {"file": str(file)}
    if is_word_lstm(file):
        recurrent = load_word_lstm(file)
        facts |= {"bytes": file.stat().st_size, "words": len(recurrent.words)}
        facts["weights"] = sum(weights.numel() for weights in recurrent.parameters())
    else:
        model = load_ngram(file)
        facts |= {"bytes": file.stat().st_size, "order": model.order}
        facts["ngrams"] = list(model.counts)
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        if isinstance(value, list):
            for order, count in enumerate(value, 1):
                typer.echo(f"{order}-grams: {count}")
        else:
            typer.echo(f"{name}: {value}")


@app.command("perplexity")
def perplexity_command(file: Model, texts: Texts, *, as_json: AsJson = False) -> None:
    """Print how well a language model predicts TEXT."""
    from asrkit.lm.model_file import load_ngram
    from asrkit.lm.perplexity import measure_perplexity
    from asrkit.rnnlm.model_file import is_word_lstm, load_word_lstm
    from asrkit.rnnlm.perplexity import measure_recurrent_perplexity

    if is_word_lstm(file):
        result = measure_recurrent_perplexity(load_word_lstm(file), texts)
    else:
        result = measure_perplexity(load_ngram(file), texts)
    if as_json:
        facts = {
            "perplexity": result.including_oov,
            "perplexity_without_oov": result.excluding_oov,
            "log_prob_nats": result.log_prob,
            "sentences": result.num_sentences,
            "tokens": result.num_tokens,
            "oov": result.num_oov,
        }
        typer.echo(json.dumps(facts))
        return
    typer.echo(f"perplexity: {result.including_oov:.4f}")
    typer.echo(f"perplexity without unknown words: {result.excluding_oov:.4f}")
    typer.echo(f"sentences: {result.num_sentences}")
    typer.echo(f"words and sentence ends: {result.num_tokens}")
    typer.echo(f"unknown words: {result.num_oov}")


@app.command("convert")
def convert_command(file: Model, *, out: Out, quantize: Quantize = False) -> None:
    """Write a language model as ARPA or as a file that is mapped into memory."""
    from asrkit.lm.model_file import load_ngram

    _check_out(out, quantize)
    _save(out, load_ngram(file), quantize)


def _is_arpa(out: Path) -> bool:
    return out.suffix == ".arpa"


def _check_out(out: Path, quantize: bool) -> None:
    """Refuse what cannot be written before the work is done."""
    from asrkit.errors import UsageError

    if quantize and _is_arpa(out):
        raise UsageError(f"{out}: ARPA cannot be quantized; expected another ending, such as .bin")
    check_out_file(out)


def _save(out: Path, model: NGramModel, quantize: bool) -> None:
    from asrkit.lm.arpa_writer import write_arpa
    from asrkit.lm.model_file import save_ngram

    if _is_arpa(out):
        write_arpa(out, model)
    else:
        save_ngram(out, model, quantized=quantize)


def _numbers(prune: str) -> list[int]:
    from asrkit.errors import UsageError

    try:
        return [int(number) for number in prune.replace(",", " ").split()]
    except ValueError:
        raise UsageError(f"--prune {prune}: expected whole numbers, such as 0,0,1") from None
