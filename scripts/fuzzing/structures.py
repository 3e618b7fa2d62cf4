"""Files as parts and back, so that damage gets past checksums, lengths and compression."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile
from collections.abc import Mapping

Parts = dict[str, bytes]

_BLOCK = 512
_TEXT_MEMBERS = ("asrkit.json", "README.md", "settings.toml", "tokens.txt", "phones.txt")
_WEIGHTS = "weights.safetensors"


def split_tensors(content: bytes) -> Parts:
    """Take a file laid out as safetensors apart."""
    (size,) = struct.unpack("<Q", content[:8])
    return {"header": content[8 : 8 + size], "data": content[8 + size :]}


def join_tensors(parts: Mapping[str, bytes]) -> bytes:
    """Put a header, whatever it says now, and data together; the header's length is right."""
    header = parts.get("header", b"")
    header += b" " * (-(8 + len(header)) % 64)  # language models are aligned
    return struct.pack("<Q", len(header)) + header + parts.get("data", b"")


def split_model(content: bytes) -> Parts:
    """Take a model file apart, its weights too."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return members | split_tensors(members.pop(_WEIGHTS))


def join_model(parts: Mapping[str, bytes]) -> bytes:
    """Pack a model file, with right sizes and checksums."""
    members = {name: parts[name] for name in _TEXT_MEMBERS if name in parts}
    members[_WEIGHTS] = join_tensors(parts)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, member in members.items():
            archive.writestr(zipfile.ZipInfo(name), member)
    return buffer.getvalue()


def compress(content: bytes, how: bytes) -> bytes:
    """Compress by `gz`, `bz2` or `xz`, and by nothing else."""
    match how:
        case b"gz":
            return gzip.compress(content, mtime=0)
        case b"bz2":
            return bz2.compress(content)
        case b"xz":
            return lzma.compress(content)
    return content


def split_tar(content: bytes) -> Parts:
    """Take an archive apart into the headers and the contents of its members."""
    parts = {}
    position = number = 0
    while content[position : position + _BLOCK].strip(b"\0"):
        size = int(content[position + 124 : position + 135], 8)
        body = position + _BLOCK
        end = body + -(-size // _BLOCK) * _BLOCK
        parts[f"header{number}"] = content[position:body]
        parts[f"body{number}"] = content[body:end]
        position, number = end, number + 1
    return parts


def join_tar(parts: Mapping[str, bytes]) -> bytes:
    """Put members together; the checksums of their headers are right."""
    content = b""
    for name, part in parts.items():
        if name.startswith("header"):
            header = bytearray(part[:_BLOCK].ljust(_BLOCK, b"\0"))
            header[148:156] = b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
            content += bytes(header)
        elif name.startswith("body"):
            content += part
    return content + bytes(2 * _BLOCK)


def split_ogg(content: bytes) -> Parts:
    """Take an Ogg stream apart into its pages (RFC 3533), whose serial number becomes 1."""
    parts, position = {}, 0
    while position < len(content):
        num_segments = content[position + 26]
        lengths = content[position + 27 : position + 27 + num_segments]
        end = position + 27 + num_segments + sum(lengths)
        page = bytearray(content[position:end])
        page[14:18] = (1).to_bytes(4, "little")  # libsndfile draws it
        page[22:26] = bytes(4)  # a checksum of what it drew
        parts[f"page{len(parts)}"] = bytes(page)
        position = end
    return parts


def join_ogg(parts: Mapping[str, bytes]) -> bytes:
    """Put pages together; their checksums are right."""
    content = b""
    for page in parts.values():
        blank = page[:22] + bytes(4) + page[26:]
        content += page[:22] + _ogg_checksum(blank).to_bytes(4, "little") + page[26:]
    return content


def _ogg_checksum(page: bytes) -> int:
    checksum = 0
    for byte in page:
        checksum = (checksum << 8 & 0xFFFFFFFF) ^ _CRC_OF[checksum >> 24 ^ byte]
    return checksum


def _crc_of(byte: int) -> int:
    register = byte << 24
    for _ in range(8):
        register = (register << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if register >> 31 else 0)
    return register


_CRC_OF = [_crc_of(byte) for byte in range(256)]
