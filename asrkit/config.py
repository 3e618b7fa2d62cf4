"""Read settings from TOML: fragments, the recipe, then `--set`. Every error names its source."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ValidationError

from asrkit.bundled import CONF_DIR
from asrkit.errors import ConfigError
from asrkit.settings import Settings

_EXPECTED = {
    "string_type": "a string in quotes",
    "int_type": "a whole number, e.g. 10",
    "float_type": "a number, e.g. 0.5",
    "bool_type": "true or false",
    "tuple_type": "a list in brackets",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_TOO_DEEP = "tables or lists within each other, too deeply; expected a few levels; remove some"
_MAX_DOTS = 1000
"""tomllib takes time that grows with the square of the parts of a dotted key."""


Model = TypeVar("Model", bound=BaseModel)


def load_settings(
    recipe_toml: Path,
    overrides: Sequence[str] = (),
    layers: Sequence[tuple[str, Mapping[str, Any]]] = (),
) -> Settings:
    """Read a recipe's settings.

    Parameters
    ----------
    recipe_toml
        A TOML file. Its `extends = ["name", ...]` takes in `conf/name.toml` first, in that order;
        an entry ending in `.toml` is a path relative to the file. Fragments extend nothing.
    overrides
        `table.key=value` with the value in TOML; what is not TOML is taken as a string.
    layers
        Further tables, each with the source that errors name; they go over the recipe, in that
        order, and under the overrides.

    Raises
    ------
    ConfigError
        Naming the file (or `--set`), the key, the value and what was expected.
    """
    merged = _Merged()
    recipe = _read_toml(recipe_toml)
    for name in _pop_extends(recipe, recipe_toml):
        fragment_path = (
            recipe_toml.parent / name if name.endswith(".toml") else CONF_DIR / f"{name}.toml"
        )
        if not os.path.isfile(fragment_path):  # noqa: PTH113 (false for a name too long)
            raise ConfigError(
                f"{recipe_toml}: extends = {name!r}: there is no {fragment_path}; "
                f"known fragments: {', '.join(_fragment_names()) or 'none'}"
            )
        fragment = _read_toml(fragment_path)
        if "extends" in fragment:
            raise ConfigError(f"{fragment_path}: extends: a fragment cannot extend another")
        merged.add(fragment, str(fragment_path))
    merged.add(recipe, str(recipe_toml))
    for source, tables in layers:
        merged.add(tables, source)
    for override in overrides:
        merged.add(_parse_override(override), f"--set {override}")
    return merged.validate(Settings, default_source=str(recipe_toml))


def load_toml(path: Path, model: type[Model]) -> Model:
    """Read a TOML file that is no recipe, as strictly and with the same kind of errors."""
    merged = _Merged()
    merged.add(_read_toml(path), str(path))
    return merged.validate(model, default_source=str(path))


def settings_from_toml(text: str, source: str) -> Settings:
    """Read settings written by `settings_to_toml`; `source` is named in errors."""
    merged = _Merged()
    merged.add(_parse_toml(text, source), source)
    return merged.validate(Settings, default_source=source)


def settings_to_toml(settings: Settings) -> str:
    """Write every setting with its resolved value, as `settings_from_toml` reads it."""
    return tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True))


@dataclass
class _Merged:
    """TOML tables laid over one another, and which source each key came from last."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[tuple[str, ...], str] = field(default_factory=dict)

    def add(self, tables: Mapping[str, Any], source: str) -> None:
        try:
            json.dumps(tables, default=str)  # as `validate` will
            self._lay_over(self.values, tables, source, ())
        except ValueError as error:  # a hexadecimal number of thousands of digits
            raise ConfigError(f"{source}: {error}; expected a shorter number") from None
        except RecursionError:
            raise ConfigError(f"{source}: {_TOO_DEEP}") from None

    def _lay_over(
        self, below: dict[str, Any], above: Mapping[str, Any], source: str, at: tuple[str, ...]
    ) -> None:
        for key, value in above.items():
            path = (*at, key)
            self.sources[path] = source
            if isinstance(value, dict):
                if not isinstance(below.get(key), dict):
                    below[key] = {}
                self._lay_over(below[key], value, source, path)
            else:
                below[key] = value

    def validate(self, model: type[Model], default_source: str) -> Model:
        try:
            # JSON mode is as strict, and lets a TOML list be a tuple.
            return model.model_validate_json(json.dumps(self.values, default=str))
        except ValidationError as error:
            problems = [self._explain(item, model, default_source) for item in error.errors()]
            raise ConfigError("\n".join(problems)) from None

    def _explain(self, item: Mapping[str, Any], model: type[BaseModel], default_source: str) -> str:
        path = tuple(str(part) for part in item["loc"])
        prefixes = (path[:length] for length in range(len(path), 0, -1))
        source = next((self.sources[p] for p in prefixes if p in self.sources), default_source)
        key = ".".join(path)
        value = json.dumps(item["input"], default=str)
        match item["type"]:
            case "extra_forbidden":
                known = _known_keys(model, path[:-1])
                close = difflib.get_close_matches(path[-1], known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
                return f"{source}: {key} is not a known key; {hint}"
            case "missing" if isinstance(item["input"], list):
                return f"{source}: {'.'.join(path[:-1])} = {value}; expected more items"
            case "too_long":
                return f"{source}: {key} = {value}; expected {item['ctx']['max_length']} items"
            case "missing":
                return f"{source}: {key} is missing; it has no default, set it"
            case "value_error":
                return f"{source}: {key}: {item['msg'].removeprefix('Value error, ')}"
            case "literal_error":
                return f"{source}: {key} = {value}; expected {item['ctx']['expected']}"
            case kind if kind in _EXPECTED:
                unquote = isinstance(item["input"], str) and kind in ("int_type", "float_type")
                hint = ", without quotes" if unquote else ""
                return f"{source}: {key} = {value}; expected {_EXPECTED[kind]}{hint}"
        return f"{source}: {key} = {value}; {item['msg'][:1].lower()}{item['msg'][1:]}"


def _known_keys(model: type[BaseModel], table_path: Iterable[str]) -> list[str]:
    kind: Any = model
    for name in table_path:
        if get_origin(kind) in (dict, tuple):  # of tables, by name or by number
            kind = get_args(kind)[get_origin(kind) is dict]
        elif name in getattr(kind, "model_fields", {}):
            kind = kind.model_fields[name].annotation
        elif (table := _tagged(kind, name)) is not None:
            kind = table
        else:
            return []
        if get_args(kind)[1:] == (type(None),):  # a table that may be absent
            kind = get_args(kind)[0]
    return list(getattr(kind, "model_fields", {}))


def _tagged(kind: Any, name: str) -> type[BaseModel] | None:
    """Return the table of that `name`, where its name tells which of several a table is."""
    for table in get_args(kind):
        field = getattr(table, "model_fields", {}).get("name")
        if field is not None and name in get_args(field.annotation):
            return cast("type[BaseModel]", table)
    return None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a UTF-8 text file: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return _parse_toml(text, str(path))


def _parse_toml(text: str, source: str) -> dict[str, Any]:
    if any(line.count(".") > _MAX_DOTS for line in text.split("\n")):
        raise ConfigError(f"{source}: a line with more than {_MAX_DOTS} dots; {_TOO_DEEP}")
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        raise ConfigError(f"{source}: not valid TOML: {error}") from error
    except RecursionError:
        raise ConfigError(f"{source}: {_TOO_DEEP}") from None


def _pop_extends(recipe: dict[str, Any], path: Path) -> list[str]:
    names = recipe.pop("extends", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{path}: extends = {names!r}; expected a list of fragment names")
    return names


def _fragment_names() -> list[str]:
    return sorted(
        path.relative_to(CONF_DIR).with_suffix("").as_posix() for path in CONF_DIR.rglob("*.toml")
    )


def _parse_override(override: str) -> dict[str, Any]:
    key, equals, value = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise ConfigError(f"--set {override}: expected table.key=value, e.g. train.max_epochs=10")
    try:
        override.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"--set {override!r}: not valid UTF-8 text: {error.reason}") from None
    parsed: Any = value.strip()
    with contextlib.suppress(ConfigError):
        document = _parse_toml(f"value = {value}", "--set")
        if len(document) == 1:  # else the value went on with other keys in a line of their own
            parsed = document["value"]
    for name in reversed(names):
        parsed = {name: parsed}
    return dict(parsed)
