"""Train in pairs of processes that talk by gloo; what they leave is looked at by a test.

A pair is two copies of this process, which has torch imported. Arguments: a folder with the
settings, tokens and utterances; then pairs as NAME:SETTINGS:WHAT, where WHAT is what the second
process does to itself in the second step: `nothing`, `SIGKILL` or `SIGSTOP`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import traceback
from datetime import timedelta
from pathlib import Path

import torch._dynamo  # which the first optimiser imports

from asrkit.config import settings_from_toml
from asrkit.data.manifest import read_manifest
from asrkit.data.tokens import TokenTable
from asrkit.errors import AsrkitError
from asrkit.nn.model import AcousticModel
from asrkit.train import distributed, loop
from asrkit.train.checkpoint import read_checkpoint
from asrkit.train.distributed import World, join_world
from asrkit.train.loop import DevResult, Trainer


def try_world(world: World) -> dict[str, object]:
    """Try what a world can do."""
    module = torch.nn.Linear(2, 1)
    if world.rank == 0:
        module.weight.grad = torch.tensor([[1.0, 2.0]])
    module.bias.grad = torch.tensor([world.rank + 1.0])
    world.sum_gradients(module)
    world.wait()
    return {
        "sum": world.sum(torch.tensor([world.rank + 1.0, 10.0])).tolist(),
        "weight": module.weight.grad.tolist(),
        "bias": module.bias.grad.tolist(),
        "broadcast": world.broadcast(0.1 + world.rank),
        "any": [world.any(False), world.any(world.rank == 1), world.any(True)],
        "is_main": world.is_main,
    }


def train(folder: Path, name: str, settings_name: str, what: str, rank: int) -> None:
    settings = settings_from_toml((folder / f"{settings_name}.toml").read_text(), "settings")
    tokens = TokenTable.from_text((folder / "tokens.txt").read_text(), "char")
    run = folder / name
    run.mkdir(exist_ok=True)
    loop.draw_curves = lambda _folder: None
    if what == "SIGSTOP":
        distributed._STEP = timedelta(seconds=2)
    with join_world() as world:
        (run / f"world-{rank}.json").write_text(json.dumps(try_world(world)))
        torch.manual_seed(settings.recipe.seed)
        model = AcousticModel(settings, len(tokens))
        utterances = read_manifest(folder / "train.jsonl")
        trainer = Trainer(
            model, utterances, tokens, lambda _: DevResult(1.0, 0.5, 1.0), settings, run, world
        )
        update, gradients = trainer._update, {}

        def note_gradients(*arguments: object) -> object:
            step = trainer.position.step + 1
            if rank == 1 and step == 2 and what != "nothing":
                os.kill(os.getpid(), getattr(signal, what))
            result = update(*arguments)
            for parameter_name, parameter in model.named_parameters():
                gradients[f"{step}.{parameter_name}"] = parameter.grad.clone()
            return result

        trainer._update = note_gradients
        trainer.run()
        torch.save(gradients, run / f"gradients-{rank}.pt")
        torch.save(model.state_dict(), run / f"weights-{rank}.pt")


def carry_out_pair(folder: Path, name: str, settings: str, what: str) -> None:
    """Fork two processes; note when and how each ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    begun_s, processes, ends = time.monotonic(), {}, {}
    for rank in range(2):
        pid = os.fork()
        if pid == 0:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            os._exit(become(folder, name, settings, what, rank))
        processes[pid] = rank
    first = [pid for pid, rank in processes.items() if rank == 0 or what != "SIGSTOP"]
    for pid in [*first, *(pid for pid in processes if pid not in first)]:
        if pid not in first:
            os.kill(pid, signal.SIGKILL)  # it is stopped and does not end
        exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        ends[processes[pid]] = {"exit_code": exit_code, "seconds": time.monotonic() - begun_s}
    last = read_checkpoint(folder / name / "checkpoints" / "last.safetensors")
    ends["step"] = last.position.step
    (folder / name / f"ends-{what}.json").write_text(json.dumps(ends))


def become(folder: Path, name: str, settings: str, what: str, rank: int) -> int:
    try:
        train(folder, name, settings, what, rank)
    except AsrkitError as error:
        (folder / name / f"error-{what}").write_text(f"{type(error).__name__}: {error}")
        return error.exit_code
    except BaseException:
        traceback.print_exc()
        return 99
    return 0


for pair in sys.argv[2:]:
    carry_out_pair(Path(sys.argv[1]), *pair.split(":"))
