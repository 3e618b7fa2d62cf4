"""A recipe is trained, and its model used and scored, where there is no network.

Two things take it away: an audit hook refuses whatever Python's sockets are asked for, and, where
the system lets users have one, a network namespace without any interface that is up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def offline_asrkit(offline, serve_asrkit, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    with serve_asrkit(
        tmp_path_factory.mktemp("offline"), offline.prefix, offline.environment
    ) as run:
        yield run


def test_train_transcribe_score(offline_asrkit, offline, recipe: Path, tmp_path: Path) -> None:
    run, corpus = tmp_path / "run", recipe.parent / "corpus"
    done = offline_asrkit("train", recipe, "--run-dir", run)
    assert done.returncode == 0, done.stderr
    assert "test: WER " in done.stdout

    options = ["--model", run / "model.asr", "--format", "json"]
    done = offline_asrkit("transcribe", *sorted(corpus.glob("test*.wav")), *options)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["utt_id"] for one in said] == ["test0"]

    hypotheses = tmp_path / "hypotheses.jsonl"
    hypotheses.write_text(done.stdout)
    done = offline_asrkit("score", corpus / "test.jsonl", hypotheses)
    assert done.returncode == 0, done.stderr
    assert "WER " in done.stdout

    assert offline.attempts == [], "somebody asked for a network and lived with the refusal"


ASK = """
import socket
for ask in (
    lambda: socket.socket().connect(("127.0.0.1", 9)),
    lambda: socket.getaddrinfo("localhost", 80),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("127.0.0.1", 9)),
):
    try:
        ask()
    except OSError as error:
        print(error)
"""


def test_whoever_asks_is_refused_and_noted(offline, tmp_path: Path) -> None:
    noted = tmp_path / "attempts"
    done = offline.run("-c", ASK, ASRKIT_NETWORK_ATTEMPTS=str(noted))
    asked = ["socket.connect", "socket.getaddrinfo", "socket.sendto"]
    assert done.stdout.splitlines() == [f"there is no network: {name}" for name in asked]
    assert [line.split()[0] for line in noted.read_text().splitlines()] == asked


# Not even this machine itself is reached; sets a route only, sends nothing.
REACH = 'import socket; socket.socket(type=socket.SOCK_DGRAM).connect(("127.0.0.1", 9))'


def test_the_system_has_no_network_either(offline) -> None:
    if not offline.prefix:
        pytest.skip("unshare --net is not permitted here: only Python's sockets were refused")
    command = [sys.executable, "-c", REACH]
    subprocess.run(command, check=True)
    done = subprocess.run([*offline.prefix, *command], capture_output=True, text=True, check=False)
    assert "Network is unreachable" in done.stderr
