"""Memory of large tensors is used again, and never while anything still sees it."""

from __future__ import annotations

import gc

import pytest
import torch

from asrkit.nn.cells import buffers
from asrkit.nn.cells.buffers import new_empty

LIKE = torch.zeros(1)


@pytest.fixture(autouse=True)
def no_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "_BUFFERS", buffers._Buffers())
    monkeypatch.setattr(buffers, "_LEAST_BYTES", 1000)


def test_shape_and_kind() -> None:
    tensor = new_empty(LIKE.double(), 3, 5, 100)
    assert (tensor.shape, tensor.dtype) == ((3, 5, 100), torch.float64)
    assert tensor.is_contiguous()
    assert new_empty(LIKE, 2, 0).shape == (2, 0)


def test_memory_comes_back() -> None:
    first = new_empty(LIKE, 1000)
    address = first.data_ptr()
    del first
    assert new_empty(LIKE, 30, 30).data_ptr() == address


@pytest.mark.parametrize("keep", [lambda t: t[3:], lambda t: t.view(10, -1).T, lambda t: t.numpy()])
def test_not_while_a_view_is_left(keep) -> None:  # type: ignore[no-untyped-def]
    first = new_empty(LIKE, 1000)
    address = first.data_ptr()
    view = keep(first)
    del first
    assert new_empty(LIKE, 1000).data_ptr() != address
    del view
    addresses = {each.data_ptr() for each in [new_empty(LIKE, 1000) for _ in range(2)]}
    assert address in addresses


def test_not_while_a_graph_holds_it() -> None:
    factor = new_empty(LIKE, 1000).fill_(2.0)
    value = torch.ones(1000, requires_grad=True)
    product = (value * factor).sum()
    del factor
    new_empty(LIKE, 1000).fill_(5.0)
    product.backward()
    assert value.grad is not None
    assert (value.grad == 2.0).all()


def test_too_small_memory_is_not_kept() -> None:
    for size in range(1000, 2000, 100):
        new_empty(LIKE, size)
    gc.collect()
    new_empty(LIKE, 1900)
    assert len(buffers._BUFFERS._free) + len(buffers._BUFFERS._returned) == 1
