"""Networks as a page draws them: each as a list of places, and each place, with its latency by op, written once.

A place is a block at the width and size of its input. Networks of one space share most of theirs, so that ten thousand
of them are some thousand places and short lists of numbers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nas.architecture import Architecture, Block, ConvBlock, MBConvBlock, SepConvBlock, op_name
from nas.errors import LatencyError
from nas.latency.model import OpSumModel
from nas.latency.targets import find_folder, load_folder
from nas.layers import Layer, Role, lower

PLACE = ("op", "in", "mid", "out", "kernel", "stride", "se", "act", "skip", "size", "out_size", "ops")
"""Keys of a place, in the order of its row; `ops` are its layers as indices of ops."""


@dataclass(frozen=True)
class Device:
    """A target of the page; `model` is None where its table is not on this machine, and `absent` says so."""

    target: str
    model: OpSumModel | None
    absent: str | None = None

    def op_ms(self, layer: Layer) -> float | None:
        """The op's share of a network's milliseconds; None where the table lacks it."""
        if self.model is None or self.model.missing((layer,)):
            return None
        return self.model.ops_ms((layer,)) * self.model.device.calibration.scale

    def total_ms(self, architecture: Architecture) -> tuple[float, float, float] | None:
        """Milliseconds of the network and their interval; None where the table lacks an op of it."""
        if self.model is None or self.model.missing(lower(architecture)):
            return None
        latency = self.model.estimate(architecture)
        return latency.ms, latency.low_ms, latency.high_ms


def load_device(target: str) -> Device:
    """The target's model, if this machine has it: a report of studies for another machine is one all the same."""
    try:
        return Device(target, load_folder(find_folder(target)))
    except LatencyError as error:
        return Device(target, None, str(error))


@dataclass
class Drawings:
    """Collects the places of networks on one device, and their ops, which places share.

    An op is (role, milliseconds or null, MAdds).
    """

    device: Device
    places: list[list[Any]] = field(default_factory=list)
    ops: list[tuple[Role, float | None, int]] = field(default_factory=list)
    _known: dict[tuple[Block | None, int, int, int], int] = field(default_factory=dict)
    _known_ops: dict[tuple[Role, Layer], int] = field(default_factory=dict)

    def draw(self, architecture: Architecture) -> list[int]:
        """The network as indices of `places`, the classifier last."""
        layers: dict[int, list[Layer]] = {}
        for layer in lower(architecture):
            layers.setdefault(layer.block, []).append(layer)
        blocks = (*architecture.blocks, None)
        return [self._place(block, layers[index]) for index, block in enumerate(blocks)]

    def _place(self, block: Block | None, layers: list[Layer]) -> int:
        first, last = layers[0], layers[-1]
        key = (block, first.in_channels, first.size, last.out_channels)
        if key not in self._known:
            self._known[key] = len(self.places)
            self.places.append(self._row(block, layers))
        return self._known[key]

    def _op(self, layer: Layer) -> int:
        key = layer.role, layer
        if key not in self._known_ops:
            self._known_ops[key] = len(self.ops)
            self.ops.append((layer.role, short(self.device.op_ms(layer)), layer.macs))
        return self._known_ops[key]

    def _row(self, block: Block | None, layers: list[Layer]) -> list[Any]:
        first, last = layers[0], layers[-1]
        spatial = isinstance(block, ConvBlock | SepConvBlock | MBConvBlock)
        row: Mapping[str, Any] = {
            "op": "classifier" if block is None else op_name(block),
            "in": first.in_channels,
            "mid": getattr(block, "mid_channels", 0),
            "out": last.out_channels,
            "kernel": getattr(block, "kernel", 1),
            "stride": getattr(block, "stride", 1),
            "se": getattr(block, "se_channels", 0),
            "act": getattr(block, "act", "none"),
            "skip": getattr(block, "skip", "none") if spatial else "none",
            "size": first.size,
            "out_size": last.out_size,
            "ops": [self._op(layer) for layer in layers],
        }
        return [row[key] for key in PLACE]


def short(value: float | None, digits: int = 6) -> float | None:
    """The value with as many digits as a page needs; None for what JSON does not know, infinity and NaN."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")
