"""Damage to files, drawn at random: to bytes, and to the lines, words and numbers of a text."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from random import Random

MAX_BYTES = 1 << 18
"""No damage makes a file longer; a small file must not take much time or memory."""

Mutator = Callable[[bytes, Random], bytes]

_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[^\s,=:;\[\](){}\"']+")
_NUMBERS = (
    *(b"0", b"-0", b"-1", b"1", b"2", b"0.5", b"1e-320", b"1e9", b"1e300", b"1e999", b"-1e999"),
    *(b"nan", b"NaN", b"inf", b"-inf", b"Infinity", b"-Infinity", b"null", b"true", b"1_000"),
    *(b"255", b"256", b"65536", b"2147483647", b"2147483648", b"4294967295", b"4294967296"),
    *(b"9007199254740993", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809"),
    *(b"18446744073709551616", b"1" + b"0" * 30, b"1" + b"0" * 400, b"9" * 5000),
    *(b"0x" + b"f" * 5000, "١٢".encode(), "²".encode(), b"1.", b".", b"1e", b"--1", b"08"),
)
_STRINGS = (
    *(b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\x1a"),
    *("\u2028".encode(), "\u2029".encode(), "\x85".encode(), "\u00a0".encode(), "\u3000".encode()),
    *("\u0301".encode(), "\u202e".encode(), "\U0001f642".encode(), "\u0130".encode()),
    *(b"\\ud800", b"\\udc80", b"\\u0000", b"\\", b"\\x", b'"', b"'", b'"""', b"''", b"`"),
    *(b"\t", b"\r", b"\n", b"\r\n", b"\n\n", b" ", b"\x0b", b"\x0c", b"\x1c", b","),
    *(b"{", b"}", b"[", b"]", b"(", b")", b"{}", b"[]", b"()", b"<", b">", b"#", b"|", b";;"),
    *(b"../", b"..", b"/", b"/dev/zero", b"~", b"%s", b"%n", b"$(id)", b"*", b"?", b"con"),
    *(b"__proto__", b"<blank>", b"<space>", b"<unk>", b"<s>", b"</s>", b"\\end\\", b"@"),
)  # fmt: skip
_NESTS = (b"[", b"{", b'{"a":', b"[[", b"(", b"{ a / ", b"a.", b"a={", b'"')
_EXTREMES = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 1 << 20, 1 << 28, 1 << 29)


