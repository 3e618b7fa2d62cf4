"""Downloads from a server of our own that breaks off, lies, or cannot go on."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from typer.testing import CliRunner

from asrkit.bundled import RECIPES_DIR
from asrkit.cli import app
from asrkit.data import download as module
from asrkit.data.download import Subset, download, read_downloads
from asrkit.errors import ConfigError, DataError, UsageError

FOLDER = "Corpus/dev"


def make_archive() -> bytes:
    noise = np.random.default_rng(1).bytes(300_000)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo(f"{FOLDER}/1/noise")
        info.size = len(noise)
        tar.addfile(info, io.BytesIO(noise))
    return buffer.getvalue()


ARCHIVE = make_archive()


@dataclass
class Server:
    """What it serves, how it fails, and what it was asked for."""

    content: bytes = ARCHIVE
    break_after: list[int] = field(default_factory=list)
    """Bytes sent before the connection is cut, request by request; then nothing is cut."""
    knows_range: bool = True
    statuses: list[int] = field(default_factory=list)
    """Errors answered, request by request; then there are none."""
    ranges: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            state.ranges.append(asked)
            if self.path != "/12/dev.tar.gz":
                self.send_error(404)
                return
            if state.statuses:
                self.send_error(state.statuses.pop(0))
                return
            start = int(asked[6:-1]) if asked and state.knows_range else 0
            if start >= len(state.content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(state.content) - start))
            self.end_headers()
            end = start + state.break_after.pop(0) if state.break_after else None
            self.wfile.write(state.content[start:end])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{http.server_port}/12/"
        yield state
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_S", 0.0)


def subset(content: bytes = ARCHIVE) -> Subset:
    md5 = hashlib.md5(content).hexdigest()
    return Subset(file="dev.tar.gz", folder=FOLDER, num_bytes=len(content), md5=md5)


def nothing(stage: str, share: float) -> None:
    """Show no progress."""


def get(server: Server, to: Path, wanted: Subset | None = None) -> bool:
    return download(wanted or subset(), server.url, to, nothing)


def is_whole(folder: Path) -> bool:
    """Whether the corpus is there, and nothing but the corpus."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return files == [folder / FOLDER / "1" / "noise"] and files[0].stat().st_size == 300_000


def test_fetched_checked_unpacked_and_the_archive_is_gone(server: Server, tmp_path: Path) -> None:
    stages: dict[str, list[float]] = {}
    to = tmp_path / "new" / "folder"
    done = download(
        subset(), server.url, to, lambda stage, share: stages.setdefault(stage, []).append(share)
    )
    assert done
    assert is_whole(to)
    assert list(stages) == [
        "fetching dev.tar.gz",
        "checking dev.tar.gz.partial",
        "unpacking dev.tar.gz",
    ]
    assert all(shares[-1] == 1 for shares in stages.values())


def test_what_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    assert get(server, tmp_path)
    assert not get(server, tmp_path)
    assert len(server.ranges) == 1


def test_cut_connections_are_gone_on_with(server: Server, tmp_path: Path) -> None:
    server.break_after = [100_000, 50_000]
    get(server, tmp_path)
    assert is_whole(tmp_path)
    assert server.ranges == ["", "bytes=100000-", "bytes=150000-"]


def test_a_later_call_goes_on_too(server: Server, tmp_path: Path) -> None:
    (tmp_path / "dev.tar.gz.partial").write_bytes(ARCHIVE[:200_000])
    get(server, tmp_path)
    assert is_whole(tmp_path)
    assert server.ranges == ["bytes=200000-"]


def test_a_server_that_cannot_go_on_begins_anew(server: Server, tmp_path: Path) -> None:
    server.knows_range = False
    server.break_after = [100_000, 200_000]
    get(server, tmp_path)
    assert is_whole(tmp_path)


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 500]
    get(server, tmp_path)
    assert is_whole(tmp_path)


@pytest.mark.parametrize("knows_range", [True, False])
def test_a_connection_that_never_holds(server: Server, tmp_path: Path, knows_range: bool) -> None:
    server.knows_range = knows_range
    server.break_after = [70_000, *[0] * 10]
    with pytest.raises(DataError, match="tried 3 times without getting further") as caught:
        get(server, tmp_path)
    assert f"{server.url}dev.tar.gz" in str(caught.value)
    assert len(server.ranges) == 4


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the connection failed .*try a mirror with --url"):
        download(subset(), "http://127.0.0.1:9/12", tmp_path, nothing)


def test_a_file_the_server_does_not_have(server: Server, tmp_path: Path) -> None:
    wanted = subset().model_copy(update={"file": "other.tar.gz"})
    with pytest.raises(DataError, match="the server said 404 Not Found; try a mirror"):
        get(server, tmp_path, wanted)
    assert len(server.ranges) == 1


def test_a_file_that_is_cut_short_on_the_server(server: Server, tmp_path: Path) -> None:
    server.content = ARCHIVE[:-1000]
    with pytest.raises(DataError, match="the server said 416"):
        get(server, tmp_path)


