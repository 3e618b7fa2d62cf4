"""How words are pronounced, for networks that learn phones beside the tokens of a transcript."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from asrkit.data.tokens import TokenTable
from asrkit.errors import TokenError

Phones = tuple[str, ...]


def read_pronunciations(path: Path) -> dict[str, Phones]:
    """Read a lexicon: a word and its phones a line, separated by white space.

    Of several lines for a word the first counts.

    Raises
    ------
    TokenError
        Naming file and line, if a word has no phones, there is no word at all, or the file cannot
        be read.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(f"{path}: cannot be read as a lexicon: {error}") from error
    return parse_pronunciations(text, str(path))


def parse_pronunciations(text: str, where: str) -> dict[str, Phones]:
    """Read the text of a lexicon, as `read_pronunciations`; errors name `where` it is from."""
    phones_of: dict[str, Phones] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        word, *phones = line.split() or [""]
        if not word:
            continue
        if not phones:
            raise TokenError(
                f"{where}:{number}: {word!r} has no phones; expected a word and its phones"
            )
        phones_of.setdefault(word, tuple(phones))
    if not phones_of:
        raise TokenError(f"{where}: no words; expected a word and its phones a line")
    return phones_of


@dataclass(frozen=True)
class Pronunciations:
    """Words and their phones, which are tokens of a table of their own.

    Attributes
    ----------
    phones_of : mapping of str to tuple of str
        Phones of each word.
    table : TokenTable
        Of phones.
    """

    phones_of: Mapping[str, Phones]
    table: TokenTable

    @classmethod
    def for_texts(
        cls, texts: Iterable[str], lexicon: Mapping[str, Phones], further: Iterable[str] = ()
    ) -> Pronunciations:
        """Keep of a lexicon what transcripts need; the table has the phones of the kept words.

        Of further texts words are kept that have no other phones.

        Raises
        ------
        TokenError
            If the lexicon has none of their words.
        """
        words = sorted({word for text in texts for word in text.split()} & lexicon.keys())
        if not words:
            raise TokenError(
                "data.lexicon: holds none of the words of the training transcripts; expected a "
                "lexicon of their language, in the same upper or lower case"
            )
        phones_of = {word: lexicon[word] for word in words}
        table = TokenTable.from_texts(map(" ".join, phones_of.values()), "phone")
        inventory = set(table.symbols)
        for word in sorted({word for text in further for word in text.split()} & lexicon.keys()):
            if inventory.issuperset(lexicon[word]):
                phones_of[word] = lexicon[word]
        return cls(phones_of, table)

    def encode(self, text: str) -> list[int]:
        """Give the ids of the phones of a transcript; none if a word of it has no pronunciation."""
        phones: list[str] = []
        for word in text.split():
            if word not in self.phones_of:
                return []
            phones += self.phones_of[word]
        return self.table.encode(" ".join(phones))

    def to_text(self) -> str:
        """Write a word and its phones a line."""
        return "".join(f"{word} {' '.join(phones)}\n" for word, phones in self.phones_of.items())

    @classmethod
    def read(cls, path: Path) -> Pronunciations:
        """Read a file of what `to_text` wrote; errors as of `read_pronunciations`."""
        phones_of = read_pronunciations(path)
        return cls.for_texts(phones_of, phones_of)
