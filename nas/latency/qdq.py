"""Float graphs as statically quantised ones, node for node as `onnxruntime.quantization.quantize_static` makes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper

_CLAMPS = {"Relu", "Clip"}
"""What the range of the quantised value does by itself, so that no node is left of it."""

_SHARE_SCALE = {"Flatten", "AveragePool"}
"""Ops whose output has the scale of their input."""

_RANGES = {
    "Relu": (0.0, 6.0),
    "Clip": (0.0, 6.0),
    "Sigmoid": (0.0, 1.0),
    "HardSigmoid": (0.0, 1.0),
    "HardSwish": (-0.375, 6.0),
}
"""Of values by the op that makes them, in place of a calibration: what runs, and how long, does not depend on it."""

_ANY_RANGE = (-6.0, 6.0)
_LEVELS = 255

_LAST, _FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in the order in which they run, weights and the shapes of inputs by name; `values` is the inputs' type."""

    inputs: Mapping[str, Sequence[int | str]]
    nodes: list[onnx.NodeProto]
    weights: Mapping[str, np.ndarray]
    output: str
    values: int = TensorProto.FLOAT


def quantised(graph: Graph) -> Graph:
    """The same graph with each value quantised to uint8 and dequantised for its readers, weights int8, biases int32.

    What has no integer kernel (h-swish, the hard sigmoid) works on the dequantised values.
    """
    made = _Quantised(graph.weights)
    for name in graph.inputs:
        made.pass_on(name, "")
    made.copy_all(graph.nodes)
    return Graph(graph.inputs, made.nodes, made.weights, f"{graph.output}_dq")


def quantised_inside(graph: Graph) -> Graph:
    """The same without the ends: inputs and output are uint8, maps channels last, as values pass inside a network.

    The runtime cancels the transpositions at the ends, or with those that it puts around a convolution itself.
    """
    made = _Quantised(graph.weights)
    inputs = {}
    for name, shape in graph.inputs.items():
        inputs[name] = [shape[axis] for axis in _LAST] if len(shape) == 4 else shape
        source = made.transposed(name, _FIRST) if len(shape) == 4 else name
        made.pass_on(name, "", source=source)
    made.copy_all(graph.nodes)
    made.nodes.pop()  # the last DequantizeLinear
    output = made.transposed(f"{graph.output}_q", _LAST) if len(shape) == 4 else f"{graph.output}_q"
    return Graph(inputs, made.nodes, made.weights, output, TensorProto.UINT8)


@dataclass
class _Quantised:
    """A quantised graph that grows node by node."""

    floats: Mapping[str, np.ndarray]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    _scales: dict[str, tuple[str, str]] = field(default_factory=dict)

    def copy_all(self, nodes: Sequence[onnx.NodeProto]) -> None:
        """All nodes but the clamps."""
        clamps = {node.input[0]: node for node in nodes if node.op_type in _CLAMPS}
        for node in nodes:
            if node.op_type not in _CLAMPS:
                self._copy(node, clamps.get(node.output[0], node))

    def transposed(self, name: str, axes: Sequence[int]) -> str:
        """The value with its axes in another order."""
        self.nodes.append(helper.make_node("Transpose", [name], [f"{name}_t"], perm=axes))
        return f"{name}_t"

    def _copy(self, node: onnx.NodeProto, last: onnx.NodeProto) -> None:
        """The node on dequantised inputs; `last` is the clamp behind it, or itself."""
        inputs = [f"{node.input[0]}_dq"]
        for name in node.input[1:]:
            inputs.append(f"{name}_dq")
            if name in self.floats and self.floats[name].ndim > 1:
                self._weight(name)
            elif name in self.floats:
                self._bias(name, node)
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        copied.input[:], copied.output[:] = inputs, last.output
        self.nodes.append(copied)
        self.pass_on(last.output[0], last.op_type, like=node.input[0] if node.op_type in _SHARE_SCALE else None)

    def pass_on(self, name: str, op: str, *, source: str | None = None, like: str | None = None) -> None:
        """Quantise a value and dequantise it for its readers; `source` is the value if it is quantised already."""
        self._scales[name] = scale = self._scales[like] if like else self._scale(name, *_RANGES.get(op, _ANY_RANGE))
        if source is None:
            source = f"{name}_q"
            self.nodes.append(helper.make_node("QuantizeLinear", [name, *scale], [source]))
        self.nodes.append(helper.make_node("DequantizeLinear", [source, *scale], [f"{name}_dq"]))

    def _scale(self, name: str, least: float, most: float) -> tuple[str, str]:
        step = (most - least) / _LEVELS
        return self._parameters(name, np.array(step, np.float32), np.array(round(-least / step), np.uint8))

    def _weight(self, name: str) -> None:
        values = self.floats[name]
        steps = np.abs(values).max(axis=tuple(range(1, values.ndim))) / 127
        levels = np.round(values / steps.reshape(-1, *[1] * (values.ndim - 1))).astype(np.int8)
        self._constant(name, levels, steps.astype(np.float32))

    def _bias(self, name: str, node: onnx.NodeProto) -> None:
        """Its scale is that of the products that it is added to."""
        steps = self.weights[self._scales[node.input[0]][0]] * self.weights[f"{node.input[1]}_scale"]
        self._constant(name, np.round(self.floats[name] / steps).astype(np.int32), steps)

    def _constant(self, name: str, levels: np.ndarray, steps: np.ndarray) -> None:
        self.weights[name] = levels
        scale = self._parameters(name, steps, np.zeros(len(steps), levels.dtype))
        self.nodes.append(helper.make_node("DequantizeLinear", [name, *scale], [f"{name}_dq"], axis=0))

    def _parameters(self, name: str, scale: np.ndarray, zero: np.ndarray) -> tuple[str, str]:
        names = f"{name}_scale", f"{name}_zero"
        self.weights.update(zip(names, (scale, zero), strict=True))
        return names
