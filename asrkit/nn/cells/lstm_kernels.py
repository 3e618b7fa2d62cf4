# mypy: ignore-errors
# ruff: noqa: N803, N806, PLR0915
# Triton compiles these functions: they are Python in spelling only, their constants are in capitals
# as everyone writes them, and cutting them up would hide that they are one loop.
"""Triton kernels for the recurrent part of the gate LSTMs. Importing this imports triton.

A program owns all hidden units of a few sequences in one direction, so programs never wait for one
another. It walks through time itself. Before each frame it needs the whole output of the frame
before, which its own warps have just left in `exchange`, a buffer in global memory that is small
enough to stay in the L2 cache, as are the weights. There are two such buffers for even and odd
frames, so one barrier a frame is enough: what is read in a frame is written in the frame before,
and overwritten in the frame after.

Shapes: D directions, T frames, N sequences, G gates (i, f, g, o, or three whose first is i where
nothing is forgotten, and f where i = 1 - f), H hidden units; W is H rounded up to a multiple of
UNIT_BLOCK and K_BLOCK, M is N rounded up to one of BATCH_BLOCK. Weights and exchange are zero from
H to W: such a unit's candidate is tanh(0) = 0, so its cell and output stay 0, and the products need
no masks. What a frame needs besides is asked for before the products, which hide the wait. Offsets
of a frame are computed in 64 bits, those within it in 32.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def _tanh(x):
    # exp of what is never positive cannot overflow.
    shrunk = tl.exp(-2.0 * tl.abs(x))
    size = (1.0 - shrunk) / (1.0 + shrunk)
    return tl.where(x < 0.0, -size, size)


@triton.jit(do_not_specialize=["num_frames", "batch"])
def forward_kernel(
    gates_x,  # (D, T, N, G * H), in
    weight,  # (D, G, W, W), in, transposed: columns are units, rows what they read
    peepholes,  # (D, G - 1, H) float32, in
    exchange,  # (D, 2, M, W): the first of the two buffers holds the first outputs
    outputs,  # (D, T + 1, N, H): the first frame is not touched
    cells,  # (D, T + 1, N, H) float32: the first frame is in
    gates,  # (D, T, N, G * H), out: after their nonlinearities; i in place of 1 - i
    num_frames,
    batch,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    FORGET: tl.constexpr,
    PEEPHOLE: tl.constexpr,
    KEEPS_GATES: tl.constexpr,
    PRECISION: tl.constexpr,
    BATCH_BLOCK: tl.constexpr,
    UNIT_BLOCK: tl.constexpr,
    K_BLOCK: tl.constexpr,
):
    """Compute outputs and cells of all frames."""
    NUM_GATES: tl.constexpr = 4 if FORGET == "gate" else 3
    CANDIDATE: tl.constexpr = NUM_GATES - 2
    OUTPUT_GATE: tl.constexpr = NUM_GATES - 1
    OUTPUT_PEEPHOLE: tl.constexpr = NUM_GATES - 2
    direction = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * BATCH_BLOCK + tl.arange(0, BATCH_BLOCK)[:, None]
    padded_batch = tl.num_programs(0) * BATCH_BLOCK
    weight += direction * NUM_GATES * WIDTH * WIDTH
    peepholes += direction * (NUM_GATES - 1) * HIDDEN

    for frame in range(num_frames):
        before = (direction * (num_frames + 1) + frame) * batch * HIDDEN
        after = before + batch * HIDDEN
        gates_here = (direction * num_frames + frame) * batch * (NUM_GATES * HIDDEN)
        heard = exchange + (direction * 2 + frame % 2) * padded_batch * WIDTH + rows * WIDTH
        said = exchange + (direction * 2 + (frame + 1) % 2) * padded_batch * WIDTH + rows * WIDTH

        for first_unit in range(0, WIDTH, UNIT_BLOCK):
            units = first_unit + tl.arange(0, UNIT_BLOCK)[None, :]
            is_real = (rows < batch) & (units < HIDDEN)
            at = rows * HIDDEN + units
            gate_at = gates_here + (rows * (NUM_GATES * HIDDEN) + units)

            x_first = tl.load(gates_x + gate_at, is_real, 0.0)
            if FORGET == "gate":
                x_f = tl.load(gates_x + gate_at + HIDDEN, is_real, 0.0)
            x_g = tl.load(gates_x + gate_at + CANDIDATE * HIDDEN, is_real, 0.0)
            x_o = tl.load(gates_x + gate_at + OUTPUT_GATE * HIDDEN, is_real, 0.0)
            c_before = tl.load(cells + before + at, is_real, 0.0)
            if PEEPHOLE != "none":
                p_first = tl.load(peepholes + units, units < HIDDEN, 0.0)
                if FORGET == "gate":
                    p_f = tl.load(peepholes + units + HIDDEN, units < HIDDEN, 0.0)
                p_o = tl.load(peepholes + units + OUTPUT_PEEPHOLE * HIDDEN, units < HIDDEN, 0.0)

            sum_first = tl.zeros((BATCH_BLOCK, UNIT_BLOCK), tl.float32)
            sum_f = tl.zeros((BATCH_BLOCK, UNIT_BLOCK), tl.float32)
            sum_g = tl.zeros((BATCH_BLOCK, UNIT_BLOCK), tl.float32)
            sum_o = tl.zeros((BATCH_BLOCK, UNIT_BLOCK), tl.float32)
            for first_k in range(0, WIDTH, K_BLOCK):
                k = first_k + tl.arange(0, K_BLOCK)
                h = tl.load(heard + k[None, :])
                tile = weight + k[:, None] * WIDTH + units
                w_first = tl.load(tile)
                sum_first = tl.dot(h, w_first, sum_first, input_precision=PRECISION)
                if FORGET == "gate":
                    w_f = tl.load(tile + WIDTH * WIDTH)
                    sum_f = tl.dot(h, w_f, sum_f, input_precision=PRECISION)
                w_g = tl.load(tile + CANDIDATE * WIDTH * WIDTH)
                sum_g = tl.dot(h, w_g, sum_g, input_precision=PRECISION)
                w_o = tl.load(tile + OUTPUT_GATE * WIDTH * WIDTH)
                sum_o = tl.dot(h, w_o, sum_o, input_precision=PRECISION)

            sum_first += x_first
            sum_o += x_o
            if PEEPHOLE != "none":
                sum_first += p_first * c_before
            i = _sigmoid(-sum_first if FORGET == "coupled" else sum_first)
            g = _tanh(sum_g + x_g)
            if FORGET == "gate":
                sum_f += x_f
                if PEEPHOLE != "none":
                    sum_f += p_f * c_before
                f = _sigmoid(sum_f)
                c = f * c_before + i * g
                if KEEPS_GATES:
                    tl.store(gates + gate_at + HIDDEN, f, is_real)
            elif FORGET == "coupled":
                c = (1.0 - i) * c_before + i * g
            else:
                c = c_before + i * g
            if PEEPHOLE == "full":
                sum_o += p_o * c
            elif PEEPHOLE == "simple":
                sum_o += p_o * c_before
            o = _sigmoid(sum_o)
            output = o * _tanh(c)

            tl.store(said + units, output)
            tl.store(outputs + after + at, output, is_real)
            tl.store(cells + after + at, c, is_real)
            if KEEPS_GATES:
                tl.store(gates + gate_at, i, is_real)
                tl.store(gates + gate_at + CANDIDATE * HIDDEN, g, is_real)
                tl.store(gates + gate_at + OUTPUT_GATE * HIDDEN, o, is_real)
        tl.debug_barrier()


@triton.jit(do_not_specialize=["num_frames", "batch", "truncate_frames"])
def backward_kernel(
    grad_outputs,  # (D, T, N, H), in
    grad_cell,  # (D, N, H) float32: of the last cells in, of the first cells out
    gates,  # (D, T, N, G * H), in: as left by forward_kernel
    cells,  # (D, T + 1, N, H) float32, in
    weight,  # (D, G, W, W), in: rows are units, columns what they read
    peepholes,  # (D, G - 1, H) float32, in
    exchange,  # (D, 2, M, G * W), in: zeros
    grad_gates,  # (D, T, N, G * H), out: with respect to the gates before their nonlinearities
    num_frames,
    batch,
    truncate_frames,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    FORGET: tl.constexpr,
    PEEPHOLE: tl.constexpr,
    TRUNCATES: tl.constexpr,
    PRECISION: tl.constexpr,
    BATCH_BLOCK: tl.constexpr,
    UNIT_BLOCK: tl.constexpr,
    K_BLOCK: tl.constexpr,
):
    """Compute the gradient with respect to the gates of all frames, from the last to the first."""
    NUM_GATES: tl.constexpr = 4 if FORGET == "gate" else 3
    CANDIDATE: tl.constexpr = NUM_GATES - 2
    OUTPUT_GATE: tl.constexpr = NUM_GATES - 1
    OUTPUT_PEEPHOLE: tl.constexpr = NUM_GATES - 2
    direction = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * BATCH_BLOCK + tl.arange(0, BATCH_BLOCK)[:, None]
    padded_batch = tl.num_programs(0) * BATCH_BLOCK
    weight += direction * NUM_GATES * WIDTH * WIDTH
    peepholes += direction * (NUM_GATES - 1) * HIDDEN
    grad_cell += direction * batch * HIDDEN

    for step in range(num_frames):
        frame = num_frames - 1 - step
        here = (direction * num_frames + frame) * batch * HIDDEN
        before = (direction * (num_frames + 1) + frame) * batch * HIDDEN
        after = before + batch * HIDDEN
        gates_here = here * NUM_GATES
        row_at = rows * (NUM_GATES * WIDTH)
        size = padded_batch * (NUM_GATES * WIDTH)
        heard = exchange + (direction * 2 + step % 2) * size + row_at
        said = exchange + (direction * 2 + (step + 1) % 2) * size + row_at

        for first_unit in range(0, WIDTH, UNIT_BLOCK):
            units = first_unit + tl.arange(0, UNIT_BLOCK)[None, :]
            is_real = (rows < batch) & (units < HIDDEN)
            at = rows * HIDDEN + units
            gate_at = gates_here + (rows * (NUM_GATES * HIDDEN) + units)

            i = tl.load(gates + gate_at, is_real, 0.0).to(tl.float32)
            if FORGET == "gate":
                f = tl.load(gates + gate_at + HIDDEN, is_real, 0.0).to(tl.float32)
            g = tl.load(gates + gate_at + CANDIDATE * HIDDEN, is_real, 0.0).to(tl.float32)
            o = tl.load(gates + gate_at + OUTPUT_GATE * HIDDEN, is_real, 0.0).to(tl.float32)
            c = tl.load(cells + after + at, is_real, 0.0)
            c_before = tl.load(cells + before + at, is_real, 0.0)
            grad_h = tl.load(grad_outputs + here + at, is_real, 0.0).to(tl.float32)
            grad_c = tl.load(grad_cell + at, is_real, 0.0)
            if PEEPHOLE != "none":
                p_first = tl.load(peepholes + units, units < HIDDEN, 0.0)
                if FORGET == "gate":
                    p_f = tl.load(peepholes + units + HIDDEN, units < HIDDEN, 0.0)
                p_o = tl.load(peepholes + units + OUTPUT_PEEPHOLE * HIDDEN, units < HIDDEN, 0.0)

            # One sum a gate, so that products need not wait for one another.
            sum_first = tl.zeros((BATCH_BLOCK, UNIT_BLOCK), tl.float32)
            sum_f = tl.zeros((BATCH_BLOCK, UNIT_BLOCK), tl.float32)
            sum_g = tl.zeros((BATCH_BLOCK, UNIT_BLOCK), tl.float32)
            sum_o = tl.zeros((BATCH_BLOCK, UNIT_BLOCK), tl.float32)
            for first_k in range(0, WIDTH, K_BLOCK):
                k = first_k + tl.arange(0, K_BLOCK)
                source = heard + k[None, :]
                tile = weight + k[:, None] * WIDTH + units
                d_first = tl.load(source)
                w_first = tl.load(tile)
                sum_first = tl.dot(d_first, w_first, sum_first, input_precision=PRECISION)
                if FORGET == "gate":
                    d_f = tl.load(source + WIDTH)
                    w_f = tl.load(tile + WIDTH * WIDTH)
                    sum_f = tl.dot(d_f, w_f, sum_f, input_precision=PRECISION)
                d_g = tl.load(source + CANDIDATE * WIDTH)
                w_g = tl.load(tile + CANDIDATE * WIDTH * WIDTH)
                sum_g = tl.dot(d_g, w_g, sum_g, input_precision=PRECISION)
                d_o = tl.load(source + OUTPUT_GATE * WIDTH)
                w_o = tl.load(tile + OUTPUT_GATE * WIDTH * WIDTH)
                sum_o = tl.dot(d_o, w_o, sum_o, input_precision=PRECISION)
            grad_h += (sum_first + sum_f) + (sum_g + sum_o)

            squashed = _tanh(c)
            grad_o = grad_h * squashed * o * (1.0 - o)
            grad_c += grad_h * o * (1.0 - squashed * squashed)
            if PEEPHOLE == "full":
                grad_c += p_o * grad_o
            grad_g = grad_c * i * (1.0 - g * g)
            if FORGET == "gate":
                grad_first = grad_c * g * i * (1.0 - i)
                grad_f = grad_c * c_before * f * (1.0 - f)
                grad_c = grad_c * f
                if PEEPHOLE != "none":
                    grad_c += p_f * grad_f
            elif FORGET == "coupled":
                grad_first = grad_c * (c_before - g) * i * (1.0 - i)
                grad_c = grad_c * (1.0 - i)
            else:
                grad_first = grad_c * g * i * (1.0 - i)
            if PEEPHOLE != "none":
                grad_c += p_first * grad_first
            if PEEPHOLE == "simple":
                grad_c += p_o * grad_o

            tl.store(grad_gates + gate_at, grad_first, is_real)
            if FORGET == "gate":
                tl.store(grad_gates + gate_at + HIDDEN, grad_f, is_real)
            tl.store(grad_gates + gate_at + CANDIDATE * HIDDEN, grad_g, is_real)
            tl.store(grad_gates + gate_at + OUTPUT_GATE * HIDDEN, grad_o, is_real)

            # What goes on to the frame before.
            if TRUNCATES:
                passes = frame % truncate_frames != 0
                grad_first = tl.where(passes, grad_first, 0.0)
                grad_g = tl.where(passes, grad_g, 0.0)
                grad_o = tl.where(passes, grad_o, 0.0)
                grad_c = tl.where(passes, grad_c, 0.0)
                if FORGET == "gate":
                    grad_f = tl.where(passes, grad_f, 0.0)
            tl.store(said + units, grad_first)
            if FORGET == "gate":
                tl.store(said + units + WIDTH, grad_f)
            tl.store(said + units + CANDIDATE * WIDTH, grad_g)
            tl.store(said + units + OUTPUT_GATE * WIDTH, grad_o)
            tl.store(grad_cell + at, grad_c, is_real)
        tl.debug_barrier()
