"""Run `asrkit` commands, each in a process of its own, without importing torch for each.

That import takes far longer than most commands do. This process has it behind it, and becomes a
copy of itself for every command: one JSON object a line comes in with `arguments`, `folder`,
`stdin`, `stdout` and `stderr` (paths), an exit code a line goes out.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
import warnings

import torch._dynamo  # which the first optimiser imports

import asrkit.cli
import asrkit.data.kaldi
import asrkit.data.table
import asrkit.data.validate
import asrkit.lm.build
import asrkit.lm.model_file
import asrkit.lm.perplexity
import asrkit.recipe.stages
import asrkit.transcribe.writers

with contextlib.suppress(ImportError):  # not everybody has it
    import torch.utils.tensorboard  # noqa: F401


def become_asrkit(request: dict[str, object]) -> None:
    """Be `asrkit` from its start to its end."""
    os.chdir(str(request["folder"]))
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, name, flags in (
        (0, "stdin", os.O_RDONLY),
        (1, "stdout", write),
        (2, "stderr", write),
    ):
        os.dup2(os.open(str(request[name]), flags), number)
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    sys.argv = ["asrkit", *map(str, request["arguments"])]
    warnings.simplefilter("error")
    exit_code: object = 0
    try:
        asrkit.cli.main()
    except SystemExit as end:
        exit_code = end.code
    except BaseException:
        traceback.print_exc()
        exit_code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code or 0)


for line in sys.stdin:
    child = os.fork()
    if child == 0:
        become_asrkit(json.loads(line))
    exit_code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.stdout.write(f"{exit_code}\n")
    sys.stdout.flush()
