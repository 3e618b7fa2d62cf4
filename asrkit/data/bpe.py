"""Byte-pair encoding: words as pieces of one or several characters.

Sennrich, Haddow & Birch, Neural Machine Translation of Rare Words with Subword Units, ACL 2016. The
pieces come from sentencepiece (Kudo & Richardson 2018), in the order in which they were merged; a
word is split by the same merges in the same order. So the list of pieces is all that encoding
needs: no model file beside it, which a unigram model with its probabilities would be.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from itertools import pairwise

from asrkit.errors import TokenError

WORD_START = "\u2581"
"""Begins every piece that begins a word; sentencepiece's sign for a space, `▁`."""

_RESERVED = 1
"""sentencepiece has a piece for what is unknown, in the place of the blank."""
_MAX_SENTENCE_BYTES = 1 << 24


def split_word(word: str, ranks: Mapping[str, int]) -> list[str]:
    """Split a word, without its mark, into pieces.

    Of all neighbours that make up a piece together, those of the lowest rank are joined, the first
    of them where there are several; and again, until none are left.

    Parameters
    ----------
    word
        Of which every character has a rank.
    ranks
        Of the pieces, by the order of merging.
    """
    pieces = [WORD_START, *word]
    while True:
        found = [
            (ranks[left + right], place)
            for place, (left, right) in enumerate(pairwise(pieces))
            if left + right in ranks
        ]
        if not found:
            return pieces
        _, place = min(found)
        pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]


def learn_pieces(texts: Iterable[str], vocabulary_size: int) -> list[str]:
    """Learn pieces from transcripts, in order of merging; the single characters come last.

    Parameters
    ----------
    texts
        Transcripts. Pieces do not reach beyond a word.
    vocabulary_size
        Of the pieces and the blank.

    Returns
    -------
    list of str
        `vocabulary_size - 1` of them, the same for the same texts.

    Raises
    ------
    TokenError
        If there are fewer or more to be had from these transcripts, or they hold `▁` itself.
    """
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer  # noqa: PLC0415

    lines = [" ".join(text.split()) for text in texts]
    characters = {character for line in lines for character in line} - {" "}
    if not characters:
        raise TokenError("token table: the transcripts are all empty")
    if WORD_START in characters:
        raise TokenError(
            f"token table: a transcript holds {WORD_START!r} (U+2581), which marks where pieces "
            "begin words; remove it"
        )
    least = _RESERVED + 1 + len(characters)
    if vocabulary_size < least:
        raise TokenError(
            f"data.vocabulary_size = {vocabulary_size}: the blank, {WORD_START} and "
            f"{len(characters)} characters alone are {least}; raise it, or normalise the "
            "transcripts"
        )
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocabulary_size,
        hard_vocab_limit=False,  # what is missing is counted below
        character_coverage=1.0,
        normalization_rule_name="identity",
        split_by_unicode_script=False,  # only spaces separate, so that an apostrophe does not
        split_by_number=False,
        bos_id=-1,
        eos_id=-1,
        max_sentence_length=_MAX_SENTENCE_BYTES,
        num_threads=1,
        minloglevel=2,
    )
    processor = SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [processor.id_to_piece(i) for i in range(_RESERVED, processor.vocab_size())]
    if len(pieces) + 1 < vocabulary_size:
        raise TokenError(
            f"data.vocabulary_size = {vocabulary_size}: the transcripts have only "
            f"{len(pieces) + 1} pieces with the blank; lower it to that at most"
        )
    return pieces
