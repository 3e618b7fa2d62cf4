"""The LSTM kernels against the equations written as a loop in float64.

Run by test_triton_lstm.py, in a process of its own, because whether Triton interprets is settled
when it is first imported: in the interpreter on any machine, compiled on one with a CUDA device.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.nn.cells import elementwise, lstm_kernels
from asrkit.nn.cells.elementwise import ElementwiseCell
from asrkit.nn.cells.family import make_cell
from asrkit.nn.cells.triton_lstm import LstmForm, triton_recurrence
from asrkit.settings import ModelSettings
from asrkit.settings_types import CellName

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
FLOAT32_TOLERANCE = 2e-6 if INTERPRETED else 2e-5  # a GPU's exp and division are approximate
on_a_gpu = pytest.mark.skipif(INTERPRETED, reason="too slow, or wrong, in Triton's interpreter")

FULL = LstmForm(peephole="full")
FORMS = [
    LstmForm(forget, peephole)
    for forget in ("gate", "none", "coupled")
    for peephole in ("none", "full", "simple")
]


@pytest.fixture(autouse=True, scope="module")
def _loops_are_interpreted() -> None:
    if not INTERPRETED:
        return
    # Triton 3.6's interpreter keeps numbers as arrays of one, which NumPy 2.4 takes for no bound
    # of a loop; what it is told to be constant stays a number.
    for kernel in (lstm_kernels.forward_kernel, lstm_kernels.backward_kernel):
        kernel.rewrite().__annotations__["num_frames"] = "constexpr"


def literal_recurrence(
    gates_x: Tensor,
    recurrent_weight: Tensor,
    peepholes: Tensor | None,
    output: Tensor,
    cell: Tensor,
    *,
    form: LstmForm,
    truncate_frames: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """The equations, one frame and one direction at a time."""
    results = []
    for d in range(len(gates_x)):
        h, c, outputs = output[d], cell[d], []
        parts = recurrent_weight[d].split(output.shape[-1])
        p = None if peepholes is None else peepholes[d]
        for t, frame in enumerate(gates_x[d]):
            if truncate_frames and t % truncate_frames == 0:
                h, c = h.detach(), c.detach()
            *sums, candidate, o = (
                x + h @ weight.T
                for x, weight in zip(frame.split(h.shape[-1], dim=-1), parts, strict=True)
            )
            before = c
            if p is not None:
                sums = [each + p[k] * before for k, each in enumerate(sums)]
            gates, g = [each.sigmoid() for each in sums], candidate.tanh()
            match form.forget:
                case "gate":
                    i, f = gates
                    c = f * before + i * g
                case "coupled":
                    (f,) = gates
                    c = f * before + (1 - f) * g
                case "none":
                    (i,) = gates
                    c = before + i * g
            if p is not None:
                o = o + p[-1] * (c if form.peephole == "full" else before)
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        results.append((torch.stack(outputs), h, c))
    outputs, hs, cs = zip(*results, strict=True)
    return torch.stack(outputs), torch.stack(hs), torch.stack(cs)


def make_inputs(
    frames: int, batch: int, hidden: int, form: LstmForm, directions: int = 2
) -> list[Tensor | None]:
    generator = torch.Generator().manual_seed(frames + batch + hidden)
    num_gates = 4 if form.forget == "gate" else 3

    def draw(*shape: int, scale: float = 1.0) -> Tensor:
        return (torch.randn(*shape, generator=generator, dtype=torch.float64) * scale).to(DEVICE)

    return [
        draw(directions, frames, batch, num_gates * hidden),
        draw(directions, num_gates * hidden, hidden, scale=hidden**-0.5),
        None if form.peephole == "none" else draw(directions, num_gates - 1, hidden),
        draw(directions, batch, hidden, scale=0.5),
        draw(directions, batch, hidden),
    ]


def with_gradients(results: Sequence[Tensor], leaves: list[Tensor]) -> list[Tensor]:
    """The results, and the gradients of a sum of them with fixed factors."""
    generator = torch.Generator().manual_seed(1)
    total = sum(
        (each.double() * torch.randn(each.shape, generator=generator).to(DEVICE)).sum()
        for each in results
    )
    return [*results, *torch.autograd.grad(total, leaves, materialize_grads=True)]


def run(recurrence: Any, inputs: list[Tensor | None], dtype: torch.dtype, **how: Any) -> list[Any]:
    """Outputs, final states and the gradients of all tensors given."""
    leaves = [None if each is None else each.to(dtype).detach().requires_grad_() for each in inputs]
    results = recurrence(*leaves, **how)
    return with_gradients(results, [each for each in leaves if each is not None])


def assert_close(actual: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.shape == theirs.shape
        error = (ours.double() - theirs).abs().max() / theirs.abs().max().clamp(min=1.0)
        assert error < tolerance


def check(
    inputs: list[Tensor | None],
    dtype: torch.dtype = torch.float32,
    tolerance: float = FLOAT32_TOLERANCE,
    **how: Any,
) -> None:
    ours = run(triton_recurrence, inputs, dtype, **how)
    assert_close(ours, run(literal_recurrence, inputs, torch.float64, **how), tolerance)


@pytest.mark.parametrize("form", FORMS)
def test_every_form(form: LstmForm) -> None:
    check(make_inputs(3, 3, 6, form), form=form)


@pytest.mark.parametrize(
    ("truncate_frames", "form"),
    [
        (1, LstmForm("none", "simple")),
        (2, FULL),
        (3, LstmForm("coupled", "full")),
        (9, LstmForm()),
    ],
)
def test_truncation(truncate_frames: int, form: LstmForm) -> None:
    inputs = make_inputs(4, 2, 5, form, directions=1)
    check(inputs, form=form, truncate_frames=truncate_frames)


@pytest.mark.parametrize(
    ("frames", "batch", "hidden", "directions"),
    [
        pytest.param(1, 1, 1, 1, id="smallest"),
        pytest.param(1, 4, 64, 2, id="one frame, a full block"),
        pytest.param(2, 17, 70, 2, id="two slices of the batch, one wide block of units"),
        pytest.param(2, 16, 150, 1, id="three blocks of units"),
        pytest.param(2, 3, 200, 1, id="two wide blocks"),
        *(
            pytest.param(300, 40, hidden, 2, id=f"long, {hidden} units", marks=on_a_gpu)
            for hidden in (250, 320, 421, 500, 622)
        ),
    ],
)
def test_shapes(frames: int, batch: int, hidden: int, directions: int) -> None:
    check(make_inputs(frames, batch, hidden, FULL, directions), form=FULL)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        pytest.param(torch.float16, 5e-3, id="float16"),
        # The interpreter multiplies its bits as if they were integers.
        pytest.param(torch.bfloat16, 2e-2, id="bfloat16", marks=on_a_gpu),
    ],
)
def test_half_precision(dtype: torch.dtype, tolerance: float) -> None:
    inputs = make_inputs(4, 5, 20, FULL)
    check(inputs, dtype, tolerance, form=FULL)
    rounded: list[Any] = [None if each is None else each.to(dtype) for each in inputs]
    outputs, output, cell = triton_recurrence(*rounded, form=FULL)
    assert (outputs.dtype, output.dtype, cell.dtype) == (dtype, dtype, torch.float32)


@on_a_gpu
def test_a_long_run_repeats_to_the_last_bit() -> None:
    inputs = make_inputs(400, 64, 320, FULL)
    first = run(triton_recurrence, inputs, torch.float16, form=FULL)
    for _ in range(5):
        again = run(triton_recurrence, inputs, torch.float16, form=FULL)
        assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_equals_torch_nn() -> None:
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(4, 7).to(DEVICE)
    frames = torch.randn(6, 3, 4, device=DEVICE)
    expected, (output, cell) = lstm(frames)
    gates_x = frames @ lstm.weight_ih_l0.T + lstm.bias_ih_l0 + lstm.bias_hh_l0
    zeros = torch.zeros(1, 3, 7, device=DEVICE)
    actual = triton_recurrence(
        gates_x[None], lstm.weight_hh_l0[None], None, zeros, zeros, form=LstmForm()
    )
    for mine, theirs in zip(actual, (expected[None], output, cell), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_halves_run_one_after_the_other_equal_the_whole() -> None:
    how: dict[str, Any] = {"form": LstmForm("coupled", "full")}
    gates_x, *rest, output, cell = make_inputs(6, 2, 5, **how)
    gates_x, output, cell = gates_x.float(), output.float(), cell.float()
    whole = triton_recurrence(gates_x, *rest, output, cell, **how)
    first, output, cell = triton_recurrence(gates_x[:, :4], *rest, output, cell, **how)
    second, *final = triton_recurrence(gates_x[:, 4:], *rest, output, cell, **how)
    assert torch.equal(whole[0], torch.cat([first, second], dim=1))
    assert torch.equal(whole[1], final[0])
    assert torch.equal(whole[2], final[1])


def test_a_sequence_does_not_depend_on_its_batch() -> None:
    inputs = make_inputs(4, 18, 5, FULL)
    gates_x, weight, peepholes, output, cell = (each.float() for each in inputs)
    together, _, _ = triton_recurrence(gates_x, weight, peepholes, output, cell, form=FULL)
    last = slice(17, 18)
    alone, _, _ = triton_recurrence(
        gates_x[:, :, last], weight, peepholes, output[:, last], cell[:, last], form=FULL
    )
    assert torch.equal(together[:, :, last], alone)


def test_without_gradient_the_result_is_the_same() -> None:
    how: dict[str, Any] = {"form": LstmForm("gate", "simple")}
    inputs = make_inputs(3, 2, 5, **how)
    arguments: list[Any] = [None if each is None else each.float() for each in inputs]
    with torch.no_grad():
        without = triton_recurrence(*arguments, **how)
    arguments[0].requires_grad_()
    for each, other in zip(without, triton_recurrence(*arguments, **how), strict=True):
        assert not each.requires_grad
        torch.testing.assert_close(each, other.detach())


@pytest.mark.parametrize(("frames", "batch"), [(0, 2), (3, 0)])
def test_nothing_to_run_over(frames: int, batch: int) -> None:
    inputs = make_inputs(frames, batch, 5, LstmForm())
    arguments: list[Any] = [None if each is None else each.float() for each in inputs]
    outputs, output, cell = triton_recurrence(*arguments, form=LstmForm())
    assert outputs.shape == (2, frames, batch, 5)
    assert torch.equal(output, arguments[3])
    assert torch.equal(cell, arguments[4])


def test_extreme_gates_saturate() -> None:
    inputs = make_inputs(3, 2, 5, LstmForm())
    inputs[0] = inputs[0] * 30
    check(inputs, form=LstmForm())


def run_cell(
    cell: ElementwiseCell, inputs: list[Tensor], state: list[Tensor], dtype: torch.dtype
) -> list[Tensor]:
    """Outputs, last states and the gradients of inputs, first states and parameters."""
    cell.to(DEVICE, dtype)
    inputs, state = (
        [each.detach().to(DEVICE, dtype).requires_grad_() for each in given]
        for given in (inputs, state)
    )
    outputs, after = cell(inputs, tuple(state) or None)
    return with_gradients([*outputs, *after], [*inputs, *state, *cell.parameters()])


CELLS_IN_THE_KERNEL: list[tuple[CellName, int]] = [
    *(("lstm", 2), ("lstm_1997", 0), ("lstm_coupled", 0)),
    *(("lstm_peephole", 0), ("lstm_peephole", 3), ("lstm_peephole_simple", 0)),
]


@pytest.mark.parametrize("has_state", [True, False], ids=["state", "no state"])
@pytest.mark.parametrize("num_directions", [1, 2])
@pytest.mark.parametrize(("name", "truncate_frames"), CELLS_IN_THE_KERNEL)
def test_cells_compute_what_they_do_elsewhere(
    name: CellName,
    truncate_frames: int,
    num_directions: int,
    has_state: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(len(name))
    settings = ModelSettings(cell=name, hidden_size=5, init="uniform", init_range=0.8)
    cell = make_cell(settings, 4, num_directions)
    assert isinstance(cell, ElementwiseCell)
    cell.truncate_frames = truncate_frames
    inputs = [torch.randn(5, 3, 4, dtype=torch.float64) for _ in range(num_directions)]
    num_states = 2 if has_state else 0
    state = [torch.randn(num_directions, 3, 5, dtype=torch.float64) for _ in range(num_states)]

    def forbidden(*_: object) -> None:
        raise AssertionError("computed by the other one")

    with monkeypatch.context() as patch:
        patch.setattr(elementwise, "is_available", lambda _: False)
        patch.setattr(elementwise, "run_lstm", forbidden)
        expected = run_cell(cell, inputs, state, torch.float64)
    with monkeypatch.context() as patch:
        if INTERPRETED:
            patch.setattr(elementwise, "is_available", lambda _: True)
        patch.setattr(elementwise, "run_recurrence", forbidden)
        actual = run_cell(cell, inputs, state, torch.float32)
    assert_close(actual, expected, FLOAT32_TOLERANCE)


@pytest.mark.parametrize(("frames", "batch"), [(0, 2), (3, 0)])
def test_a_cell_over_nothing(frames: int, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elementwise, "is_available", lambda _: True)
    cell = make_cell(ModelSettings(cell="lstm_peephole", hidden_size=5), 4, 2)
    assert isinstance(cell, ElementwiseCell)
    inputs = [torch.zeros(frames, batch, 4)] * 2
    state = [torch.ones(2, batch, 5)] * 2
    forwards, backwards, *after = run_cell(cell, inputs, state, torch.float32)[:4]
    assert forwards.shape == backwards.shape == (frames, batch, 5)
    assert all(torch.equal(each.cpu(), kept) for each, kept in zip(after, state, strict=True))
