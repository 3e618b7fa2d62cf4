from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from asrkit.nn.cells import elementwise
from asrkit.nn.cells.family import CELLS, make_cell
from asrkit.nn.cells.triton_lstm import is_available, launch_options
from asrkit.settings import ModelSettings
from asrkit.settings_types import CellName

CASES = Path(__file__).with_name("triton_lstm_cases.py")


def run_cases(interpret: bool) -> None:
    environment = os.environ | {"TRITON_INTERPRET": "1" if interpret else "0"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(CASES)],
        cwd=CASES.parents[4],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_kernels_in_the_interpreter() -> None:
    pytest.importorskip("triton")
    run_cases(interpret=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_kernels_on_the_gpu() -> None:
    assert is_available(torch.zeros(1, device="cuda"))
    run_cases(interpret=False)


def test_nothing_on_the_cpu_and_no_triton_imported() -> None:
    assert not is_available(torch.zeros(1))
    code = (
        "import sys, torch; before = set(sys.modules)\n"
        "import asrkit.nn.cells.triton_lstm\n"
        "sys.exit('triton' in set(sys.modules) - before)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "recurrent_dropout"),
    [
        *((name, 0.5) for name in CELLS),
        *((name, 0.0) for name in ("lstm_projected", "lstm_layer_norm", "slstm", "gru", "tanh")),
    ],
)
def test_what_the_kernel_cannot_do_is_computed_elsewhere(
    name: CellName, recurrent_dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("computed by the kernel")

    monkeypatch.setattr(elementwise, "is_available", lambda _: True)
    monkeypatch.setattr(elementwise, "run_lstm", forbidden)
    settings = ModelSettings(
        cell=name, hidden_size=4, projection_size=4, recurrent_dropout=recurrent_dropout
    )
    (outputs,), _ = make_cell(settings, 3, 1)([torch.zeros(2, 1, 3)])
    assert outputs.shape == (2, 1, 4)


def compile_without_a_gpu(
    name: str, hidden_size: int, dtype: torch.dtype, capability: int, **constants: Any
) -> Any:
    """Compile a kernel down to machine code, as a launch with these arguments would."""
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.backends.nvidia.compiler import get_ptxas
    from triton.compiler import ASTSource

    from asrkit.nn.cells import lstm_kernels

    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("TRITON_INTERPRET is set: nothing is compiled")
    try:
        get_ptxas(capability)
    except RuntimeError as error:
        pytest.skip(f"triton has no ptxas here: {error}")
    kernel = getattr(lstm_kernels, name)
    options = launch_options(hidden_size, dtype)
    chosen = {key: options.pop(key) for key in ("num_warps", "num_stages")}
    constants |= options
    types = {torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16"}

    def argument_type(argument: str) -> str:
        if argument in constants:
            return "constexpr"
        if argument in ("num_frames", "batch", "truncate_frames"):
            return "i32"
        in_float32 = argument in ("peepholes", "cells", "grad_cell")
        return types[torch.float32 if in_float32 else dtype]

    signature = {argument: argument_type(argument) for argument in kernel.arg_names}
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, argument in enumerate(signature.values())
        if argument.startswith("*")
    }
    return triton.compile(
        ASTSource(kernel, signature, constants, aligned),
        target=GPUTarget("cuda", capability, 32),
        options=chosen,
    )


@pytest.mark.parametrize("name", ["forward_kernel", "backward_kernel"])
@pytest.mark.parametrize(
    ("hidden_size", "dtype", "forget", "peephole", "capability"),
    [
        (250, torch.float16, "gate", "full", 90),
        (320, torch.bfloat16, "coupled", "simple", 90),
        (622, torch.float32, "none", "none", 80),
    ],
)
def test_kernels_compile(
    name: str,
    hidden_size: int,
    dtype: torch.dtype,
    forget: str,
    peephole: str,
    capability: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    switch = "KEEPS_GATES" if name == "forward_kernel" else "TRUNCATES"
    constants: dict[str, Any] = {"FORGET": forget, "PEEPHOLE": peephole, switch: True}
    compiled = compile_without_a_gpu(name, hidden_size, dtype, capability, **constants)

    smallest_limit = 99 * 1024  # of all GPUs from compute capability 8.0 on
    assert compiled.metadata.shared <= smallest_limit
    ptx = compiled.asm["ptx"]
    assert ("mma.sync" in ptx) == (dtype != torch.float32)
    assert "cp.async" in ptx, "weights are not fetched ahead"
    # That cache may keep what other warps have overwritten since.
    assert "ld.global.nc" not in ptx
    # One frame's outputs are complete before the next frame reads them.
    assert compiled.asm["ttgir"].count("gpu.barrier") == 1
