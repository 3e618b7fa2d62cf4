from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from asrkit.nn.denormals import flushed_denormals


def test_denormals_are_zero_inside_the_block_only() -> None:
    denormal = torch.tensor([1e-40])
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush denormal numbers")
    torch.set_flush_denormal(False)
    with flushed_denormals():
        assert (denormal * 1.0).item() == 0.0
    assert (denormal * 1.0).item() > 0.0
    with flushed_denormals():
        with flushed_denormals():
            pass
        assert (denormal * 1.0).item() == 0.0
    with pytest.raises(RuntimeError), flushed_denormals():
        raise RuntimeError
    assert (denormal * 1.0).item() > 0.0


def test_denormals_are_zero_in_all_threads_of_a_program_that_asks_first() -> None:
    program = (
        "import torch; from asrkit.nn.denormals import flushed_denormals\n"
        "torch.set_num_threads(2)\n"
        "with flushed_denormals():\n"
        "    print((torch.full((4_000_000,), 1e-40) * 1.0).count_nonzero().item())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(printed.stdout) == 0
