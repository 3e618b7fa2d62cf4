"""The recurrent part of the gate LSTMs on a GPU, all frames in one kernel launch.

With a_t the input's part of a frame's gates and, where there are peepholes, weights p:

    i_t = σ(a_i + U_i h_{t-1} + p_i ∘ c_{t-1})      c_t = f_t ∘ c_{t-1} + i_t ∘ g_t
    f_t = σ(a_f + U_f h_{t-1} + p_f ∘ c_{t-1})      h_t = o_t ∘ tanh(c_t)
    g_t = tanh(a_g + U_g h_{t-1})
    o_t = σ(a_o + U_o h_{t-1} + p_o ∘ c_t)

Without forget gate f_t = 1; coupled, i_t = 1 - f_t; with simple peepholes, o_t reads c_{t-1}.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from asrkit.nn.cells.recurrence import Operands, Tensors

Forget = Literal["gate", "none", "coupled"]
Peephole = Literal["none", "full", "simple"]

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_BATCH_BLOCK = 16
"""Sequences of one program; the fewest that tensor cores take."""
_WIDTH_MULTIPLE = 64
_TILE_BYTES = 8192
"""Of each gate's weights in one step of a product: with four gates, and so many stages that the
next tiles arrive while these are multiplied, it fits the shared memory of all current GPUs."""
_NUM_STAGES = 3
_NUM_WARPS = 8


@dataclass(frozen=True)
class LstmForm:
    """Which of the gate LSTMs.

    Parameters
    ----------
    forget
        "gate" (Gers 2000), "none" (Hochreiter & Schmidhuber 1997), or "coupled": i = 1 - f.
    peephole
        "full": i and f see the cell of the frame before, o sees the present one (Gers 2002);
        "simple": all see that of the frame before.
    """

    forget: Forget = "gate"
    peephole: Peephole = "none"


def is_available(tensor: Tensor) -> bool:
    """Whether `triton_recurrence` can compute with tensors of this device and dtype."""
    return (
        tensor.is_cuda
        and tensor.dtype in _DTYPES
        and torch.version.hip is None
        and torch.cuda.get_device_capability(tensor.device) >= (8, 0)
        and _triton_compiles()
    )


@functools.cache
def _triton_compiles() -> bool:
    """Whether triton is here and finds what it builds its launcher with at its first use."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    return bool(importlib.util.find_spec("triton") and compiler and header.is_file())


def run_lstm(form: LstmForm, truncate_frames: int, operands: Operands) -> tuple[Tensors, Tensors]:
    """Do as `run_recurrence`, for a cell of this form that has neither mask nor projection.

    Under autocast, products are computed in its dtype, which outputs then have; cells are float32.
    """
    gates_x = torch.baddbmm(
        operands.bias[:, None],
        torch.stack(operands.inputs).flatten(1, 2),
        operands.input_weight.transpose(1, 2),
    )
    outputs, *state = triton_recurrence(
        gates_x.view(len(gates_x), *operands.inputs[0].shape[:2], gates_x.shape[-1]),
        operands.recurrent_weight,
        torch.stack(operands.parameters, dim=1) if operands.parameters else None,
        *operands.state,
        form=form,
        truncate_frames=truncate_frames,
    )
    return outputs.unbind(0), tuple(state)


