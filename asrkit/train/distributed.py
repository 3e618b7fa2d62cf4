"""Data parallelism under `torchrun`: every process takes its share of each group of batches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from asrkit.errors import LostProcessError

# One process may prepare a large corpus, or evaluate on one, while the others wait.
_LONG_WORK = timedelta(days=1)
_STEP = timedelta(minutes=10)


@dataclass(frozen=True)
class World:
    """The processes that train together; one alone is a world of size 1.

    Gradients are summed, never averaged: the loop divides by the number of utterances in the whole
    group, so that any number of processes takes the same step as one on the joined batch.

    Each method raises LostProcessError where another process has ended, or does not answer within
    ten minutes, or a day where it may be at long work.
    """

    rank: int
    size: int
    device: torch.device
    steps: dist.ProcessGroup | None = None
    """The processes as they talk within a step."""

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum over all processes, in place."""
        if self.size > 1:
            with self._talking():
                dist.all_reduce(values, group=self.steps)
        return values

    def sum_gradients(self, module: nn.Module) -> None:
        """Sum every parameter's gradient over all processes in one message."""
        if self.size == 1:
            return
        parameters = [p for p in module.parameters() if p.requires_grad]
        flat = torch.cat(
            [
                torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten()
                for p in parameters
            ]
        )
        self.sum(flat)
        pieces = torch.split(flat, [p.numel() for p in parameters])
        for parameter, piece in zip(parameters, pieces, strict=True):
            parameter.grad = piece.view_as(parameter)

    def broadcast(self, value: float) -> float:
        """Give every process the main one's value, which may be a result of long work."""
        if self.size == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64, device=self.device)
        with self._talking():
            dist.broadcast(tensor, src=0)
        return float(tensor.item())

    def wait(self) -> None:
        """Wait until every process is here, after whatever long work."""
        if self.size > 1:
            with self._talking():
                dist.barrier()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        return bool(self.sum(torch.tensor([int(flag)], device=self.device)).item())

    @contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise LostProcessError(
                f"process {self.rank} of {self.size}: another process has ended or does not answer "
                f"({str(error).splitlines()[0]}); its own message, if it could leave one, says "
                "why; repeat the command with --resume to go on"
            ) from error


@contextmanager
def join_world() -> Iterator[World]:
    """Join the processes that `torchrun` started, or be alone; leave them at the end."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", local_rank) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    steps = None
    if size > 1:
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_LONG_WORK)
        steps = dist.new_group(timeout=_STEP)
    try:
        world = World(rank, size, device, steps)
        yield world
        world.wait()  # leave together: who goes first may break off what another still waits for
    finally:
        if size > 1:
            dist.destroy_process_group()
