"""Writing ARPA files."""

from __future__ import annotations

import math
from pathlib import Path

from asrkit.files import open_atomically
from asrkit.lm.ngram import NGramModel
from asrkit.lm.trie import split_levels

_LINES_AT_ONCE = 1 << 16


def write_arpa(path: Path, model: NGramModel) -> None:
    """Write a model as an ARPA file in UTF-8; the file appears whole or not at all.

    Log-probabilities are to base 10 with seven digits, which is what 32-bit numbers hold.
    """
    to_log10 = 1 / math.log(10)
    with open_atomically(path) as file:
        header = "".join(f"ngram {k}={count}\n" for k, count in enumerate(model.counts, 1))
        file.write(f"\\data\\\n{header}".encode())
        grams: list[str] = []
        for order, level in enumerate(split_levels(model.arrays, model.counts), 1):
            file.write(f"\n\\{order}-grams:\n".encode())
            is_last = order == model.order
            contexts, grams = grams, []
            for start in range(0, len(level), _LINES_AT_ONCE):
                part = slice(start, start + _LINES_AT_ONCE)
                last_words = map(model.words.__getitem__, level.word[part].tolist())
                if order == 1:
                    names = list(last_words)
                else:
                    before = map(contexts.__getitem__, level.context[part].tolist())
                    names = [
                        f"{context} {word}"
                        for context, word in zip(before, last_words, strict=True)
                    ]
                log_probs = (level.log_prob[part] * to_log10).tolist()
                if is_last:
                    lines = [f"{p:.7g}\t{name}\n" for p, name in zip(log_probs, names, strict=True)]
                else:
                    grams += names
                    backoffs = (level.backoff[part] * to_log10).tolist()
                    lines = [
                        f"{p:.7g}\t{name}\t{b:.7g}\n"
                        for p, name, b in zip(log_probs, names, backoffs, strict=True)
                    ]
                file.write("".join(lines).encode())
        file.write(b"\n\\end\\\n")