def mutate(content: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    """Damage a file in one to a few ways.

    Parameters
    ----------
    content
        Of the file.
    others
        Valid files of its kind, pieces of which may be put in.
    rng
        Decides everything.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 6))):
        if rng.random() < 0.08:
            content = _splice(content, rng.choice(others), rng)
        else:
            is_text = b"\0" not in content[:4096]
            mutators = _OF_TEXT if rng.random() < (0.75 if is_text else 0.2) else _OF_BYTES
            content = rng.choice(mutators)(content, rng)
        content = content[:MAX_BYTES]
    return content


# --- bytes


def _span(content: bytes, rng: Random) -> tuple[int, int]:
    """Draw a stretch, mostly a short one; half the time near the beginning, where headers are."""
    size = len(content)
    start = rng.randrange(min(size, 128) if rng.random() < 0.5 else size) if size else 0
    length = rng.choice((1, 2, 4, 8, rng.randint(1, 64), rng.randint(1, size + 1)))
    return start, min(size, start + length)


def _flip_bits(content: bytes, rng: Random) -> bytes:
    changed = bytearray(content)
    start, end = _span(content, rng)
    for place in range(start, min(end, start + 8)):
        changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(content: bytes, rng: Random) -> bytes:
    start, end = _span(content, rng)
    kind = rng.randrange(3)
    new = [b"\0", b"\xff", b"\x80"][kind] * (end - start) if kind else rng.randbytes(end - start)
    return content[:start] + new + content[end:]


def _overwrite_number(content: bytes, rng: Random) -> bytes:
    """Put an extreme where a header may have a size or a count."""
    width = rng.choice((1, 2, 4, 4, 4, 8))
    start, _ = _span(content, rng)
    if rng.random() < 0.7:
        start -= start % min(width, 4)
    value = rng.choice((*_EXTREMES, (1 << 8 * width) - 1, 1 << (8 * width - 1), len(content)))
    value += rng.choice((0, 0, 0, -1, 1, -8))
    order = rng.choice((">", "<"))
    packed = struct.pack(f"{order}Q", value % (1 << 8 * width))
    new = packed[8 - width :] if order == ">" else packed[:width]
    return content[:start] + new + content[start + width :]


def _truncate(content: bytes, rng: Random) -> bytes:
    return content[: rng.randint(0, len(content))]


def _cut_out(content: bytes, rng: Random) -> bytes:
    start, end = _span(content, rng)
    return content[:start] + content[end:]


def _repeat(content: bytes, rng: Random) -> bytes:
    start, end = _span(content, rng)
    return content[:end] + content[start:end] * rng.choice((1, 1, 2, 16, 500)) + content[end:]


def _insert(content: bytes, rng: Random) -> bytes:
    start, end = _span(content, rng)
    return content[:start] + rng.randbytes(end - start) + content[start:]


def _append(content: bytes, rng: Random) -> bytes:
    return content + rng.choice((b"\0", b"\n", b"x", rng.randbytes(8))) * rng.choice((1, 9, 9999))


def _splice(content: bytes, other: bytes, rng: Random) -> bytes:
    """Go over from one file to another, or put a piece of one into the other."""
    start, end = _span(other, rng)
    place = rng.randint(0, len(content))
    if rng.random() < 0.5:
        return content[:place] + other[start:]
    return content[:place] + other[start:end] + content[place:]


# --- text


def _replace_match(pattern: re.Pattern[bytes], new: bytes, content: bytes, rng: Random) -> bytes:
    found = list(pattern.finditer(content[:65536]))
    if not found:
        return content + new
    match = rng.choice(found)
    return content[: match.start()] + new + content[match.end() :]


def _replace_number(content: bytes, rng: Random) -> bytes:
    return _replace_match(_NUMBER, rng.choice(_NUMBERS), content, rng)


def _replace_word(content: bytes, rng: Random) -> bytes:
    words = _WORD.findall(content[:65536])
    new = rng.choice(words) if words and rng.random() < 0.5 else rng.choice(_STRINGS + _NUMBERS)
    return _replace_match(_WORD, new, content, rng)


def _grow_word(content: bytes, rng: Random) -> bytes:
    new = rng.choice((b"a", b"1", b"a ", "é".encode(), b" ", b"\t", b"-", b"_1"))
    return _replace_match(_WORD, new * rng.choice((300, 5000, 150_000)), content, rng)


def _insert_string(content: bytes, rng: Random) -> bytes:
    place = rng.randint(0, min(len(content), 65536))
    return content[:place] + rng.choice(_STRINGS) + content[place:]


def _nest(content: bytes, rng: Random) -> bytes:
    """Open brackets, many more than anything can follow."""
    opening = rng.choice(_NESTS) * rng.choice((3, 100, 2000, 50_000))
    if rng.random() < 0.5:
        return _replace_match(_WORD, opening, content, rng)
    place = rng.randint(0, min(len(content), 65536))
    return content[:place] + opening + content[place:]


def _change_lines(content: bytes, rng: Random) -> bytes:
    lines = content.split(b"\n")
    place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(7):
        case 0:
            del lines[place]
        case 1:
            lines.insert(other, lines[place])
        case 2:
            lines[place], lines[other] = lines[other], lines[place]
        case 3:
            lines[place] += b" " + lines[other]
        case 4:
            rng.shuffle(lines)
        case 5:
            lines[place] = b""
        case 6:
            lines[place : place + 1] = [lines[place]] * rng.choice((2, 100, 3000))
    return b"\n".join(lines)


def _change_line_ends(content: bytes, rng: Random) -> bytes:
    return content.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", "\u2028".encode(), b"\0")))


def _begin_with(content: bytes, rng: Random) -> bytes:
    marks = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\n", b" ", b"\t", b"#", b"\0")
    return rng.choice(marks) + content


def _encode_otherwise(content: bytes, rng: Random) -> bytes:
    text = content.decode("utf-8", errors="replace")
    return text.encode(rng.choice(("utf-16", "utf-16-le", "latin-1")), errors="replace")


def _say_nothing(_content: bytes, rng: Random) -> bytes:
    return rng.choice(
        (b"", b"\n", b" ", b"\xef\xbb\xbf", b"\0", b"{}", b"[]", b"null", b"0", b'""')
    )


_OF_BYTES: tuple[Mutator, ...] = (
    *(_flip_bits, _flip_bits, _overwrite, _overwrite_number, _overwrite_number, _overwrite_number),
    *(_truncate, _cut_out, _repeat, _insert, _append),
)
_OF_TEXT: tuple[Mutator, ...] = (
    *(_replace_number, _replace_number, _replace_number, _replace_word, _replace_word),
    *(_insert_string, _insert_string, _insert_string, _change_lines, _change_lines, _change_lines),
    *(_grow_word, _nest, _change_line_ends, _begin_with, _encode_otherwise, _say_nothing),
)
