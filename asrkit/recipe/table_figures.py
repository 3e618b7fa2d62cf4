"""The figures of a table of results: what was trained to the end, its rates, and what differs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from asrkit.config import load_settings
from asrkit.data.tokens import TokenTable
from asrkit.nn.model import AcousticModel
from asrkit.recipe.environment import Environment
from asrkit.recipe.results_table import Published, ResultsTable
from asrkit.recipe.table_run import TableRun
from asrkit.score.protocol import load_protocol
from asrkit.score.reading import read_transcripts
from asrkit.score.scorer import score
from asrkit.settings import Settings
from asrkit.train.metrics import read_metrics

# What may differ from the table without a word: where things lie, and how often they are saved.
_NO_DEVIATION = {
    "data.root",
    "recipe.seed",
    "recipe.description",
    "train.initial_weights",
    "train.checkpoint_steps",
    "train.max_epochs",  # told where it ended a training
}


@dataclass(frozen=True)
class TrainedNetwork:
    """A row's network with one seed.

    Attributes
    ----------
    epochs
        Of each phase: passes through the training set behind the weights that were kept.
    error_rates
        Phone error rates by protocol, shares.
    """

    seed: int
    weights: int
    epochs: Mapping[str, int]
    error_rates: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """A network of the table; `trained` is empty where it was not trained to the end yet."""

    name: str
    published: Published
    trained: Sequence[TrainedNetwork]

    def error_rates(self, protocol: str) -> list[float]:
        """Under a protocol, of each seed."""
        return [network.error_rates[protocol] for network in self.trained]


@dataclass(frozen=True)
class TableFigures:
    """All rows of a table, with what keeps them from being compared."""

    name: str
    table: ResultsTable
    rows: Sequence[Row]
    deviations: Sequence[str]
    """How corpus, budget and settings differ from the table's; if they do, rates do not compare."""
    commits: Sequence[str]
    """Of the code that trained."""


def collect_figures(run: TableRun) -> TableFigures:
    """Score whatever rows and seeds are trained to the end in a table's folder."""
    rows, phases = [], []
    for name, published in run.table.rows.items():
        trained = []
        for seed in _seeds_in(run.folder / name):
            own = [_TrainedPhase(run, name, seed, phase) for phase in run.table.phases_of(name)]
            if not own[-1].run.model.exists():
                continue
            trained.append(_trained_network(run.table, own))
            phases += [
                _TrainedPhase(run, other, seed, phase)
                for other in run.table.with_needed([name])
                for phase in run.table.phases_of(other)
            ]
        rows.append(Row(name, published, trained))
    deviations = [*_corpus_deviations(run), *_cut_budgets(phases), *_changed_settings(phases)]
    commits = sorted({phase.commit for phase in phases})
    return TableFigures(run.name, run.table, rows, deviations, commits)


def count_weights(settings: Settings, num_tokens: int) -> int:
    """Count the trainable weights of a network, biases included; the blank is one of the tokens."""
    network = AcousticModel(settings, num_tokens).network
    return sum(parameter.numel() for parameter in network.parameters())


class _TrainedPhase:
    """A phase that a row's weights have behind them, and what its run folder says of it."""

    def __init__(self, table_run: TableRun, network: str, seed: int, phase: str) -> None:
        self.network, self.seed, self.phase = network, seed, phase
        self.run = table_run.run_folder(network, seed, phase)
        self._table_run = table_run

    @cached_property
    def settings(self) -> Settings:
        return load_settings(self.run.settings)

    @cached_property
    def best_epoch(self) -> int:
        """The epoch whose weights were kept: the last of those with the lowest dev error."""
        ranked = min(self._epochs, key=lambda item: (item["dev_error"], -item["epoch"]))
        return int(ranked["epoch"])

    @cached_property
    def _epochs(self) -> list[dict[str, Any]]:
        return read_metrics(self.run.folder, "epoch")

    @property
    def was_cut(self) -> bool:
        """Whether its epochs were used up, rather than the dev set got no better."""
        train = self.settings.train
        num_epochs = len(self._epochs)
        patience = train.early_stopping_epochs
        stopped_early = 0 < patience <= num_epochs - self.best_epoch
        return num_epochs >= train.max_epochs and not stopped_early

    @property
    def changed_settings(self) -> dict[str, object]:
        """The settings that are not the table's own."""
        planned = self._table_run.planned_settings(
            self.network, self.seed, self.phase, with_overrides=False
        ).model_dump()
        return {
            f"{table}.{key}": value
            for table, values in self.settings.model_dump().items()
            if values  # a table may be absent
            for key, value in values.items()
            if value != planned[table][key] and f"{table}.{key}" not in _NO_DEVIATION
        }

    @property
    def commit(self) -> str:
        return Environment.load(self.run.environment).commit()


def _trained_network(table: ResultsTable, phases: Sequence[_TrainedPhase]) -> TrainedNetwork:
    last = phases[-1]
    tokens = TokenTable.read(last.run.tokens, last.settings.data.unit)
    references = read_transcripts(last.run.manifest(table.split)).texts
    hypotheses = read_transcripts(last.run.hypotheses(table.split)).texts
    unit = last.settings.score.unit
    return TrainedNetwork(
        seed=last.seed,
        weights=count_weights(last.settings, len(tokens)),
        epochs={phase.phase: phase.best_epoch for phase in phases},
        error_rates={
            name: score(references, hypotheses, unit, load_protocol(name)).error_rate
            for name in table.protocols
        },
    )


def _seeds_in(folder: Path) -> list[int]:
    names = [path.name.removeprefix("seed-") for path in folder.glob("seed-*")]
    return sorted(int(name) for name in names if name.isdecimal())


def _corpus_deviations(run: TableRun) -> list[str]:
    notes = run.notes
    return [f"corpus: {line}" for line in (*notes.deviations, *notes.remarks) if notes.deviations]


def _cut_budgets(phases: Sequence[_TrainedPhase]) -> list[str]:
    cut = [(phase.settings.train.max_epochs, phase) for phase in phases if phase.was_cut]
    return [
        f"budget: train.max_epochs = {epochs} ended the training, and the dev set might have got "
        f"better{_of_which(phases, [phase for each, phase in cut if each == epochs])}"
        for epochs in sorted({epochs for epochs, _ in cut})
    ]


def _changed_settings(phases: Sequence[_TrainedPhase]) -> list[str]:
    changed: defaultdict[str, list[_TrainedPhase]] = defaultdict(list)
    for phase in phases:
        for key, value in phase.changed_settings.items():
            changed[f"settings: {key} = {value!r}"].append(phase)
    return [f"{change}{_of_which(phases, those)}" for change, those in changed.items()]


def _of_which(phases: Sequence[_TrainedPhase], those: Sequence[_TrainedPhase]) -> str:
    """Name the networks that something holds for, unless it holds for all."""
    names = list(dict.fromkeys(phase.network for phase in those))
    return "" if len(those) == len(phases) else f": {', '.join(names)}"
