"""Keep the weights of the best epochs, and average them at the end where that helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from asrkit.train.checkpoint import load_weights, save_weights


class BestWeights:
    """The weights of the `count` epochs with the lowest dev error, as files in a folder.

    Parameters
    ----------
    folder
        Where `epoch-<n>.safetensors` are written.
    count
        How many are kept.
    errors
        Dev error by file name of those kept; shared with the run's position, and changed here.
    """

    def __init__(self, folder: Path, count: int, errors: dict[str, float]) -> None:
        self.folder = folder
        self.count = count
        self.errors = errors
        self._before: set[str] = set()

    def offer(self, epoch: int, error: float, model: nn.Module) -> None:
        """Save the model if it belongs to the best; among equals the later epoch does."""
        name = f"epoch-{epoch:04d}.safetensors"
        later_first = sorted({**self.errors, name: error}.items(), reverse=True)
        ranked = sorted(later_first, key=lambda item: item[1])
        kept = dict(ranked[: self.count])
        if name in kept:
            save_weights(self.folder / name, model.state_dict())
        self._before = set(self.errors)
        self.errors.clear()
        self.errors.update(kept)

    def delete_others(self) -> None:
        """Delete the files that were not kept even before the last offer.

        Call it once there is a checkpoint since that offer: the one before it still names them.
        """
        for path in self.folder.glob("epoch-*.safetensors"):
            if path.name not in self._before | self.errors.keys():
                path.unlink()

    def best(self) -> dict[str, Tensor]:
        """Weights of the single best epoch."""
        return load_weights(self.folder / next(iter(self.errors)))

    def mean(self) -> dict[str, Tensor]:
        """Mean of the kept weights, taken in float64."""
        return mean_weights([load_weights(self.folder / name) for name in self.errors])


def mean_weights(weights: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Average weights by name; integer buffers are taken from the first."""
    mean: dict[str, Tensor] = {}
    for name, first in weights[0].items():
        if first.is_floating_point():
            stacked = torch.stack([item[name].double() for item in weights])
            mean[name] = stacked.mean(dim=0).to(first.dtype)
        else:
            mean[name] = first.clone()
    return mean
