"""Recipes are found by name and by path, and a wrong name lists the right ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrkit.errors import EXIT_USAGE, UsageError
from asrkit.recipe import locate
from asrkit.recipe.locate import bundled_recipes, find_recipe


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two bundled recipes, and a working directory beside them."""
    bundle = tmp_path / "bundle"
    for name in ("zulu", "an4"):
        (bundle / name).mkdir(parents=True)
        (bundle / name / "recipe.toml").touch()
    (bundle / "unfinished").mkdir()
    (tmp_path / "cwd").mkdir()
    monkeypatch.setattr(locate, "RECIPES_DIR", bundle)
    monkeypatch.chdir(tmp_path / "cwd")
    return bundle


def make_local(name: str) -> Path:
    Path(name).mkdir()
    path = Path(name) / "recipe.toml"
    path.touch()
    return path.resolve()


def test_bundled_recipes_in_alphabetical_order(bundle: Path) -> None:
    assert bundled_recipes() == ["an4", "zulu"]


def test_a_recipe_has_others_beside_it(bundle: Path) -> None:
    for name, content in (("large", "[recipe]\nname = 'x'\n"), ("expected", "[splits.train]\n")):
        (bundle / "an4" / f"{name}.toml").write_text(content)
    assert bundled_recipes() == ["an4", "an4/large", "zulu"]
    assert find_recipe("an4/large") == bundle / "an4" / "large.toml"
    with pytest.raises(UsageError):
        find_recipe("an4/expected")


def test_those_of_asrkit_are_bundled() -> None:
    assert {"timit", "english/spelling", "librispeech/960h"} <= {*bundled_recipes()}
    assert find_recipe("timit").parts[-3:] == ("recipes", "timit", "recipe.toml")


def test_by_name(bundle: Path) -> None:
    assert find_recipe("an4") == bundle / "an4" / "recipe.toml"


@pytest.mark.parametrize("name", ["mine", "./mine", "mine/", "mine/recipe.toml"])
def test_by_path(bundle: Path, name: str) -> None:
    local = make_local("mine")
    assert find_recipe(name) == local


def test_any_toml_file(bundle: Path) -> None:
    Path("tuned.toml").touch()
    assert find_recipe("tuned.toml") == Path("tuned.toml").resolve()


def test_a_bundled_name_goes_before_a_folder_and_a_path_is_a_path(bundle: Path) -> None:
    local = make_local("an4")
    assert find_recipe("an4") == bundle / "an4" / "recipe.toml"
    assert find_recipe("./an4") == local
    with pytest.raises(UsageError):
        find_recipe("./zulu")


@pytest.mark.parametrize("name", ["an5", "", "empty", "gone.toml", "unfinished", ".."])
def test_what_is_no_recipe(bundle: Path, name: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(UsageError, match="no such recipe; expected one of an4, zulu, a f") as info:
        find_recipe(name)
    assert info.value.exit_code == EXIT_USAGE
    assert str(info.value).startswith(name or "''")