def triton_recurrence(
    gates_x: Tensor,
    recurrent_weight: Tensor,
    peepholes: Tensor | None,
    output: Tensor,
    cell: Tensor,
    *,
    form: LstmForm,
    truncate_frames: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run a gate LSTM over the input's part of its gates, differentiable in all five tensors.

    Products are computed in the dtype of `gates_x` with sums in float32 (float32 ones exactly, not
    in TF32); cells are float32 throughout. Unlike its parts it cannot be differentiated twice.

    Parameters
    ----------
    gates_x
        (D, T, N, G * H), float32, float16 or bfloat16: W x + b, with the gates in the order
        i, f, g, o; of a form without forget gate i, g, o, of a coupled one f, g, o.
    recurrent_weight
        U, (D, G * H, H).
    peepholes
        (D, G - 1, H), those of all gates but g in the same order; None if the form has none.
    output, cell
        h and c before the first frame, (D, N, H).
    form
        Which of the equations.
    truncate_frames
        No gradient passes a multiple of this many frames; 0 lets all pass.

    Returns
    -------
    outputs
        (D, T, N, H), in the dtype of `gates_x`.
    output, cell
        After the last frame, (D, N, H); the cell is float32.
    """
    output, cell = output.to(gates_x.dtype), cell.float()
    if gates_x.shape[1] == 0 or gates_x.shape[2] == 0:
        return gates_x.new_zeros(*gates_x.shape[:3], output.shape[-1]), output, cell
    outputs, cell = _Recurrence.apply(  # type: ignore[no-untyped-call]
        gates_x.contiguous(),
        recurrent_weight.to(gates_x.dtype),
        None if peepholes is None else peepholes.float().contiguous(),
        output,
        cell,
        form,
        truncate_frames,
        torch.is_grad_enabled(),
    )
    return outputs, outputs[:, -1], cell


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        gates_x: Tensor,
        weight: Tensor,
        peepholes: Tensor | None,
        output: Tensor,
        cell: Tensor,
        form: LstmForm,
        truncate_frames: int,
        keeps_gates: bool,
    ) -> tuple[Tensor, Tensor]:
        # Here, because it imports triton, which not every machine has.
        from asrkit.nn.cells.lstm_kernels import forward_kernel  # noqa: PLC0415

        num_directions, num_frames, batch, _ = gates_x.shape
        padded = _pad_weight(weight).transpose(2, 3).contiguous()
        num_slices = -(-batch // _BATCH_BLOCK)
        width = padded.shape[-1]
        hidden_size = output.shape[-1]
        exchange = padded.new_zeros(num_directions, 2, num_slices * _BATCH_BLOCK, width)
        exchange[:, 0, :batch, :hidden_size] = output
        # The states before the first frame stand in front of all others: gradients need them so.
        outputs = gates_x.new_empty(num_directions, num_frames + 1, batch, hidden_size)
        outputs[:, 0] = output
        cells = torch.empty_like(outputs, dtype=torch.float32)
        cells[:, 0] = cell
        gates = torch.empty_like(gates_x) if keeps_gates else gates_x
        with torch.cuda.device_of(gates_x):  # type: ignore[no-untyped-call]
            forward_kernel[(num_slices, num_directions)](
                gates_x,
                padded,
                cell if peepholes is None else peepholes,
                exchange,
                outputs,
                cells,
                gates,
                num_frames,
                batch,
                FORGET=form.forget,
                PEEPHOLE=form.peephole,
                KEEPS_GATES=keeps_gates,
                **launch_options(hidden_size, gates_x.dtype),
            )
        if keeps_gates:
            ctx.save_for_backward(weight, peepholes, outputs, cells, gates)
            ctx.form, ctx.truncate_frames = form, truncate_frames
        return outputs[:, 1:], cells[:, -1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor, grad_cell: Tensor) -> tuple[Tensor | None, ...]:
        from asrkit.nn.cells.lstm_kernels import backward_kernel  # noqa: PLC0415

        weight, peepholes, outputs, cells, gates = ctx.saved_tensors
        form, truncate_frames = ctx.form, ctx.truncate_frames
        num_directions, num_frames, batch, _ = gates.shape
        hidden_size = outputs.shape[-1]
        padded = _pad_weight(weight)
        num_slices = -(-batch // _BATCH_BLOCK)
        exchange = padded.new_zeros(
            num_directions, 2, num_slices * _BATCH_BLOCK, padded.shape[1] * padded.shape[-1]
        )
        grad_gates = torch.empty_like(gates)
        grad_cell = grad_cell.clone(memory_format=torch.contiguous_format)
        with torch.cuda.device_of(gates):  # type: ignore[no-untyped-call]
            backward_kernel[(num_slices, num_directions)](
                grad_outputs.contiguous(),
                grad_cell,
                gates,
                cells,
                padded,
                cells if peepholes is None else peepholes,
                exchange,
                grad_gates,
                num_frames,
                batch,
                truncate_frames,
                FORGET=form.forget,
                PEEPHOLE=form.peephole,
                TRUNCATES=truncate_frames > 0,
                **launch_options(hidden_size, gates.dtype),
            )

        before = outputs[:, :-1].flatten(1, 2)
        grad_weight = torch.bmm(grad_gates.flatten(1, 2).transpose(1, 2), before)
        grad_output = torch.bmm(grad_gates[:, 0], weight)
        if truncate_frames:
            grad_output.zero_()
        grad_peepholes = None
        if peepholes is not None:
            by_gate = grad_gates.view(num_directions, num_frames, batch, -1, hidden_size)
            *others, _, grad_o = by_gate.unbind(-2)
            seen = cells[:, :-1]
            seen_by_o = cells[:, 1:] if form.peephole == "full" else seen
            sums = [(grad * seen).sum((1, 2)) for grad in others]
            sums.append((grad_o * seen_by_o).sum((1, 2)))
            grad_peepholes = torch.stack(sums, dim=1)
        return grad_gates, grad_weight, grad_peepholes, grad_output, grad_cell, *[None] * 3


def _pad_weight(weight: Tensor) -> Tensor:
    """(D, G * H, H) to (D, G, W, W), contiguous, with zeros beyond H."""
    hidden_size = weight.shape[-1]
    extra = _padded_width(hidden_size) - hidden_size
    blocks = weight.reshape(len(weight), -1, hidden_size, hidden_size)
    return F.pad(blocks, (0, extra, 0, extra)).contiguous()


def _padded_width(hidden_size: int) -> int:
    return hidden_size + -hidden_size % _WIDTH_MULTIPLE


def launch_options(hidden_size: int, dtype: torch.dtype) -> dict[str, Any]:
    """Choose what both kernels are compiled with for this width and dtype; see `lstm_kernels`."""
    width = _padded_width(hidden_size)
    unit_block = 128 if width % 128 == 0 else 64
    return {
        "HIDDEN": hidden_size,
        "WIDTH": width,
        "PRECISION": "ieee",
        "BATCH_BLOCK": _BATCH_BLOCK,
        "UNIT_BLOCK": unit_block,
        "K_BLOCK": _TILE_BYTES // (unit_block * dtype.itemsize),
        "num_warps": _NUM_WARPS,
        "num_stages": _NUM_STAGES,
    }
