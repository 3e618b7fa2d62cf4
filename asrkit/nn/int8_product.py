"""Products of 8-bit matrices by the instruction that x86 processors have for them (VNNI).

It multiplies unsigned by signed bytes, four at a time, and adds them to 32-bit sums, exactly. numba
does not find it in loops, so the innermost loop is written out here for LLVM. Weights are the
unsigned side, as w + 128; who calls takes 128 times the sum of each row away again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy.typing import NDArray

from asrkit.compiled import compiled

_FEATURES: str = cpu_target.target_context.codegen().magic_tuple()[2]
_LANES, _VECTORS = (16, 4) if "+avx512vnni" in _FEATURES else (8, 2)
_PANEL = _LANES * _VECTORS
"""Columns multiplied at once: with four rows, their sums fill the registers but do not overflow."""
_ROWS = 4
_GROUP = 4  # of bytes, by the definition of the instruction

_INT32, _INT64 = ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_INT32, _LANES)
_UNDEFINED = ir.Constant(_VECTOR, ir.Undefined)
_ZEROS = ir.Constant(_VECTOR, [0] * _LANES)


def has_int8_products() -> bool:
    """Whether this processor has the instruction, and numba may use it."""
    return "+avx512vnni" in _FEATURES or "+avxvnni" in _FEATURES


def pack_panels(weights: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Lay out weights (J, K) in the order in which `multiply` reads them.

    Returns
    -------
    ndarray (P, G, 4 * panel), uint8
        w + 128 of P panels of columns and G groups of four values; both axes are completed by 0.
    """
    num_columns, size = weights.shape
    padded = np.pad(weights, ((0, -num_columns % _PANEL), (0, -size % _GROUP)))
    unsigned = (padded.astype(np.int16) + 128).astype(np.uint8)
    groups = unsigned.reshape(len(padded) // _PANEL, _PANEL, -1, _GROUP).swapaxes(1, 2)
    panels = groups.reshape(*groups.shape[:2], _PANEL * _GROUP)
    # Vectors that straddle two cache lines take twice as long to read.
    memory = np.empty(panels.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    aligned = memory[start : start + panels.nbytes].reshape(panels.shape)
    aligned[:] = panels
    return aligned


@compiled()
def multiply(rows: Any, panels: Any, sums: Any) -> None:
    """Multiply rows (M, 4G) int8 by packed weights, into sums (M, P * panel) int32."""
    num_rows = rows.shape[0]
    num_panels, num_groups, _ = panels.shape
    for p in range(num_panels):
        here = sums[:, p * _PANEL :]
        m = 0
        while m + _ROWS <= num_rows:
            _multiply_four_rows(here[m:], rows[m:], panels[p], num_groups)
            m += _ROWS
        while m < num_rows:
            _multiply_one_row(here[m:], rows[m:], panels[p], num_groups)
            m += 1


def _multiplication_of(num_rows: int) -> Any:
    """Make the loop over the groups of a panel for so many rows, whose sums stay in registers."""

    @intrinsic
    def multiply_rows(_context: Any, sums: Any, rows: Any, panel: Any, num_groups: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            arrays = [
                context.make_array(kind)(context, builder, value)
                for kind, value in zip(signature.args[:3], arguments[:3], strict=True)
            ]
            to_sums, to_rows, to_panel = (
                builder.bitcast(array.data, ir.IntType(8).as_pointer()) for array in arrays
            )
            sums_stride, rows_stride, _ = (
                cgutils.unpack_tuple(builder, array.strides)[0]  # type: ignore[no-untyped-call]
                for array in arrays
            )
            instruction = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
                builder.module,
                ir.FunctionType(_VECTOR, [_VECTOR] * 3),
                f"llvm.x86.avx512.vpdpbusd.{32 * _LANES}",
            )

            def place(base: Any, stride: Any, number: Any, offset: Any, kind: Any) -> Any:
                distance = builder.add(builder.mul(stride, number), offset)
                return builder.bitcast(builder.gep(base, [distance]), kind.as_pointer())

            before = builder.block
            loop = builder.append_basic_block("groups")
            after = builder.append_basic_block("sums")
            builder.branch(loop)

            builder.position_at_end(loop)
            group = builder.phi(_INT64)
            totals = [[builder.phi(_VECTOR) for _ in range(_VECTORS)] for _ in range(num_rows)]
            weights = [
                builder.load(
                    place(to_panel, group, _INT64(_GROUP * _PANEL), _bytes(v), _VECTOR), align=1
                )
                for v in range(_VECTORS)
            ]
            grown = []
            for r in range(num_rows):
                four = builder.load(
                    place(to_rows, rows_stride, _INT64(r), builder.mul(group, _INT64(4)), _INT32),
                    align=1,
                )
                spread = builder.shuffle_vector(
                    builder.insert_element(_UNDEFINED, four, _INT32(0)), _UNDEFINED, _ZEROS
                )
                grown.append(
                    [
                        builder.call(instruction, [total, weight, spread])
                        for total, weight in zip(totals[r], weights, strict=True)
                    ]
                )
            following = builder.add(group, _INT64(1))
            builder.cbranch(builder.icmp_signed("<", following, arguments[3]), loop, after)
            group.add_incoming(_INT64(0), before)
            group.add_incoming(following, loop)
            for r in range(num_rows):
                for total, more in zip(totals[r], grown[r], strict=True):
                    total.add_incoming(_ZEROS, before)
                    total.add_incoming(more, loop)

            builder.position_at_end(after)
            for r in range(num_rows):
                for v in range(_VECTORS):
                    at = place(to_sums, sums_stride, _INT64(r), _bytes(v), _VECTOR)
                    builder.store(grown[r][v], at, align=1)
            return context.get_dummy_value()

        return types.void(sums, rows, panel, num_groups), generate

    return multiply_rows


def _bytes(num_vectors: int) -> Any:
    return _INT64(num_vectors * _GROUP * _LANES)


_multiply_four_rows = _multiplication_of(_ROWS)
_multiply_one_row = _multiplication_of(1)
