"""ONNX graphs of one op and of whole networks, as a runtime receives a deployed network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from nas.latency.dtype import Dtype
from nas.latency.qdq import Graph, quantised, quantised_inside
from nas.layers import Layer

OPSET = 17
_IR_VERSION = 9

Kernels = Callable[[Layer], tuple[np.ndarray, np.ndarray]]
"""Of a layer the weights, (out, in / groups, k, k) or (out, in), and the bias (out,), with batch norm folded in."""

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
    graph = _Graph(_random(rng))
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
    first = layers[0]
    graph, output = _network(layers, _random(rng))
    made = graph.made({"x": [1, first.in_channels, first.size, first.size]}, output)
    return _serialised(made if dtype == "float32" else quantised(made))


def trained_graph(layers: Sequence[Layer], kernels: Kernels) -> bytes:
    """The serialised float32 model of a network with its weights: `images` (batch, C, H, W) in, `logits` out.

    Any number of images is taken at once.
    """
    first = layers[0]
    graph, output = _network(layers, kernels, "images")
    made = graph.made({"images": ["batch", first.in_channels, first.size, first.size]}, output)
    made.nodes[-1].output[0] = "logits"
    return _serialised(replace(made, output="logits"), ["batch", layers[-1].out_channels])


def _network(layers: Sequence[Layer], kernels: Kernels, images: str = "x") -> tuple["_Graph", str]:
    """All nodes of the network, and the name of its output."""
    graph = _Graph(kernels)
    x = entry = gated = shortcut = images
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
    return graph, x


def _random(rng: np.random.Generator) -> Kernels:
    """He's scale keeps the values of a deep network away from 0 and infinity."""

    def kernel(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
        shape = kernel_shape(layer)
        deviation = (2 / int(np.prod(shape[1:]))) ** 0.5
        return rng.normal(0, deviation, shape).astype(np.float32), np.zeros(shape[0], np.float32)

    return kernel


def kernel_shape(layer: Layer) -> tuple[int, ...]:
    """Of the weights of a convolution or linear layer."""
    if layer.kind == "linear":
        return layer.out_channels, layer.in_channels
    return layer.out_channels, layer.in_channels // layer.groups, layer.kernel, layer.kernel


class Repeating(np.random.Generator):
    """The same 4,096 values again and again: weights that are made fast, pack well, and take the time others do."""

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Like the generator's own, without its variety."""
        return np.resize(np.random.default_rng(0).normal(loc, scale, 4096), size)


class _Graph:
    """Nodes and weights in the order in which they are added."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
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
                x = self.node("Conv", *inputs, *self._kernel(layer), group=layer.groups, **window)
            case "linear":
                x = self.node("Gemm", *inputs, *self._kernel(layer), transB=1)
            case "pool":
                x = self.node("GlobalAveragePool", *inputs)
            case "avgpool":
                x = self.node("AveragePool", *inputs, **window)
            case "scale":
                x = self.node("Mul", *inputs)
            case "add":
                x = self.node("Add", *inputs)
        return self._activate(x, layer.act)

    def made(self, inputs: Mapping[str, Sequence[int | str]], output: str) -> Graph:
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

    def _kernel(self, layer: Layer) -> tuple[str, str]:
        """Names of weights and bias."""
        weight, bias = self._kernels(layer)
        return self._weight(weight), self._weight(bias)

    def _constant(self, value: float) -> str:
        return self._weight(np.array(value, np.float32))

    def _weight(self, values: np.ndarray) -> str:
        name = f"w{len(self._weights)}"
        self._weights[name] = values
        return name


def _serialised(graph: Graph, out_shape: Sequence[int | str] | None = None) -> bytes:
    inputs = [helper.make_tensor_value_info(name, graph.values, shape) for name, shape in graph.inputs.items()]
    outputs = [helper.make_tensor_value_info(graph.output, graph.values, out_shape)]
    weights = [numpy_helper.from_array(values, name) for name, values in graph.weights.items()]
    made = helper.make_graph(graph.nodes, "nas", inputs, outputs, weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION)
    return bytes(model.SerializeToString())
