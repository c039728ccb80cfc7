"""`lower()`: the one place where shapes are inferred; MACs, params, memory, latency and the builder read its list."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal, assert_never

from nas.architecture import (
    Activation,
    Architecture,
    Block,
    ConvBlock,
    LinearBlock,
    MBConvBlock,
    PoolBlock,
    SepConvBlock,
)

Kind = Literal["conv", "depthwise", "linear", "pool", "avgpool", "scale", "add"]
Role = Literal[
    "conv", "expand", "depthwise", "squeeze", "reduce", "excite", "scale", "project",
    "shortcut", "add", "pool", "linear", "classifier",
]  # fmt: skip

BYTES_PER_VALUE = 4  # float32


@dataclass(frozen=True, slots=True)
class Layer:
    """One op on square maps, and at once its latency key: equal layers cost the same.

    `block` and `role` say where the layer stands and take no part in the comparison.
    A linear layer is a 1x1 convolution on a 1x1 map. `kernel` of a global pooling is its map.
    """

    kind: Kind
    in_channels: int
    out_channels: int
    size: int  # height and width of the input
    kernel: int = 1
    stride: int = 1
    act: Activation = "none"
    norm: bool = False  # followed by batch norm, which deployment folds away
    bias: bool = False
    block: int = field(default=0, compare=False)
    role: Role = field(default="conv", compare=False)

    @property
    def out_size(self) -> int:
        """Height and width of the output; odd kernels are padded by half their width."""
        return 1 if self.kind == "pool" else -(-self.size // self.stride)

    @property
    def groups(self) -> int:
        """Groups of the convolution: as many as channels when depthwise."""
        return self.in_channels if self.kind == "depthwise" else 1

    @property
    def weights(self) -> int:
        """Convolution or linear weights, without bias and batch norm."""
        if self.kind not in ("conv", "depthwise", "linear"):
            return 0
        return self.out_channels * (self.in_channels // self.groups) * self.kernel**2

    @property
    def params(self) -> int:
        """Trainable values: weights, bias, scale and shift of the batch norm."""
        return self.weights + self.out_channels * (self.bias + 2 * self.norm)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and linear layers for one image; one MAC is one multiply and one add."""
        return self.weights * self.out_size**2

    @property
    def in_values(self) -> int:
        """Values of the input map."""
        return self.in_channels * self.size**2

    @property
    def out_values(self) -> int:
        """Values of the output map."""
        return self.out_channels * self.out_size**2

    def __str__(self) -> str:
        """Short form for people, as in `conv 16->64 k1 s1 @112 relu`."""
        width = (
            f"{self.in_channels}"
            if self.in_channels == self.out_channels
            else f"{self.in_channels}->{self.out_channels}"
        )
        act = "" if self.act == "none" else f" {self.act}"
        return f"{self.kind} {width} k{self.kernel} s{self.stride} @{self.size}{act}"


def lower(architecture: Architecture) -> tuple[Layer, ...]:
    """All layers of the network in the order in which they run, the classifier last."""
    layers: list[Layer] = []
    channels, size = architecture.in_channels, architecture.resolution
    for index, block in enumerate(architecture.blocks):
        layers += lower_block(block, channels, size, index)
        channels, size = layers[-1].out_channels, layers[-1].out_size
    layers.append(
        Layer(
            "linear", channels, architecture.num_classes, 1,
            bias=True, block=len(architecture.blocks), role="classifier",
        )
    )  # fmt: skip
    return tuple(layers)


def lower_block(block: Block, channels: int, size: int, index: int = 0) -> tuple[Layer, ...]:
    """The layers of one block whose input is (`channels`, `size`, `size`)."""
    match block:
        case ConvBlock():
            body = [
                Layer(
                    "conv",
                    channels,
                    block.channels,
                    size,
                    block.kernel,
                    block.stride,
                    block.act,
                    norm=True,
                    block=index,
                )
            ]
        case SepConvBlock():
            body = list(_separable(block, channels, size, index))
        case MBConvBlock(mid_channels=mid):
            expand = Layer("conv", channels, mid, size, act=block.act, norm=True, block=index, role="expand")
            body = [expand, *_separable(block, mid, size, index)]
        case PoolBlock():
            return (Layer("pool", channels, channels, size, kernel=size, block=index, role="pool"),)
        case LinearBlock():
            return (Layer("linear", channels, block.channels, 1, act=block.act, bias=True, block=index, role="linear"),)
        case _:
            assert_never(block)
    return (*body, *_skip(block, channels, size, index))


def _separable(block: SepConvBlock | MBConvBlock, channels: int, size: int, index: int) -> Iterator[Layer]:
    depthwise = Layer(
        "depthwise", channels, channels, size, block.kernel, block.stride, block.act,
        norm=True, block=index, role="depthwise",
    )  # fmt: skip
    yield depthwise
    size = depthwise.out_size
    if squeeze := block.se_channels:
        yield Layer("pool", channels, channels, size, kernel=size, block=index, role="squeeze")
        yield Layer("conv", channels, squeeze, 1, act="relu", bias=True, block=index, role="reduce")
        yield Layer("conv", squeeze, channels, 1, act=block.se_gate, bias=True, block=index, role="excite")
        yield Layer("scale", channels, channels, size, block=index, role="scale")
    act = block.project_act if isinstance(block, SepConvBlock) else "none"
    yield Layer("conv", channels, block.channels, size, act=act, norm=True, block=index, role="project")


def _skip(block: ConvBlock | SepConvBlock | MBConvBlock, channels: int, size: int, index: int) -> Iterator[Layer]:
    if block.skip == "pool":
        yield Layer("avgpool", channels, channels, size, 3, block.stride, block=index, role="shortcut")
    if block.skip != "none":
        yield Layer("add", block.channels, block.channels, -(-size // block.stride), block=index, role="add")


def total_macs(layers: Sequence[Layer]) -> int:
    """Multiply-accumulates of the whole network for one image (the papers' MAdds)."""
    return sum(layer.macs for layer in layers)


def total_params(layers: Sequence[Layer]) -> int:
    """Trainable values of the whole network."""
    return sum(layer.params for layer in layers)


def peak_activation_bytes(layers: Sequence[Layer]) -> int:
    """Largest sum of the float32 maps that are alive at once, for one image, layer after layer.

    A map lives until its last reader has run: a block's input waits for its residual sum, the depthwise
    output for the gate. Activations, sums and gates work in place, as inference runtimes do.
    """
    peak = 0
    for _, group in groupby(layers, key=lambda layer: layer.block):
        peak = max(peak, _peak_values(list(group)))
    return peak * BYTES_PER_VALUE


def _peak_values(block: Sequence[Layer]) -> int:
    entry = block[0].in_values
    residual = entry if block[-1].kind == "add" else 0
    peak = gated = 0
    for index, layer in enumerate(block):
        waiting = residual if index > 0 else 0
        match layer.role:
            case "squeeze":
                gated = layer.in_values
                alive = waiting + layer.in_values + layer.out_values
            case "reduce" | "excite":
                alive = waiting + gated + layer.in_values + layer.out_values
            case "scale":
                alive = waiting + layer.in_values + layer.in_channels
            case "shortcut":
                alive = layer.in_values + layer.out_values + block[-1].in_values
            case "add":
                alive = 2 * layer.in_values
            case _:
                alive = waiting + layer.in_values + layer.out_values
        peak = max(peak, alive)
    return peak
