"""The two newest checkpoints of a run: a good one is left whatever happened to the other."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from asrkit.errors import CheckpointError
from asrkit.train.checkpoint import Checkpoint, Position, read_checkpoint, save_checkpoint
from asrkit.train.metrics import holds_metrics


class LastCheckpoints:
    """Checkpoints of a run, `last.safetensors` and the one before it, `previous.safetensors`.

    Parameters
    ----------
    folder
        Of the checkpoints; the metrics are in the folder above.

    Attributes
    ----------
    remarks
        What loading has ignored, and why, to be told to the user.
    """

    def __init__(self, folder: Path) -> None:
        self.remarks: list[str] = []
        self._last = folder / "last.safetensors"
        self._previous = folder / "previous.safetensors"
        self._run_folder = folder.parent
        self._last_is_good = False

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Position:
        """Set model and optimiser to the newest good checkpoint; give where the run stood.

        Good is one that is whole and whose events the metrics still hold, so that they go on
        without a gap. Where no checkpoint has that, the newest whole one is taken.

        Returns
        -------
        Position
            The beginning, where there is no checkpoint.

        Raises
        ------
        CheckpointError
            If there are checkpoints and all are damaged, or the one chosen is of another model.
        """
        if not (self._last.exists() or self._previous.exists()):
            return Position()
        chosen = self._choose()
        chosen.restore(model, optimizer)
        self._last_is_good = chosen.path == self._last
        if self.remarks:
            self.remarks.append(f"going on from {chosen.path}, step {chosen.position.step}")
        return chosen.position

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, position: Position) -> None:
        """Write `last.safetensors`, which becomes `previous.safetensors` unless it was damaged."""
        backup = self._previous if self._last_is_good else None
        save_checkpoint(self._last, model, optimizer, position, backup)
        self._last_is_good = True

    def _choose(self) -> Checkpoint:
        whole: list[Checkpoint] = []
        for path in (self._last, self._previous):
            try:
                checkpoint = read_checkpoint(path)
            except CheckpointError as error:
                self.remarks.append(str(error))
                continue
            if holds_metrics(self._run_folder, checkpoint.position.metrics_bytes):
                return checkpoint
            whole.append(checkpoint)
            self.remarks.append(
                f"{self._run_folder / 'metrics.jsonl'}: has lost events before step "
                f"{checkpoint.position.step} of {path.name}"
            )
        if not whole:
            remedy = f"delete both in {self._last.parent} to start the training anew"
            raise CheckpointError("; ".join([*self.remarks, remedy]))
        return whole[0]
