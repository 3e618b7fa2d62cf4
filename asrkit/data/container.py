"""What an audio file's container says of its own length, read without decoding.

libsndfile opens a WAV, AIFF, AU, SPHERE or Ogg file that was cut short, and gives what is left of
it without a word. So a file is examined before it is opened.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

_OGG_MAX_PAGE_BYTES = 65307
_MAX_CHUNKS = 10_000
"""Nobody writes as many; a large file of zeros would be walked through eight bytes at a time."""
_MAX_SPHERE_LINE = 64
_SPHERE_PLAIN_CODINGS = ("pcm", "ulaw", "mu-law", "alaw")


@dataclass(frozen=True, slots=True)
class Container:
    """What `examine` found.

    Attributes
    ----------
    shortfall : str
        What is missing from the file, in words; empty if nothing is.
    unfilled_size_at : int or None
        Where a WAV file's data size stands if it was left 0: libsndfile would find no samples.
    """

    shortfall: str = ""
    unfilled_size_at: int | None = None


def examine(file: BinaryIO, num_bytes: int) -> Container:
    """Compare what a file's header or last page declares with its size, `num_bytes`.

    A container of another kind, or one whose header is malformed, gives the same answer as a whole
    file: there the decoder is the judge.
    """
    magic = file.read(4)
    try:
        if magic in (b"RIFF", b"RF64", b"BW64"):
            return _examine_chunks(file, num_bytes, "<", b"data")
        if magic == b"RIFX":
            return _examine_chunks(file, num_bytes, ">", b"data")
        if magic == b"FORM":
            return _examine_chunks(file, num_bytes, ">", b"SSND")
        if magic == b".snd":
            start, size = struct.unpack(">II", file.read(8))
            return Container() if _is_placeholder(size) else _compare(start + size, num_bytes)
        if magic == b"NIST":
            return _examine_sphere(file, num_bytes)
        if magic == b"OggS":
            return _examine_last_ogg_page(file, num_bytes)
    except (struct.error, ValueError, KeyError):
        return Container()
    return Container()


def tells_mp3_length(file: BinaryIO) -> bool:
    """Say whether an MP3 file starts with a frame that gives its length.

    Without a Xing, Info or VBRI header the decoder guesses the length from the first bit rate, and
    stops there.
    """
    file.seek(0)
    head = file.read(10)
    if head[:3] == b"ID3" and len(head) == 10:
        a, b, c, d = head[6:]  # seven bits a byte
        file.seek(10 + (a << 21 | b << 14 | c << 7 | d))
    else:
        file.seek(0)
    first_frame = file.read(2048)
    return any(tag in first_frame for tag in (b"Xing", b"Info", b"VBRI"))


def _is_placeholder(size: int) -> bool:
    """Say whether a program that wrote to a pipe, and could not go back, left this for a size.

    Besides 0, which is another matter, these are the largest 32-bit numbers, with or without a
    sign, and a little less than them (sox: 0x7FFFF000, rounded down to whole frames).
    """
    return 0x7FFF0000 <= size <= 0x80000000 or size >= 0xFFFF0000


def _compare(declared: int, num_bytes: int) -> Container:
    if declared <= num_bytes:
        return Container()
    return Container(f"the header declares {declared} bytes, the file has {num_bytes}")


def _examine_chunks(file: BinaryIO, num_bytes: int, order: str, wanted: bytes) -> Container:
    """Walk the chunks of a RIFF or FORM file to the one that holds the samples."""
    (whole_size,) = struct.unpack(f"{order}I", file.read(4))
    size_of_data = None  # 64 bits wide, in RF64 only
    position = 12
    for _ in range(_MAX_CHUNKS):
        file.seek(position)
        name, size = struct.unpack(f"{order}4sI", file.read(8))
        if name == b"ds64":
            _, size_of_data = struct.unpack("<QQ", file.read(16))
        if name == wanted:
            break
        position += 8 + size + size % 2
    else:
        return Container()
    start = position + 8
    if size_of_data is not None and size == 0xFFFFFFFF:
        return _compare(start + size_of_data, num_bytes)
    if size == 0 and start < num_bytes and whole_size + 8 != num_bytes:
        return Container(unfilled_size_at=position + 4)
    return Container() if _is_placeholder(size) else _compare(start + size, num_bytes)


def _examine_sphere(file: BinaryIO, num_bytes: int) -> Container:
    """Multiply out the sample count of a NIST SPHERE header, unless the samples are compressed."""
    file.readline(_MAX_SPHERE_LINE)
    header_size = int(file.readline(_MAX_SPHERE_LINE))
    if not 0 < header_size <= num_bytes:
        return Container()
    file.seek(0)
    fields = {}
    for line in file.read(header_size).split(b"\n"):
        name, _, rest = line.decode("latin-1").partition(" ")
        fields[name] = rest.partition(" ")[2].strip()
    if fields.get("sample_coding", "pcm") not in _SPHERE_PLAIN_CODINGS:
        return Container()
    factors = ("sample_count", "channel_count", "sample_n_bytes")
    count, channels, width = (int(fields[name]) for name in factors)
    return _compare(header_size + count * channels * width, num_bytes)


def _examine_last_ogg_page(file: BinaryIO, num_bytes: int) -> Container:
    """Look for the page that ends the stream, as laid out in RFC 3533, section 6."""
    file.seek(max(0, num_bytes - _OGG_MAX_PAGE_BYTES))
    tail = file.read()
    start = tail.rfind(b"OggS")
    page = tail[start:] if start >= 0 else b""
    if len(page) < 27:
        return Container("it breaks off in its last Ogg page")
    num_segments = page[26]
    if 27 + num_segments + sum(page[27 : 27 + num_segments]) > len(page):
        return Container("it breaks off in its last Ogg page")
    is_last_page = page[5] & 4
    return Container() if is_last_page else Container("its end-of-stream Ogg page is missing")
