"""How well a recurrent language model predicts a text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence

from asrkit.errors import LanguageModelError
from asrkit.lm.corpus import split_sentences
from asrkit.lm.ngram import SENTENCE_END, SENTENCE_START
from asrkit.lm.perplexity import Perplexity
from asrkit.lm.text import read_lines
from asrkit.rnnlm.batches import cut
from asrkit.rnnlm.network import END, UNK, WordLstm

_WORDS_AT_ONCE = 4000


def measure_recurrent_perplexity(model: WordLstm, paths: Sequence[Path]) -> Perplexity:
    """Do as `asrkit.lm.perplexity.measure_perplexity`, and raise what it raises."""
    log_prob = oov_log_prob = 0.0
    num_tokens = num_oov = 0
    sentences = [sentence for path in paths for sentence in _read_sentences(model, path)]
    if not sentences:
        raise LanguageModelError(
            f"{', '.join(map(str, paths))}: no text; expected a sentence a line"
        )
    in_order = sorted(sentences, key=len)
    all_lengths = [len(sentence) for sentence in in_order]
    for part in cut(all_lengths, _WORDS_AT_ONCE):
        lengths = torch.tensor(all_lengths[part])
        padded = pad_sequence([torch.tensor(each, dtype=torch.int64) for each in in_order[part]])
        with torch.inference_mode():
            found = model(padded, lengths).double()
        targets = torch.cat([padded, torch.full((1, len(lengths)), END)])
        is_unknown = (targets == UNK)[torch.arange(len(targets))[:, None] <= lengths]
        log_prob += float(found.sum())
        oov_log_prob += float(found[is_unknown].sum())
        num_tokens += len(found)
        num_oov += int(is_unknown.sum())
    return Perplexity(log_prob, oov_log_prob, num_tokens, num_oov, len(sentences))


def _read_sentences(model: WordLstm, path: Path) -> list[list[int]]:
    """Give the sentences of a text as ids of words."""
    sentences: list[list[int]] = []
    for lines in read_lines(path):
        for word in split_sentences(lines):
            if word == SENTENCE_START.encode():
                sentences.append([])
            elif word != SENTENCE_END.encode():
                sentences[-1].append(model.word_id(word.decode()))
    return sentences
