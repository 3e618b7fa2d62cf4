"""Every cell against its equations, written out frame by frame, in float64.

Each transcription gets what one direction of a cell reads in one frame, x, what its recurrent
weights read, h (after dropout), and its states before; it returns the output and the states after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from asrkit.nn.cells.cell import Cell, State
from asrkit.nn.cells.conv_lstm import ConvLstm
from asrkit.nn.cells.family import CELLS, make_cell
from asrkit.settings import ModelSettings

NAMES = [*CELLS, "conv_lstm"]
COMPILED = {"lstm_peephole", "lstm_peephole_simple", "slstm", "lstm_layer_norm"}
"""Those that numba's loops compute on a CPU."""
WIDTH = {"conv_lstm": 5}
Step = Callable[[Any, int, Tensor, Tensor, Sequence[Tensor]], tuple[Tensor, Sequence[Tensor]]]


def make(name: str, num_directions: int = 1, hidden_size: int = 4, dropout: float = 0.0) -> Cell:
    torch.manual_seed(1)
    settings = ModelSettings.model_validate(
        {
            "cell": "lstm" if name == "conv_lstm" else name,
            "hidden_size": hidden_size,
            "projection_size": 2,
            "conv_channels": 2,
            "recurrent_dropout": dropout,
        }
    )
    if name == "conv_lstm":
        cell: Cell = ConvLstm(settings, WIDTH[name], num_directions)
        cell.initialize(settings)
    else:
        cell = make_cell(settings, WIDTH.get(name, 3), num_directions)
    with torch.no_grad():
        for parameter in cell.parameters():  # gains are not all one, then
            parameter.add_(0.3 * torch.randn_like(parameter))
    return cell.double()


def data_for(name: str, cell: Cell, num_frames: int, batch: int) -> tuple[list[Tensor], State]:
    """Inputs and a state to start from."""
    torch.manual_seed(2)
    width = WIDTH.get(name, 3)
    inputs = [
        torch.randn(num_frames, batch, width, dtype=torch.float64)
        for _ in range(cell.num_directions)
    ]
    with torch.no_grad():
        _, last = cell(inputs)
    state = [torch.randn_like(each) for each in last]
    return inputs, tuple(state)


# --- the equations


def products(cell: Any, d: int, x: Tensor, h: Tensor) -> Sequence[Tensor]:
    gates = x @ cell.input_weight[d].T + h @ cell.recurrent_weight[d].T + cell.bias[d]
    return gates.split(cell.hidden_size, dim=-1)


def lstm(cell: Any, d: int, x: Tensor, h: Tensor, states: Sequence[Tensor]):
    i, f, g, o = products(cell, d, x, h)
    c = torch.sigmoid(f) * states[0] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), [c]


def lstm_1997(cell: Any, d: int, x: Tensor, h: Tensor, states: Sequence[Tensor]):
    i, g, o = products(cell, d, x, h)
    c = states[0] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), [c]


def lstm_peephole(cell: Any, d: int, x: Tensor, h: Tensor, states: Sequence[Tensor]):
    i, f, g, o = products(cell, d, x, h)
    p_i, p_f, p_o = cell.peepholes[d]
    i = torch.sigmoid(i + p_i * states[0])
    f = torch.sigmoid(f + p_f * states[0])
    c = f * states[0] + i * torch.tanh(g)
    return torch.sigmoid(o + p_o * c) * torch.tanh(c), [c]


def lstm_peephole_simple(cell: Any, d: int, x: Tensor, h: Tensor, states: Sequence[Tensor]):
    i, f, g, o = products(cell, d, x, h)
    p_i, p_f, p_o = cell.peepholes[d]
    i = torch.sigmoid(i + p_i * states[0])
    f = torch.sigmoid(f + p_f * states[0])
    o = torch.sigmoid(o + p_o * states[0])
    c = f * states[0] + i * torch.tanh(g)
    return o * torch.tanh(c), [c]


def lstm_coupled(cell: Any, d: int, x: Tensor, h: Tensor, states: Sequence[Tensor]):
    f, g, o = products(cell, d, x, h)
    i = 1 - torch.sigmoid(f)
    c = (1 - i) * states[0] + i * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), [c]


def lstm_projected(cell: Any, d: int, x: Tensor, h: Tensor, states: Sequence[Tensor]):
    output, states = lstm(cell, d, x, h, states)
    return output @ cell.projection[d].T, states


def layer_norm(values: Tensor, gain: Tensor) -> Tensor:
    centred = values - values.mean(-1, keepdim=True)
    return gain * centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5)


def lstm_layer_norm(cell: Any, d: int, x: Tensor, h: Tensor, states: Sequence[Tensor]):
    from_input = layer_norm(x @ cell.input_weight[d].T, cell.input_gain[d])
    from_output = layer_norm(h @ cell.recurrent_weight[d].T, cell.recurrent_gain[d])
    i, f, g, o = (from_input + from_output + cell.bias[d]).chunk(4, dim=-1)
    c = torch.sigmoid(f) * states[0] + torch.sigmoid(i) * torch.tanh(g)
    shown = layer_norm(c, cell.cell_gain[d]) + cell.cell_bias[d]
    return torch.sigmoid(o) * torch.tanh(shown), [c]


