"""A paper's table of results as data: its networks, how each is trained, what was published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from asrkit.config import load_toml
from asrkit.errors import UsageError
from asrkit.settings_types import PositiveFloat, PositiveInt, Table

Layer = dict[str, dict[str, Any]]
"""Some settings, by table and key, to be laid over those of the recipe."""


class Published(Table):
    """What a paper states of a network."""

    weights_m: PositiveFloat
    """Number of weights, in millions."""
    epochs: PositiveInt
    per: PositiveFloat
    """Phone error rate in percent."""


class Phase(Table):
    """A stretch of training with settings of its own."""

    settings: Layer = Field(default_factory=dict)


class Network(Table):
    """One network of the table, or one that another begins with."""

    published: Published | None = None
    """Networks without published figures are no rows: they are trained where a row needs them."""
    start_from: tuple[str, ...] = ()
    """Networks whose trained weights the first phase begins with, in turn; none is random."""
    phases: tuple[str, ...] = ()
    """Names of its phases, in order; all of the table's if none is named."""
    settings: Layer = Field(default_factory=dict)


class ResultsTable(Table):
    """`tables/NAME.toml` of a recipe.

    Settings are laid over one another in this order: the recipe, the table's, the network's, the
    phase's, `--set`.
    """

    title: str
    source: str
    """Where the published figures stand."""
    split: str = "test"
    """The set that is scored."""
    protocols: Annotated[tuple[str, ...], Field(min_length=1)]
    """Scoring protocols; the first is the one to quote."""
    settings: Layer = Field(default_factory=dict)
    phases: Annotated[dict[str, Phase], Field(min_length=1)]
    networks: Annotated[dict[str, Network], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_names(self) -> ResultsTable:
        for name, network in self.networks.items():
            for key, names, known in (
                ("phases", network.phases, self.phases),
                ("start_from", network.start_from, self.networks),
            ):
                if unknown := [each for each in names if each not in known]:
                    raise ValueError(
                        f"networks.{name}.{key} names {unknown[0]!r}; known: {', '.join(known)}"
                    )
        try:
            TopologicalSorter(
                {n: network.start_from for n, network in self.networks.items()}
            ).prepare()
        except CycleError as error:
            raise ValueError(
                f"networks: {' needs '.join(error.args[1])} by start_from; expected no circle"
            ) from None
        return self

    @property
    def rows(self) -> dict[str, Published]:
        """The networks that are rows, by name and in order, with what was published of them."""
        return {n: network.published for n, network in self.networks.items() if network.published}

    def phases_of(self, name: str) -> Sequence[str]:
        """Names of a network's phases, in order."""
        return self.networks[name].phases or tuple(self.phases)

    def with_needed(self, rows: Sequence[str]) -> list[str]:
        """List networks so that each comes after those it begins with, each once."""

        def walk(name: str) -> Iterator[str]:
            for other in self.networks[name].start_from:
                yield from walk(other)
            yield name

        return list(dict.fromkeys(name for row in rows for name in walk(row)))


def find_table(recipe_toml: Path, name: str) -> Path:
    """Return the file of a recipe's table.

    Raises
    ------
    UsageError
        If the recipe has none of that name; those it has are listed.
    """
    known = {path.stem: path for path in sorted((recipe_toml.parent / "tables").glob("*.toml"))}
    if name not in known:
        has = f"expected one of {', '.join(known)}" if known else "the recipe has none"
        raise UsageError(f"--table {name}: {recipe_toml.parent.name} has no such table; {has}")
    return known[name]


def load_table(path: Path) -> ResultsTable:
    """Read a table's file; ConfigError names the file, the key and what was expected."""
    return load_toml(path, ResultsTable)
