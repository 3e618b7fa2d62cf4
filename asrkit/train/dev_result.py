"""What an evaluation on the dev set is and finds; how it does so is not training's concern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asrkit.nn.model import AcousticModel


@dataclass(frozen=True)
class DevResult:
    """What an evaluation finds on the dev set."""

    loss: float
    """Nats an utterance."""
    error: float
    """Pooled error rate, as a fraction."""
    emission_rate: float
    """Tokens emitted for each reference label."""
    top_share: float = 0.0
    """Share of the most frequent token among those emitted."""


Evaluate = Callable[[AcousticModel], DevResult]