def slstm(cell: Any, d: int, x: Tensor, h: Tensor, states: Sequence[Tensor]):
    """As in the paper, but for the form in which c and n are handed on."""
    i, f, z, o = products(cell, d, x, h)
    n_before = torch.exp(states[1])
    c = torch.sigmoid(f) * states[0] * n_before + torch.exp(i) * torch.tanh(z)
    n = torch.sigmoid(f) * n_before + torch.exp(i)
    return torch.sigmoid(o) * c / n, [c / n, torch.log(n)]


def gru(cell: Any, d: int, x: Tensor, h: Tensor, states: Sequence[Tensor]):
    w_n, w_r, w_z = cell.input_weight[d].chunk(3)
    u_r, u_z, u_n = cell.recurrent_weight[d].chunk(3)
    b_n, b_r, b_z, b_u = cell.bias[d].chunk(4)
    z = torch.sigmoid(x @ w_z.T + h @ u_z.T + b_z)
    r = torch.sigmoid(x @ w_r.T + h @ u_r.T + b_r)
    n = torch.tanh(x @ w_n.T + b_n + r * (h @ u_n.T + b_u))
    h = (1 - z) * n + z * states[0]
    return h, [h]


def tanh(cell: Any, d: int, x: Tensor, h: Tensor, states: Sequence[Tensor]):
    return torch.tanh(products(cell, d, x, h)[0]), []


def conv_lstm(cell: Any, d: int, x: Tensor, h: Tensor, states: Sequence[Tensor]):
    def as_maps(flat: Tensor) -> Tensor:  # (N, P) to (N, maps, bins)
        return flat.view(len(flat), -1, 2).transpose(1, 2)

    kernel = cell.recurrent_weight[d].view(8, 3, 2).transpose(1, 2)
    from_input = F.conv1d(x[:, None], cell.input_weight[d][:, None], stride=2, padding=1)
    gates = from_input + F.conv1d(as_maps(h), kernel, padding=1) + cell.bias[d][:, None]
    i, f, g, o = gates.chunk(4, dim=1)
    p_i, p_f, p_o = (each.squeeze(1).T for each in cell.peepholes[d])
    c = as_maps(states[0])
    i = torch.sigmoid(i + p_i * c)
    f = torch.sigmoid(f + p_f * c)
    c = f * c + i * torch.tanh(g)
    h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
    return h.transpose(1, 2).flatten(1), [c.transpose(1, 2).flatten(1)]


STEPS: dict[str, Step] = {
    "lstm": lstm,
    "lstm_1997": lstm_1997,
    "lstm_peephole": lstm_peephole,
    "lstm_peephole_simple": lstm_peephole_simple,
    "lstm_coupled": lstm_coupled,
    "lstm_projected": lstm_projected,
    "lstm_layer_norm": lstm_layer_norm,
    "slstm": slstm,
    "gru": gru,
    "tanh": tanh,
    "conv_lstm": conv_lstm,
}


def run_literally(
    name: str, cell: Cell, inputs: Sequence[Tensor], state: State, mask: Tensor | None
) -> tuple[list[Tensor], list[Tensor]]:
    outputs, finals = [], []
    for d, frames in enumerate(inputs):
        now = [each[d] for each in state]
        hiddens = []
        for t, x in enumerate(frames):
            if cell.truncate_frames and t % cell.truncate_frames == 0:
                now = [each.detach() for each in now]
            heard = now[0] if mask is None else now[0] * mask[d]
            h, states = STEPS[name](cell, d, x, heard, now[1:])
            now = [h, *states]
            hiddens.append(h)
        outputs.append(torch.stack(hiddens))
        finals.append(now)
    return outputs, [torch.stack(each) for each in zip(*finals, strict=True)]


# --- comparison


def results_and_gradients(
    run: Callable[[Sequence[Tensor], State], tuple[Sequence[Tensor], Sequence[Tensor]]],
    cell: Cell,
    inputs: Sequence[Tensor],
    state: State,
) -> dict[str, Tensor]:
    """Outputs, last state, and the gradients of a sum of all of them, weighted at random."""
    inputs = [each.clone().requires_grad_() for each in inputs]
    state = tuple(each.clone().requires_grad_() for each in state)
    outputs, last = run(inputs, state)
    generator = torch.Generator().manual_seed(3)
    loss = sum(
        (each * torch.randn(each.shape, generator=generator)).sum()
        for each in (*outputs, *last)
        if each.requires_grad
    )
    variables = {
        **{f"input {d}": each for d, each in enumerate(inputs)},
        **{f"state {k}": each for k, each in enumerate(state)},
        **dict(cell.named_parameters()),
    }
    grads = torch.autograd.grad(loss, [*variables.values()], allow_unused=True)
    return {
        **{f"output {d}": each for d, each in enumerate(outputs)},
        **{f"last state {k}": each for k, each in enumerate(last)},
        **{
            f"gradient of {name}": torch.zeros_like(variables[name]) if grad is None else grad
            for name, grad in zip(variables, grads, strict=True)
        },
    }


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        torch.testing.assert_close(
            found[key], values, rtol=1e-8, atol=1e-9, msg=lambda text, key=key: f"{key}: {text}"
        )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_directions", [1, 2])
