"""From texts to a language model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from pathlib import Path

from asrkit.errors import UsageError
from asrkit.lm.corpus import Corpus, read_corpus
from asrkit.lm.counting import count_ngrams
from asrkit.lm.entropy_pruning import prune_by_entropy
from asrkit.lm.kneser_ney import estimate, frequent_ngrams
from asrkit.lm.ngram import NGramModel
from asrkit.lm.trie import build_arrays

MAX_ORDER = 10


def build_model(
    paths: Sequence[Path],
    order: int,
    *,
    prune: Sequence[int] = (),
    entropy_threshold: float = 0.0,
    vocabulary: Iterable[str] | None = None,
    max_words: int | None = None,
    discount_fallback: bool = False,
    on_progress: Callable[[str, float], None] | None = None,
) -> NGramModel:
    """Estimate an n-gram model by interpolated modified Kneser-Ney smoothing.

    Parameters
    ----------
    paths
        Texts, a sentence a line; see `asrkit.lm.corpus.read_corpus`.
    order
        Length of the longest n-grams, 1 to `MAX_ORDER`.
    prune
        For order 1, 2, ...: n-grams that occur so many times or fewer are left out. The last number
        holds for all higher orders; the numbers must not fall.
    entropy_threshold
        See `asrkit.lm.entropy_pruning.prune_by_entropy`; 0 leaves nothing out.
    vocabulary, max_words
        Which words there are; others are `<unk>`. See `asrkit.lm.corpus.read_corpus`.
    discount_fallback
        See `asrkit.lm.discounts.estimate_discounts`.
    on_progress
        Called with what is being done and the share of all work that is done.

    Raises
    ------
    UsageError
        If a parameter is out of range.
    LanguageModelError
        If a text cannot be read or is too small or odd for the smoothing.
    """
    if not 1 <= order <= MAX_ORDER:
        raise UsageError(f"order is {order}; expected 1 to {MAX_ORDER}")
    if entropy_threshold < 0:
        raise UsageError(f"entropy pruning threshold is {entropy_threshold}; expected 0 or more")
    limits = _limits(prune, order)
    report = on_progress or (lambda *_: None)
    reading = 0.4
    total_bytes = sum(path.stat().st_size for path in paths if path.is_file())

    def on_read(num_bytes: int) -> None:
        report("reading", reading * num_bytes / total_bytes if total_bytes else 0.0)

    return estimate_model(
        read_corpus(paths, vocabulary, max_words, on_read),
        order,
        limits=limits,
        entropy_threshold=entropy_threshold,
        discount_fallback=discount_fallback,
        on_progress=lambda stage, share: report(stage, reading + (1 - reading) * share),
    )


def estimate_model(
    corpus: Corpus,
    order: int,
    *,
    limits: Sequence[int],
    entropy_threshold: float,
    discount_fallback: bool,
    on_progress: Callable[[str, float], None],
) -> NGramModel:
    """Estimate a model of a text in memory.

    `limits` are those of each order, see `asrkit.lm.kneser_ney.frequent_ngrams`; the rest is as for
    `build_model`.

    Raises
    ------
    LanguageModelError
        If the text is too small or odd for the smoothing.
    """
    counts = []
    for number, level in enumerate(count_ngrams(corpus, order), 1):
        counts.append(level)
        on_progress("counting", 0.5 * number / order)
    on_progress("estimating", 0.5)
    kept = frequent_ngrams(counts, limits)
    levels = estimate(counts, kept, discount_fallback=discount_fallback)
    words = list(compress(corpus.words, kept[0]))
    del counts, kept
    if entropy_threshold > 0:
        on_progress("pruning", 0.65)
        levels = prune_by_entropy(levels, entropy_threshold)
    on_progress("linking", 0.85)
    return NGramModel(words, build_arrays(levels), [len(level) for level in levels])


def _limits(prune: Sequence[int], order: int) -> list[int]:
    """Give the pruning limit of each order."""
    shown = " ".join(map(str, prune))
    if len(prune) > order:
        raise UsageError(f"prune is {shown}; expected at most {order} numbers, one an order")
    limits = [*prune, *[prune[-1] if prune else 0] * (order - len(prune))]
    if min(limits) < 0 or limits != sorted(limits):
        raise UsageError(f"prune is {shown}; expected numbers of 0 or more that do not fall")
    return limits