@pytest.mark.parametrize("other", [ARCHIVE[:-1] + b"x", ARCHIVE + b"more of it"])
def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path, other: bytes) -> None:
    server.content = other
    with pytest.raises(DataError, match=f"its MD5 is [0-9a-f]+; expected {subset().md5}"):
        get(server, tmp_path)
    assert list(tmp_path.iterdir()) == []
    server.content = ARCHIVE
    get(server, tmp_path)
    assert is_whole(tmp_path)


def test_an_archive_that_is_there_is_only_checked(server: Server, tmp_path: Path) -> None:
    archive = tmp_path / "dev.tar.gz"
    archive.write_bytes(ARCHIVE)
    assert get(server, tmp_path)
    assert is_whole(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "dev.tar.gz").write_bytes(b"somebody's own")
    with pytest.raises(DataError, match="its MD5 is"):
        get(server, other)
    assert (other / "dev.tar.gz").read_bytes() == b"somebody's own"
    assert server.ranges == []


def test_a_disk_that_is_too_small(server: Server, tmp_path: Path) -> None:
    huge = subset().model_copy(update={"num_bytes": 10**18})
    with pytest.raises(DataError, match=r"GB free; expected about 2000000000\.0 for dev\.tar\.gz"):
        get(server, tmp_path, huge)
    assert server.ranges == []


@pytest.mark.parametrize("url", ["file:///etc", "ftp://host/x", "www.openslr.org/resources/12"])
def test_an_address_that_is_not_http(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match=f"--url {url}: expected an address that begins with http"):
        download(subset(), url, tmp_path, nothing)


# --- the files that recipes have


def test_what_librispeech_names_is_all_of_it() -> None:
    downloads = read_downloads(RECIPES_DIR / "librispeech" / "downloads.toml")
    assert downloads.url.startswith("https://")
    assert sum(subset.num_bytes for subset in downloads.subsets.values()) == 61_357_943_031
    for name, subset in downloads.subsets.items():
        assert subset.file == f"{name}.tar.gz"
        assert subset.folder == f"LibriSpeech/{name}"
    assert len({subset.md5 for subset in downloads.subsets.values()}) == 7


def test_a_malformed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "downloads.toml"
    path.write_text('url = "https://x"\n[subsets.a]\nfile = "a"\nfolder = "A"\nmd5 = "12"\n')
    with pytest.raises(ConfigError, match=r"subsets\.a\.md5 = \"12\"") as caught:
        read_downloads(path)
    assert "subsets.a.num_bytes is missing" in str(caught.value)


# --- the command


def run(*arguments: str | Path):
    return CliRunner().invoke(app, ["data", "download", *map(str, arguments)])


@pytest.fixture
def recipe(tmp_path: Path, server: Server) -> Path:
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "recipe.toml").write_text('[recipe]\nname = "x"\n')
    of_subset = "file = {file!r}\nfolder = {folder!r}\nnum_bytes = {num_bytes}\nmd5 = {md5!r}\n"
    toml = 'url = "http://127.0.0.1:9/12"\n'
    for name, file in (("dev", "dev.tar.gz"), ("gone", "gone.tar.gz")):
        fields = subset().model_dump() | {"file": file, "folder": f"Corpus/{name}"}
        toml += f"[subsets.{name}]\n{of_subset.format(**fields)}"
    (folder / "downloads.toml").write_text(toml)
    assert tomllib.loads(toml)["subsets"].keys() == {"dev", "gone"}
    return folder


def test_one_that_fails_does_not_stop_the_others(
    recipe: Path, server: Server, tmp_path: Path
) -> None:
    subsets = ("--subset", "gone", "--subset", "dev")
    done = run(recipe, "--to", tmp_path / "to", *subsets, "--url", server.url)
    assert done.exit_code == 1
    assert done.stdout == ""
    first, second, third = done.stderr.splitlines()
    assert first.startswith(f"asrkit: {server.url}gone.tar.gz: the server said 404")
    assert second == f"{tmp_path / 'to' / FOLDER}"
    assert third == "1 of 2 subsets failed"
    again = run(recipe, "--to", tmp_path / "to", "--subset", "dev")
    assert again.exit_code == 0
    assert again.stderr == f"{tmp_path / 'to' / FOLDER}: was there already\n"


@pytest.mark.parametrize(
    ("options", "what"),
    [((), "no --subset is given"), (("--subset", "eval"), "--subset eval is not known")],
)
def test_subsets_are_listed_with_their_sizes(
    tmp_path: Path, options: tuple[str, ...], what: str
) -> None:
    error = run("librispeech", "--to", tmp_path, *options).exception
    assert isinstance(error, UsageError)
    assert what in str(error)
    assert "dev-clean (0.3 GB)" in str(error)
    assert "train-other-500 (30.6 GB)" in str(error)


def test_a_recipe_that_has_nothing_to_download(tmp_path: Path) -> None:
    error = run("timit", "--to", tmp_path, "--subset", "all").exception
    assert isinstance(error, UsageError)
    assert "downloads.toml: is missing; this recipe has nothing to download" in str(error)
