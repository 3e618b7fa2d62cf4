"""Real processes that run `asrkit`, a tiny recipe, and a model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import pytest
import soundfile

from asrkit.data.manifest import Utterance, write_manifest

if TYPE_CHECKING:
    from asrkit.model_file import Recognizer

RECIPE = """
[recipe]
name = "tones"
description = "Letters said as tones"
[data]
train = "corpus/train.jsonl"
dev = "corpus/dev.jsonl"
test = "corpus/test.jsonl"
max_batch_s = 2.0
[features]
num_mel_bins = 8
[model]
num_layers = 1
hidden_size = 6
[train]
max_epochs = 2
"""
TEXTS = {"train": ["ab ca", "b", "ac b", "c bb"], "dev": ["a cb", "bc"], "test": ["cab"]}


class Asrkit(Protocol):
    """Runs `asrkit` with these arguments, as from a shell in this folder."""

    def __call__(
        self, *arguments: str | Path, folder: Path = ..., stdin: Path = ...
    ) -> subprocess.CompletedProcess[str]: ...


@contextmanager
def serve(
    scratch: Path, prefix: Sequence[str] = (), environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Asrkit]:
    """Have a server that runs commands, itself run by `prefix` in an environment."""
    command = [*prefix, sys.executable, str(Path(__file__).with_name("fork_server.py"))]
    quiet = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def run(
        *arguments: str | Path, folder: Path = scratch, stdin: Path = Path(os.devnull)
    ) -> subprocess.CompletedProcess[str]:
        words = [os.fspath(argument) for argument in arguments]
        streams = {"stdout": scratch / "stdout", "stderr": scratch / "stderr", "stdin": stdin}
        request = {"arguments": words, "folder": folder, **streams}
        print(json.dumps(request, default=str), file=server.stdin, flush=True)
        exit_code = int(server.stdout.readline())
        written = [streams[name].read_bytes().decode() for name in ("stdout", "stderr")]
        assert "Traceback" not in written[1], written[1]
        return subprocess.CompletedProcess(words, exit_code, *written)

    with subprocess.Popen(
        command,
        env={**os.environ, **quiet, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        yield run


@pytest.fixture(scope="session")
def serve_asrkit() -> Callable:
    return serve


@pytest.fixture(scope="session")
def asrkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asrkit]:
    with serve(tmp_path_factory.mktemp("asrkit")) as run:
        yield run


@dataclass(frozen=True)
class Offline:
    """How to start a process that has no network.

    Attributes
    ----------
    prefix
        Words before a command that take the network away; none where the system has no such thing.
    environment
        Variables with which Python refuses it, too, and notes who asked.
    """

    prefix: Sequence[str]
    environment: Mapping[str, str]

    def run(self, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments."""
        return subprocess.run(
            [*self.prefix, sys.executable, *arguments],
            env={**os.environ, **self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def attempts(self) -> list[str]:
        """What was asked for."""
        noted = Path(self.environment["ASRKIT_NETWORK_ATTEMPTS"])
        return noted.read_text().splitlines() if noted.exists() else []


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Offline:
    namespace = ["unshare", "--map-root-user", "--net"]
    permitted = (
        shutil.which("unshare")
        and not subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode
    )
    environment = {
        "PYTHONPATH": str(Path(__file__).with_name("without_network")),
        "ASRKIT_NETWORK_ATTEMPTS": str(tmp_path_factory.mktemp("network") / "attempts"),
    }
    return Offline(namespace if permitted else [], environment)


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory, say_in_tones: Callable) -> Path:
    """A recipe.toml with a corpus of some seconds beside it."""
    folder = tmp_path_factory.mktemp("recipes") / "tones"
    (folder / "corpus").mkdir(parents=True)
    for split, texts in TEXTS.items():
        utterances = []
        for number, text in enumerate(texts):
            path, samples = folder / "corpus" / f"{split}{number}.wav", say_in_tones(text)
            soundfile.write(path, samples, 16000)
            utterances.append(Utterance(path.stem, path, len(samples) / 16000, text))
        write_manifest(folder / "corpus" / f"{split}.jsonl", utterances)
    (folder / "recipe.toml").write_text(RECIPE)
    return folder / "recipe.toml"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, tone_recognizer: Recognizer) -> Path:
    """A model file that recognises tones."""
    from asrkit.model_file import save_recognizer

    path = tmp_path_factory.mktemp("model") / "tones.asr"
    save_recognizer(path, tone_recognizer)
    return path
