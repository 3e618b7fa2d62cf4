"""An ONNX graph that grows operation by operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper
from torch import Tensor

_OPSET, _IR_VERSION = 15, 8
"""Of operators and of the file's format: as old as can be, for old run-times."""


class Graph:
    """Values are the names that its methods return."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(self, name: str, dtype: type[np.generic], shape: Sequence[str | int]) -> str:
        """Declare an input; named axes may have any size."""
        self._inputs.append(_value_info(name, dtype, shape))
        return name

    def output(
        self, value: str, name: str, dtype: type[np.generic], shape: Sequence[str | int]
    ) -> None:
        """Give a value out under a name."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(_value_info(name, dtype, shape))

    def constant(self, value: Tensor | ArrayLike, dtype: type[np.generic] | None = None) -> str:
        """Store a tensor; of float32 if it is one of torch."""
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        name = f"c{len(self._constants)}"
        stored = np.ascontiguousarray(array if dtype is None else array.astype(dtype))
        self._constants.append(numpy_helper.from_array(stored.reshape(array.shape), name))
        return name

    def ints(self, *values: int) -> str:
        """Store int64 numbers, as axes and shapes are given."""
        return self.constant(values, np.int64)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Apply an operator of ONNX; an empty name leaves an optional input out."""
        output = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def size(self, value: str, axis: int) -> str:
        """Give the size of an axis, (1,) int64."""
        return self.add("Shape", value, start=axis, end=axis + 1)

    def unsqueeze(self, value: str, *axes: int) -> str:
        """Put axes of one element in."""
        return self.add("Unsqueeze", value, self.ints(*axes))

    def slice(self, value: str, start: str, stop: str, axis: int) -> str:
        """Take the stretch from `start` to `stop`, (1,) int64 each, of an axis."""
        return self.add("Slice", value, start, stop, self.ints(axis))

    def count(self, number: str) -> str:
        """Give 0, 1, ... up to a number, (1,) int64, without it."""
        scalar = self.add("Squeeze", number, self.ints(0))
        return self.add("Range", self.constant(0, np.int64), scalar, self.constant(1, np.int64))

    def valid(self, lens: str, size: str) -> str:
        """Tell data from padding, (N, size) bool, as `features.padding.valid_positions`."""
        return self.add("Less", self.unsqueeze(self.count(size), 0), self.unsqueeze(lens, 1))

    def to_bytes(self, metadata: Mapping[str, str], producer_version: str) -> bytes:
        """Check the graph and give the model file that holds it."""
        graph = helper.make_graph(
            self._nodes, "asrkit", self._inputs, self._outputs, self._constants
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="asrkit",
            producer_version=producer_version,
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def _value_info(name: str, dtype: type[np.generic], shape: Sequence[str | int]) -> Any:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, shape)