@pytest.mark.parametrize(
    ("num_frames", "batch", "dropout", "truncate_frames"),
    [(1, 2, 0.0, 0), (70, 3, 0.0, 0), (35, 1, 0.5, 0), (70, 2, 0.0, 7), (70, 2, 0.5, 33)],
)
def test_equations(
    name: str,
    num_directions: int,
    num_frames: int,
    batch: int,
    dropout: float,
    truncate_frames: int,
) -> None:
    cell = make(name, num_directions, dropout=dropout)
    inputs, state = data_for(name, cell, num_frames, batch)
    cell.truncate_frames = truncate_frames
    torch.manual_seed(4)
    mask = cell.recurrent_mask(batch)
    assert (mask is None) == (dropout == 0.0)
    torch.manual_seed(4)  # the cell draws the same mask again
    found = results_and_gradients(cell, cell, inputs, state)
    expected = results_and_gradients(
        lambda inputs, state: run_literally(name, cell, inputs, state, mask), cell, inputs, state
    )
    assert_same(found, expected)


@pytest.mark.parametrize("name", sorted(COMPILED))
@pytest.mark.parametrize(("dropout", "truncate_frames"), [(0.0, 0), (0.5, 33)])
def test_equations_where_nothing_is_compiled(
    name: str, dropout: float, truncate_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("elementwise", "layer_norm"):
        monkeypatch.setattr(f"asrkit.nn.cells.{module}.compiles_for", lambda _: False)
    test_equations(name, 2, 70, 2, dropout, truncate_frames)


@pytest.mark.parametrize("name", sorted(COMPILED))
def test_compiled_loops_in_float32(name: str) -> None:
    cell = make(name, 2, hidden_size=37)
    inputs, state = data_for(name, cell, 70, 3)
    expected = results_and_gradients(cell, cell, inputs, state)
    cell.float()
    inputs, state = [each.float() for each in inputs], tuple(each.float() for each in state)
    found = results_and_gradients(cell, cell, inputs, state)
    for key, values in expected.items():
        scale = values.abs().max().item()
        torch.testing.assert_close(found[key].double(), values, rtol=0.0, atol=2e-5 * scale)


@pytest.mark.parametrize("name", NAMES)
def test_a_long_sequence_in_two_pieces(name: str) -> None:
    cell = make(name, 2)
    inputs, _ = data_for(name, cell, 50, 2)
    with torch.no_grad():
        whole, last = cell(inputs)
        first, state = cell([each[:20] for each in inputs])
        second, end = cell([each[20:] for each in inputs], state)
    for d in range(2):
        torch.testing.assert_close(torch.cat([first[d], second[d]]), whole[d])
    for found, expected in zip(end, last, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_directions", [1, 2])
def test_gradcheck(name: str, num_directions: int) -> None:
    cell = make(name, num_directions, hidden_size=3)
    inputs, state = data_for(name, cell, 3, 2)
    variables = [each.requires_grad_() for each in (*inputs, *state)]

    def run(*values: Tensor) -> Sequence[Tensor]:
        read, before = values[:num_directions], values[num_directions : len(variables)]
        outputs, after = cell(read, before)
        return (*outputs, *after)

    assert torch.autograd.gradcheck(run, (*variables, *cell.parameters()))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_again_and_without_gradients(name: str) -> None:
    cell = make(name, 2)
    inputs, _ = data_for(name, cell, 40, 3)
    cell, inputs = cell.float(), [each.float() for each in inputs]
    first, last = cell(inputs)
    again, _ = cell(inputs)
    with torch.inference_mode():
        alone, last_alone = cell(inputs)
    for d in range(2):
        assert torch.equal(first[d], again[d])
        torch.testing.assert_close(first[d], alone[d], rtol=1e-5, atol=1e-6)
    for found, expected in zip(last_alone, last, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


# --- cost


class Elements(TorchDispatchMode):
    """Counts the numbers that all operations write, a measure of cost which nothing disturbs."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        results = func(*args, **(kwargs or {}))
        if func.is_view:
            return results
        several = results if isinstance(results, tuple | list) else (results,)
        self.count += sum(each.numel() for each in several if isinstance(each, Tensor))
        return results


@pytest.mark.parametrize("name", NAMES)
def test_cost_grows_linearly_with_length(name: str) -> None:
    def cost(num_frames: int) -> int:
        cell = make(name, 2)
        inputs, _ = data_for(name, cell, num_frames, 1)
        with Elements() as elements:
            outputs, _ = cell([each.requires_grad_() for each in inputs])
            sum(each.sum() for each in outputs).backward()
        return elements.count

    assert cost(400) <= 4.2 * cost(100)
