"""The symbols of the transcripts, against those of the token table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from asrkit.data.manifest import Utterance
from asrkit.data.tokens import TokenUnit
from asrkit.doctor.finding import Case, Finding, excerpt, utterances
from asrkit.doctor.material import Material

MANY = 100
"""A symbol that occurs so often can be learnt, however rare it is beside others."""
RARE_SHARE = 0.01
"""A symbol is rare that occurs less often than this share of the mean of all symbols."""


def examine_inventory(material: Material) -> Iterator[Finding]:
    """Look for symbols that are unknown, rare, never used, or in two cases."""
    yield from _examine_unknown(material)
    yield from _examine_counts(material)
    yield from _examine_case(material)
    empty = [
        Case.of(split, utterance, f"{utterance.duration_s:.4g} s without a transcript")
        for split, whole in material.splits.items()
        for utterance in whole
        if not utterance.text.split()
    ]
    if empty:
        yield Finding(
            "warning",
            "empty-transcript",
            f"no transcript: {utterances(len(empty))}; a model learns from them to say nothing",
            "a transcript each, unless nothing is said",
            "transcribe them, or leave them out",
            empty,
        )


def _examine_unknown(material: Material) -> Iterator[Finding]:
    known = set("".join(material.tokens.symbols[1:]))
    if material.tokens.unit == "phone":
        known = set(material.tokens.symbols[1:])
    for split, whole in material.splits.items():
        cases: list[Case] = []
        unknown: Counter[str] = Counter()
        for utterance, labels in zip(whole, material.labels[split], strict=True):
            if labels is None:
                symbols = [
                    s for s in _symbols(utterance.text, material.tokens.unit) if s not in known
                ]
                unknown.update(symbols)
                named = " ".join(map(repr, sorted(set(symbols))))
                value = f"{named} in {excerpt(utterance.text)}"
                cases.append(Case.of(split, utterance, value))
        if cases:
            stops = split in ("train", "dev")
            yield Finding(
                "error" if stops else "warning",
                "unknown-symbol",
                f"{_with_counts(unknown)} in {utterances(len(cases))} of {split}, but not in the "
                "token table, which is made of the training transcripts; "
                + ("training refuses them" if stops else "they can never be recognised"),
                "no symbol that is not seen in training",
                "normalise the transcripts of all splits in the same way",
                cases,
            )


def _examine_counts(material: Material) -> Iterator[Finding]:
    """Look for symbols of the table that the training set has seldom, or never."""
    tokens = material.tokens
    users: dict[int, list[Utterance]] = {}
    counts: Counter[int] = Counter()
    for utterance, labels in material.encoded("train"):
        counts.update(labels)
        for token in set(labels):
            users.setdefault(token, []).append(utterance)
    limit = min(MANY, RARE_SHARE * counts.total() / max(1, len(tokens) - 1))
    rare = {tokens.symbols[t]: t for t in range(1, len(tokens)) if 0 < counts[t] < limit}
    if rare:
        yield Finding(
            "warning",
            "rare-symbol",
            f"{len(rare)} symbols are too rare in training to be learnt: "
            + _with_counts(Counter({symbol: counts[t] for symbol, t in rare.items()})),
            f"at least {limit:.0f} times each",
            "spell them in other symbols (digits as words, letters without accents) or leave these "
            "utterances out",
            [
                Case.of("train", utterance, f"{symbol!r} in {excerpt(utterance.text)}")
                for symbol, token in rare.items()
                for utterance in users[token]
            ],
        )
    never = [tokens.symbols[t] for t in range(1, len(tokens)) if not counts[t]]
    if never:
        yield Finding(
            "note",
            "unused-symbol",
            f"{len(never)} of {len(tokens) - 1} symbols of the token table never occur in "
            f"training: {' '.join(map(repr, never[:10]))}{' ...' if len(never) > 10 else ''}"
            + ("; of a table of pieces some only build others" if tokens.unit == "bpe" else ""),
            "all of them",
            "lower data.vocabulary_size if they are many"
            if tokens.unit == "bpe"
            else "prepare the data anew, in another --run-dir",
        )


def _examine_case(material: Material) -> Iterator[Finding]:
    """Look for symbols in upper and in lower case, and find the utterances of the rarer case."""
    unit = material.tokens.unit
    symbols = set(material.tokens.symbols[1:])
    both = {s for s in symbols if s != s.lower() and s.lower() in symbols}
    if unit == "bpe":
        letters = set("".join(symbols))
        both = {s for s in letters if s != s.lower() and s.lower() in letters}
    if not both:
        return
    upper: list[Case] = []
    lower: list[Case] = []
    for split, whole in material.splits.items():
        for utterance in whole:
            held = set(_symbols(utterance.text, unit))
            case = Case.of(split, utterance, excerpt(utterance.text))
            if held & both:
                upper.append(case)
            if held & {s.lower() for s in both}:
                lower.append(case)
    rarer, name = min((upper, "upper"), (lower, "lower"), key=lambda pair: len(pair[0]))
    yield Finding(
        "warning",
        "mixed-case",
        f"upper and lower case of the same letters are different symbols: {len(both)} letters; "
        f"the fewer, {utterances(len(rarer))}, have some in {name} case",
        "one case, since nobody hears it",
        "write all transcripts in lower case",
        rarer,
    )


def _symbols(text: str, unit: TokenUnit) -> Sequence[str]:
    """Give the symbols of a transcript, or the letters of which pieces are made."""
    words = text.split()
    return words if unit == "phone" else ("" if unit == "bpe" else " ").join(words)


def _with_counts(counts: Counter[str], most: int = 10) -> str:
    named = ", ".join(f"{symbol!r} {count} times" for symbol, count in counts.most_common(most))
    return f"{named} and {len(counts) - most} more" if len(counts) > most else named
