"""Which widths of a network can be cut, and which layers each of them carries along."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from nas.architecture import (
    Architecture,
    ConvBlock,
    LinearBlock,
    MBConvBlock,
    SepConvBlock,
    round_channels,
)
from nas.errors import ArchitectureError
from nas.layers import Layer, lower

WidthKind = Literal["expansion", "bottleneck", "filters", "squeeze"]


@dataclass(frozen=True, slots=True)
class Width:
    """Channels that can only be cut together, because the same ones are read, added or gated somewhere.

    `expansion` is the inside of one inverted residual; `bottleneck` the outputs of blocks that a residual sum ties
    together (or of one block); `filters` those of convolutions and hidden linear layers outside of blocks; `squeeze`
    the inside of one squeeze-and-excite, which follows the width that it gates.
    """

    kind: WidthKind
    channels: int
    places: tuple[tuple[int, str], ...]  # (block, field of the block) that say this width

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks that have this width."""
        return tuple(block for block, _ in self.places)

    def __str__(self) -> str:
        """For people, as in `expansion of block 4`."""
        blocks = ", ".join(map(str, self.blocks))
        return f"{self.kind} of block{'s' * (len(self.places) > 1)} {blocks}"


@dataclass(frozen=True, slots=True)
class Wire:
    """A layer with weights, and the widths (by index) of its inputs and outputs; None: images or classes."""

    layer: Layer
    reads: int | None
    writes: int | None


@dataclass(frozen=True, slots=True)
class Wiring:
    """All widths of a network in the order in which they first appear, and who reads and writes them."""

    widths: tuple[Width, ...]
    wires: tuple[Wire, ...]


def wire(architecture: Architecture) -> Wiring:
    """The widths of a network; networks that differ in widths alone have the same ones, but for `channels`."""
    return _Wirer(architecture).wiring()


def with_widths(architecture: Architecture, channels: Mapping[int, int]) -> Architecture:
    """The network with these widths (by index in `wire`) in place of its own.

    A squeeze keeps its share of what it gates; one whose width is not cut stays as it is.

    Raises:
        ArchitectureError: a width that is larger than the network's.
    """
    wiring = wire(architecture)
    blocks: list[Any] = list(architecture.blocks)
    for index, count in channels.items():
        width = wiring.widths[index]
        if count > width.channels:
            raise ArchitectureError(f"{width} is {width.channels} wide and can only be cut, not set to {count}")
        for place, name in width.places:
            blocks[place] = replace(blocks[place], **{name: count})
    for item in wiring.wires:
        if item.layer.role == "reduce" and item.reads is not None and item.reads in channels:
            share = channels[item.reads] / item.layer.in_channels
            squeeze = min(item.layer.out_channels, round_channels(item.layer.out_channels * share))
            blocks[item.layer.block] = replace(blocks[item.layer.block], se_channels=squeeze)
    return replace(architecture, blocks=tuple(blocks))


class _Wirer:
    """One walk along the network; `stream` is the width of the map between two blocks."""

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        self._kinds: list[WidthKind] = []
        self._channels: list[int] = []
        self._places: list[list[tuple[int, str]]] = []
        self._ends: list[dict[str, int | None]] = []  # of each block: its widths by name

    def wiring(self) -> Wiring:
        stream: int | None = None
        for index in range(len(self._architecture.blocks)):
            stream = self._block(index, stream)
        self._ends.append({"in": stream, "out": None})
        widths = zip(self._kinds, self._channels, self._places, strict=True)
        return Wiring(
            tuple(Width(kind, channels, tuple(places)) for kind, channels, places in widths),
            tuple(self._wire(layer) for layer in lower(self._architecture) if layer.weights),
        )

    def _block(self, index: int, stream: int | None) -> int | None:
        """Note the widths of one block; returns that of its output."""
        block = self._architecture.blocks[index]
        ends = {"in": stream, "inside": stream}
        self._ends.append(ends)
        match block:
            case MBConvBlock():
                ends["inside"] = self._new("expansion", block.mid_channels, (index, "mid_channels"))
                ends["out"] = self._output(index, "bottleneck", block, stream)
            case SepConvBlock():
                ends["out"] = self._output(index, "bottleneck", block, stream)
            case ConvBlock():
                ends["out"] = self._output(index, "filters", block, stream)
            case LinearBlock():
                ends["out"] = self._new("filters", block.channels, (index, "channels"))
            case _:
                ends["out"] = stream
        if isinstance(block, MBConvBlock | SepConvBlock) and block.se_channels:
            ends["squeeze"] = self._new("squeeze", block.se_channels, (index, "se_channels"))
        return ends["out"]

    def _output(
        self, index: int, kind: WidthKind, block: ConvBlock | SepConvBlock | MBConvBlock, stream: int | None
    ) -> int | None:
        """A width of its own, or, behind a residual sum, that of the input."""
        if block.skip == "none":
            return self._new(kind, block.channels, (index, "channels"))
        if stream is not None:
            self._places[stream].append((index, "channels"))
            if kind == "bottleneck":
                self._kinds[stream] = kind
        return stream

    def _new(self, kind: WidthKind, channels: int, place: tuple[int, str]) -> int:
        self._kinds.append(kind)
        self._channels.append(channels)
        self._places.append([place])
        return len(self._kinds) - 1

    def _wire(self, layer: Layer) -> Wire:
        ends = self._ends[layer.block]
        match layer.role:
            case "expand":
                return Wire(layer, ends["in"], ends["inside"])
            case "depthwise":
                return Wire(layer, ends["inside"], ends["inside"])
            case "reduce":
                return Wire(layer, ends["inside"], ends["squeeze"])
            case "excite":
                return Wire(layer, ends["squeeze"], ends["inside"])
            case "project":
                return Wire(layer, ends["inside"], ends["out"])
            case _:
                return Wire(layer, ends["in"], ends["out"])
