"""Fetch published archives: what was interrupted goes on, and the published checksum decides."""

from __future__ import annotations

import hashlib
import shutil
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Annotated
from urllib.error import HTTPError

from pydantic import Field

from asrkit.config import load_toml
from asrkit.data.unpack import unpack
from asrkit.errors import DataError, UsageError
from asrkit.settings_types import PositiveInt, Table

Show = Callable[[str, float], None]
"""Is told what is being done and the share, 0 to 1, that is done."""

_MAX_VAIN_TRIES = 3
_PAUSE_S = 2.0
_TIMEOUT_S = 60.0
_BLOCK_BYTES = 1 << 20


class Subset(Table):
    """`[subsets.NAME]` of a `downloads.toml`: an archive and what it unpacks to."""

    file: Annotated[str, Field(pattern=r"^[\w-][\w.+-]*$")]
    """Its name below the address."""
    folder: Annotated[str, Field(pattern=r"^[\w-][\w.+-]*(/[\w-][\w.+-]*)*$")]
    """What it unpacks to, below the folder asked for; where that is there, nothing has to be
    fetched."""
    num_bytes: PositiveInt
    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class Downloads(Table):
    """A recipe's `downloads.toml`: where its corpus is published."""

    url: str
    subsets: dict[str, Subset]


def read_downloads(path: Path) -> Downloads:
    """Read a `downloads.toml`.

    Raises
    ------
    UsageError
        If there is none.
    ConfigError
        If it is malformed.
    """
    if not path.is_file():
        raise UsageError(f"{path}: is missing; this recipe has nothing to download")
    return load_toml(path, Downloads)


def download(subset: Subset, base_url: str, folder: Path, show: Show) -> bool:
    """Fetch an archive, check it, unpack it into `folder`, and delete it.

    What a broken connection or an interruption leaves is `FILE.partial`, which the next call goes
    on with where the server allows; an archive that is there already is only checked and unpacked.

    Parameters
    ----------
    subset
        What to fetch.
    base_url
        Address that `subset.file` is below, http or https.
    folder
        Made if it is not there.
    show
        Is told how far it is.

    Returns
    -------
    bool
        Whether anything had to be done.

    Raises
    ------
    UsageError
        If the address is neither http nor https.
    DataError
        If the server has no such file, the connection breaks time and again, the disk is too
        small, the checksum is not the published one, or the archive does not hold what it should.
    """
    if (folder / subset.folder).is_dir():
        return False
    if urllib.parse.urlsplit(base_url).scheme not in ("http", "https"):
        raise UsageError(f"--url {base_url}: expected an address that begins with https://")
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / subset.file
    if archive.exists():
        _check_sum(archive, subset.md5, show)
    else:
        partial = archive.with_name(f"{archive.name}.partial")
        _check_room(subset, partial)
        _fetch(f"{base_url.rstrip('/')}/{subset.file}", partial, subset.num_bytes, show)
        try:
            _check_sum(partial, subset.md5, show)
        except DataError:
            partial.unlink()  # nothing that is added to it can make it right
            raise
        partial.replace(archive)
    unpack(archive, folder, subset.folder, show)
    archive.unlink()
    return True


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_room(subset: Subset, partial: Path) -> None:
    """Compressed audio unpacks to about the size of its archive, and both are there for a while."""
    needed = 2 * subset.num_bytes - _size(partial)
    free = shutil.disk_usage(partial.parent).free
    if free < needed:
        raise DataError(
            f"{partial.parent}: has {free / 1e9:.1f} GB free; expected about {needed / 1e9:.1f} "
            f"for {subset.file} and what it unpacks to; make room or choose another folder"
        )


class _BrokenError(Exception):
    """The connection failed in a way that may pass."""


def _fetch(url: str, partial: Path, num_bytes: int, show: Show) -> None:
    """Fetch a file until it is whole, over as many connections as that takes."""
    vain_tries, most, reason = 0, _size(partial), ""
    while (size := _size(partial)) < num_bytes:
        try:
            _fetch_on(url, partial, num_bytes, show)
            reason = f"the server sent {_size(partial)} of {num_bytes} bytes"
        except _BrokenError as error:
            reason = str(error)
        # A server that cannot go on begins anew each time: only what is more than ever counts.
        vain_tries = 0 if (size := _size(partial)) > most else vain_tries + 1
        most = max(most, size)
        if size < num_bytes:
            if vain_tries == _MAX_VAIN_TRIES:
                raise DataError(
                    f"{url}: {reason}; tried {vain_tries} times without getting further; repeat "
                    "the command later to go on, or try a mirror with --url"
                )
            time.sleep(_PAUSE_S * 2**vain_tries)


def _fetch_on(url: str, partial: Path, num_bytes: int, show: Show) -> None:
    """Go on with a file over one connection, from its beginning if the server cannot go on."""
    start = _size(partial)
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(url, headers=headers)
    with _network(url):
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    with response, partial.open("ab" if response.status == 206 else "wb") as file:
        # One byte too many is enough to tell a wrong file, however long it is.
        while (left := num_bytes + 1 - file.tell()) > 0:
            with _network(url):
                block = response.read(min(_BLOCK_BYTES, left))
            if not block:
                break
            file.write(block)
            show(f"fetching {url.rpartition('/')[2]}", file.tell() / num_bytes)


@contextmanager
def _network(url: str) -> Iterator[None]:
    """Tell failures that may pass from those that will not."""
    try:
        yield
    except HTTPError as error:
        if error.code >= 500:
            raise _BrokenError(f"the server said {error.code} {error.reason}") from error
        raise DataError(
            f"{url}: the server said {error.code} {error.reason}; try a mirror with --url, or "
            "delete what is there of the file"
        ) from error
    except (OSError, HTTPException) as error:  # URLError and time-outs among them
        raise _BrokenError(f"the connection failed ({getattr(error, 'reason', error)})") from error


def _check_sum(path: Path, md5: str, show: Show) -> None:
    """Refuse a file that is not the published one."""
    digest = hashlib.md5(usedforsecurity=False)
    size = max(1, _size(path))
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            show(f"checking {path.name}", file.tell() / size)
    if digest.hexdigest() != md5:
        raise DataError(
            f"{path}: its MD5 is {digest.hexdigest()}; expected {md5}, as published; delete it if "
            "it is still there, and fetch it again, perhaps from a mirror with --url"
        )
