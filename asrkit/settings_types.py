"""What all settings classes are built from: strict tables, limited numbers, names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
CellName = Literal[
    "lstm",
    "lstm_1997",
    "lstm_peephole",
    "lstm_peephole_simple",
    "lstm_coupled",
    "lstm_projected",
    "lstm_layer_norm",
    "slstm",
    "gru",
    "tanh",
]


class Table(BaseModel):
    """A TOML table: types are not coerced, unknown keys are errors, values never change."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)
