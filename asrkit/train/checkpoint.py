"""Checkpoints: one safetensors file with every tensor, and everything else as JSON in its header.

A checkpoint holds the weights, the optimiser's tensors and the position in the run. Random numbers
need no state of their own: each step seeds its generators from the run's seed and its own number.
Every file has a fingerprint of its content: a wrong length is noticed by safetensors, but nothing
else that a power cut or a bad disk may do.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from asrkit.errors import CheckpointError
from asrkit.files import write_atomically

_FINGERPRINT = "sha256"


@dataclass
class Position:
    """Where a run stands. Every field is restored exactly; floats survive JSON bit for bit."""

    epoch: int = 0
    batch: int = 0
    """Batches done in this epoch, by all processes together."""
    step: int = 0
    epoch_loss: float = 0.0
    """Sum over this epoch's utterances so far, in nats."""
    metrics_bytes: int = 0
    """Length of the metrics file; what a killed run wrote beyond it is cut off on resuming."""
    num_reductions: int = 0
    epochs_since_reduction: int = 0
    best_error: float | None = None
    best_epoch: int = 0
    dev_errors: dict[str, float] = field(default_factory=dict)
    """Dev error of each finished epoch whose weights are kept, by file name."""
    loss_scale: dict[str, Any] = field(default_factory=dict)
    """State of the float16 gradient scaler."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds, read and found whole."""

    path: Path
    tensors: Mapping[str, Tensor]
    position: Position
    optimizer: str
    """Name of its class."""
    origin: str
    """What the training says of itself, to know its own checkpoints by."""

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Set model and optimiser, in place, as they were.

        Raises
        ------
        CheckpointError
            If it holds other tensors than they do.
        """
        if self.optimizer != type(optimizer).__name__:
            raise CheckpointError(
                f"{self.path}: holds the state of {self.optimizer}, but train.optimizer asks for "
                f"{type(optimizer).__name__}"
            )
        load_weights_into(model, _with_prefix(self.tensors, "model."), self.path)

        parameters = dict(model.named_parameters())
        index_of = {name: index for index, name in enumerate(parameters)}
        state: dict[int, dict[str, Any]] = {}
        for key, value in _with_prefix(self.tensors, "optimizer.").items():
            name, _, slot = key.rpartition(".")
            if name not in index_of:
                raise CheckpointError(
                    f"{self.path}: optimiser state for {name}, which the model lacks"
                )
            state.setdefault(index_of[name], {})[slot] = value
        all_slots = {slot for slots in state.values() for slot in slots}
        for name, index in index_of.items():
            slots, shape = state.get(index, {}), parameters[name].shape
            if slots and (
                slots.keys() != all_slots
                or any(value.shape not in ((), shape) for value in slots.values())
            ):
                raise CheckpointError(
                    f"{self.path}: the optimiser's state of {name} is incomplete or of another "
                    "shape"
                )
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    position: Position,
    backup: Path | None = None,
    origin: str = "",
) -> None:
    """Write everything a run needs to go on, atomically; `backup` keeps the file before."""
    names = [name for name, _ in model.named_parameters()]
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    optimizer_state = optimizer.state_dict()["state"]
    for index, slots in optimizer_state.items():
        for slot, value in slots.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{names[index]}.{slot}"] = value
    metadata = {
        "position": json.dumps(dataclasses.asdict(position)),
        "optimizer": type(optimizer).__name__,
        "origin": origin,
    }
    write_atomically(path, _to_bytes(tensors, metadata), backup)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or no checkpoint of a training.
    """
    tensors, metadata = _read(path)
    try:
        fields = vars(Position(**json.loads(metadata["position"])))
        position = TypeAdapter(Position).validate_python(fields)
        origin = metadata.get("origin", "")
        return Checkpoint(path, tensors, position, metadata["optimizer"], origin)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a training checkpoint: {error}") from error


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write weights alone, atomically."""
    write_atomically(path, _to_bytes(weights, {}))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read what `save_weights` wrote."""
    return _read(path)[0]


def load_weights_into(model: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Copy weights into a model whose names and shapes agree, or raise CheckpointError."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{source}: its weights do not fit the model of these settings: {error}"
        ) from error


def _to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return save(contiguous, {**metadata, _FINGERPRINT: _fingerprint(contiguous, metadata)})


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such checkpoint") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged: {error}") from error
    fingerprint = metadata.pop(_FINGERPRINT, None)  # files of earlier versions have none
    if fingerprint is not None and fingerprint != _fingerprint(tensors, metadata):
        raise CheckpointError(f"{path}: damaged: its content does not have its fingerprint")
    return tensors, metadata


def _fingerprint(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
