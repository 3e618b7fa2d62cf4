"""Settings of a laboratory recipe: which cells learn which tasks, how, and what was published."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from asrkit.settings_types import (
    CellName,
    Count,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Table,
)

MethodName = Literal["bptt", "truncated_bptt", "rtrl", "evolution"]


class Reber(Table):
    """Predict the symbols that may come next in strings of the embedded Reber grammar."""

    name: Literal["reber"]


class ContinualReber(Table):
    """The same in an endless stream of strings, with nothing that marks where one ends."""

    name: Literal["continual_reber"]
    piece_frames: PositiveInt = 50
    """Symbols between two updates; the state goes on, gradients do not."""
    stream_pieces: PositiveInt = 20
    """A training stream ends after so many pieces: the network also has to learn how one begins."""
    error_free_symbols: PositiveInt = 10_000
    """A stream counts as mastered after this many symbols without an error."""


class LongLag(Table):
    """Recall the first symbol after at least `lag` others."""

    name: Literal["long_lag"]
    lag: PositiveInt
    num_distractors: PositiveInt = 4
    """Different symbols that fill the lag."""
    random: bool = True
    """Draw the symbols of the lag; otherwise they are the same in every sequence."""


class Adding(Table):
    """Add the two marked numbers of a sequence at its end."""

    name: Literal["adding"]
    length: Annotated[int, Field(ge=22)] = 100


class TemporalOrder(Table):
    """Tell at the end in which order the relevant symbols came."""

    name: Literal["temporal_order"]
    num_relevant: Annotated[int, Field(ge=2, le=3)] = 2


class Counting(Table):
    """Predict the symbols that may come next in aⁿbⁿ, or in aⁿbⁿcⁿ."""

    name: Literal["counting"]
    num_letters: Annotated[int, Field(ge=2, le=3)] = 2
    trained_n: PositiveInt = 10
    """Strings of n = 1 to this are trained."""
    tested_n: PositiveInt = 20
    """All strings of n = 1 to this have to be right."""


class SpikeDelays(Table):
    """Tell at each spike by how much the time since the one before exceeds `period`."""

    name: Literal["spike_delays"]
    period: PositiveInt = 10
    max_delay: PositiveInt = 1
    trained_spikes: PositiveInt = 10
    """Spikes of a training sequence."""
    tested_spikes: PositiveInt = 100
    """Spikes of a test sequence, each of which has to be measured right."""


class TimedSpikes(Table):
    """Produce spikes `period` steps apart, or as much later as the input said at the last one."""

    name: Literal["timed_spikes"]
    period: PositiveInt = 10
    max_delay: Count = 1
    trained_spikes: PositiveInt = 10
    tested_spikes: PositiveInt = 100


TaskSettings = Annotated[
    Reber
    | ContinualReber
    | LongLag
    | Adding
    | TemporalOrder
    | Counting
    | SpikeDelays
    | TimedSpikes,
    Field(discriminator="name"),
]


class Experiment(Table):
    """`[[lab.experiment]]`: some cells on one task; each is tried with each method and seed."""

    name: str
    task: TaskSettings
    cells: Annotated[tuple[CellName, ...], Field(min_length=1)]
    methods: Annotated[tuple[MethodName, ...], Field(min_length=1)] = ("bptt",)
    seeds: Count = 0
    """Seeds of this experiment; 0 takes those of the laboratory."""
    hidden_size: PositiveInt
    forget_bias: float = 1.0
    """Added to the first bias of every forget gate."""
    input_bias: float = 0.0
    """Added to the first bias of every input gate: where much is to be ignored before it is known
    what matters, less than 0."""
    learning_rate: PositiveFloat = 1e-2
    """Of Adam."""
    batch_size: PositiveInt = 16
    """Sequences an update learns from."""
    clip_norm: NonNegativeFloat = 1.0
    """Largest norm of the gradient; 0 does not clip."""
    truncate_frames: Count = 0
    """Steps that gradients go back, `truncated_bptt` only."""
    population: Annotated[int, Field(ge=4)] = 16
    """Candidates of a generation, `evolution` only."""
    initial_std: PositiveFloat = 0.5
    """First standard deviation of the weights, `evolution` only."""
    max_sequences: PositiveInt
    """A trial ends without success after so many training sequences."""
    test_interval: PositiveInt
    """Training sequences between two tests."""
    paper: dict[CellName, str] = Field(default_factory=dict)
    """What was published for a cell on this task."""
    source: str = ""
    """Where."""
    note: str = ""
    """What a reader of the results should know."""
    quick_cells: tuple[CellName, ...] = ()
    """Cells of this experiment that the quick form tries."""

    @model_validator(mode="after")
    def _check_methods(self) -> Experiment:
        if "truncated_bptt" in self.methods and self.truncate_frames == 0:
            raise ValueError("truncated_bptt needs truncate_frames of 1 or more")
        beyond = sorted({"rtrl", "evolution"} & set(self.methods))
        if isinstance(self.task, ContinualReber) and beyond:
            raise ValueError(f"methods = {beyond}: a stream is learnt by backpropagation only")
        return self


class LabSettings(Table):
    """`[lab]`: a laboratory recipe, which has no speech data and trains no recogniser."""

    seeds: PositiveInt = 3
    """Every trial is repeated with this many seeds."""
    quick: bool = False
    """Only the `quick_cells` of the experiments, with one seed."""
    only: tuple[str, ...] = ()
    """Names of the experiments to carry out; none means all."""
    experiment: Annotated[tuple[Experiment, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_names(self) -> LabSettings:
        names = [each.name for each in self.experiment]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"experiments {twice} have the name of another; names must differ")
        unknown = [name for name in self.only if name not in names]
        if unknown:
            raise ValueError(f"only = {unknown}: no such experiment; known: {', '.join(names)}")
        return self
