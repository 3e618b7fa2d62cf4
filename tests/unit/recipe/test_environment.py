"""What a run was made with can be told afterwards."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import asrkit
from asrkit.errors import DataError
from asrkit.recipe.environment import Environment

GIT = shutil.which("git")


def test_versions_and_machine() -> None:
    environment = Environment.of_this_process(seed=7)
    assert environment.asrkit == asrkit.__version__
    assert environment.python == platform.python_version()
    assert environment.packages["torch"] == torch.__version__.partition("+")[0]
    assert environment.num_threads == torch.get_num_threads()


def test_it_is_read_back(tmp_path: Path) -> None:
    environment = Environment.of_this_process(seed=7)
    environment.save(tmp_path / "environment.json")
    assert Environment.load(tmp_path / "environment.json") == environment


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"asrkit": 3}', "{" * 1000])
def test_a_damaged_one_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "environment.json").write_text(content)
    with pytest.raises(DataError, match=r"environment\.json: damaged: .*; train with --resume"):
        Environment.load(tmp_path / "environment.json")


def test_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/asrkit", "train", "timit"])
    assert Environment.of_this_process(7).command == ["asrkit", "train", "timit"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody's git repository, with one commit."""
    if GIT is None:
        pytest.skip("git is not installed")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for command in (
        ["init", "--quiet"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x", "--allow-empty"],
    ):
        subprocess.run([GIT, "-C", str(tmp_path), *command], check=True)
    return tmp_path


def pretend_asrkit_is_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asrkit, "__file__", str(folder / "asrkit" / "__init__.py"))


def test_the_commit_of_a_checkout(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_asrkit_is_in(repository, monkeypatch)
    environment = Environment.of_this_process(7)
    assert environment.git_commit is not None
    assert len(environment.git_commit) == 40
    assert environment.commit(7) == environment.git_commit[:7]
    assert environment.git_modified is False
    (repository / "changed").touch()
    changed = Environment.of_this_process(7)
    assert changed.git_modified is True
    assert changed.commit(7) == f"{environment.git_commit[:7]} with local changes"


def test_the_commit_of_another_project_is_not_that_of_asrkit(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where asrkit is installed into a virtual environment below one's own project.
    (repository / "venv" / "site-packages").mkdir(parents=True)
    pretend_asrkit_is_in(repository / "venv" / "site-packages", monkeypatch)
    environment = Environment.of_this_process(7)
    assert (environment.git_commit, environment.git_modified) == (None, False)


def test_without_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_asrkit_is_in(repository, monkeypatch)
    monkeypatch.setenv("PATH", "")
    environment = Environment.of_this_process(7)
    assert (environment.git_commit, environment.commit()) == (None, "unknown")
