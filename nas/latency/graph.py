"""ONNX graphs of one op and of whole networks with random weights, as a runtime receives a deployed network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from nas.latency.dtype import Dtype
from nas.latency.qdq import Graph, quantised, quantised_inside
from nas.layers import Layer

_OPSET = 17
_IR_VERSION = 9

EMPTY = Layer("add", 1, 1, 1)
"""An op that takes no time of its own: its graph takes what every call does."""

_ACTS: dict[str, tuple[str, dict[str, float]]] = {
    "relu": ("Relu", {}),
    "hswish": ("HardSwish", {}),
    "sigmoid": ("Sigmoid", {}),
    "hsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
}


def op_graph(layer: Layer, rng: np.random.Generator, dtype: Dtype = "float32") -> bytes:
    """The serialised model of one op; its inputs are called x and, for sums and gates, y; uint8 if it is quantised."""
    graph = _Graph(rng)
    shape = [1, layer.in_channels] if layer.kind == "linear" else [1, layer.in_channels, layer.size, layer.size]
    inputs = {"x": shape}
    if layer.kind == "add":
        inputs["y"] = shape
    if layer.kind == "scale":
        inputs["y"] = [1, layer.in_channels, 1, 1]
    made = graph.made(inputs, graph.add(layer, *inputs))
    return _serialised(made if dtype == "float32" else quantised_inside(made))


def network_graph(layers: Sequence[Layer], rng: np.random.Generator, dtype: Dtype = "float32") -> bytes:
    """The serialised model of the network that `lower` gave these layers of; its input x and its output are float32."""
    graph = _Graph(rng)
    x = entry = gated = shortcut = "x"
    block = -1
    for layer in layers:
        if layer.block != block:
            block, entry, shortcut = layer.block, x, x
        match layer.role:
            case "squeeze":
                gated, x = x, graph.add(layer, x)
            case "scale":
                x = graph.add(layer, gated, x)
            case "shortcut":
                shortcut = graph.add(layer, entry)
            case "add":
                x = graph.add(layer, x, shortcut)
            case "pool":
                x = graph.node("Flatten", graph.add(layer, x))
            case _:
                x = graph.add(layer, x)
    first = layers[0]
    made = graph.made({"x": [1, first.in_channels, first.size, first.size]}, x)
    return _serialised(made if dtype == "float32" else quantised(made))


class Repeating(np.random.Generator):
    """The same 4,096 values again and again: weights that are made fast, pack well, and take the time others do."""

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Like the generator's own, without its variety."""
        return np.resize(np.random.default_rng(0).normal(loc, scale, 4096), size)


class _Graph:
    """Nodes and weights in the order in which they are added."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, np.ndarray] = {}

    def node(self, op: str, *inputs: str, **attributes: object) -> str:
        """Append a node and return the name of its output."""
        name = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def add(self, layer: Layer, *inputs: str) -> str:
        """Append the nodes of an op and its activation, batch norm folded into weights and bias."""
        pads = [layer.kernel // 2] * 4
        window = {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2, "pads": pads}
        match layer.kind:
            case "conv" | "depthwise":
                shape = (layer.out_channels, layer.in_channels // layer.groups, layer.kernel, layer.kernel)
                x = self.node("Conv", *inputs, *self._kernel(shape), group=layer.groups, **window)
            case "linear":
                x = self.node("Gemm", *inputs, *self._kernel((layer.out_channels, layer.in_channels)), transB=1)
            case "pool":
                x = self.node("GlobalAveragePool", *inputs)
            case "avgpool":
                x = self.node("AveragePool", *inputs, **window)
            case "scale":
                x = self.node("Mul", *inputs)
            case "add":
                x = self.node("Add", *inputs)
        return self._activate(x, layer.act)

    def made(self, inputs: dict[str, list[int]], output: str) -> Graph:
        """All that was added, with the shapes of its inputs and the name of its output."""
        return Graph(inputs, self._nodes, self._weights, output)

    def _activate(self, x: str, act: str) -> str:
        match act:
            case "none":
                return x
            case "relu6":
                return self.node("Clip", x, self._constant(0.0), self._constant(6.0))
            case "swish":
                return self.node("Mul", x, self.node("Sigmoid", x))
            case _:
                op, attributes = _ACTS[act]
                return self.node(op, x, **attributes)

    def _kernel(self, shape: tuple[int, ...]) -> tuple[str, str]:
        """Names of weights and bias; He's scale keeps the values of a deep network away from 0 and infinity."""
        deviation = (2 / int(np.prod(shape[1:]))) ** 0.5
        weight = self._rng.normal(0, deviation, shape).astype(np.float32)
        return self._weight(weight), self._weight(np.zeros(shape[0], np.float32))

    def _constant(self, value: float) -> str:
        return self._weight(np.array(value, np.float32))

    def _weight(self, values: np.ndarray) -> str:
        name = f"w{len(self._weights)}"
        self._weights[name] = values
        return name


def _serialised(graph: Graph) -> bytes:
    inputs = [helper.make_tensor_value_info(name, graph.values, shape) for name, shape in graph.inputs.items()]
    outputs = [helper.make_tensor_value_info(graph.output, graph.values, None)]
    weights = [numpy_helper.from_array(values, name) for name, values in graph.weights.items()]
    made = helper.make_graph(graph.nodes, "nas", inputs, outputs, weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    return bytes(model.SerializeToString())
