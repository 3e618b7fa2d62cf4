"""Settings laid between the recipe and `--set`, and strict TOML of another kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asrkit.config import load_settings, load_toml
from asrkit.errors import ConfigError
from asrkit.settings import PositiveInt, Table

WriteRecipe = Callable[[str], Path]


class Part(Table):
    size: PositiveInt


class Whole(Table):
    parts: dict[str, Part]
    spare: Part | None = None
    rest: tuple[Part, ...] = ()


def test_layers_go_over_the_recipe_and_under_set(write_recipe: WriteRecipe) -> None:
    recipe = write_recipe("[model]\nnum_layers = 2\nhidden_size = 3\ndropout = 0.1")
    layers = [
        ("one", {"model": {"hidden_size": 4, "dropout": 0.2}}),
        ("two", {"model": {"dropout": 0.3}, "train": {"max_epochs": 9}}),
    ]
    settings = load_settings(recipe, ["train.max_epochs=5"], layers)
    model = settings.model
    assert (model.num_layers, model.hidden_size, model.dropout) == (2, 4, 0.3)
    assert settings.train.max_epochs == 5


def test_a_mistake_in_a_layer_names_it(write_recipe: WriteRecipe) -> None:
    with pytest.raises(ConfigError, match=r"^two: model\.size is not a known key"):
        load_settings(write_recipe(""), layers=[("one", {}), ("two", {"model": {"size": 1}})])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "parts is missing; it has no default, set it"),
        ("parts.a.size = 0", "parts.a.size = 0; input should be greater than or equal to 1"),
        ("parts.a.sise = 1", "parts.a.sise is not a known key; did you mean size?"),
        ("[parts]\n[spare]\nsise = 1", "spare.sise is not a known key; did you mean size?"),
        ("[parts]\n[[rest]]\nsise = 1", "rest.0.sise is not a known key; did you mean size?"),
        ("[parts]\n[part]\n", "part is not a known key; did you mean parts?"),
    ],
)
def test_toml_of_another_kind(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "whole.toml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_toml(path, Whole)
    assert f"{path}: {problem}" in str(caught.value).splitlines()


def test_toml_of_another_kind_is_read(tmp_path: Path) -> None:
    path = tmp_path / "whole.toml"
    path.write_text("parts.a.size = 1\nparts.b.size = 2\n[[rest]]\nsize = 3\n")
    whole = load_toml(path, Whole)
    assert {name: part.size for name, part in whole.parts.items()} == {"a": 1, "b": 2}
    assert whole.rest[0].size == 3
