"""`Architecture`: what a network is, from sampling to export, never where it came from."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, get_args

from nas.errors import ArchitectureError

Activation = Literal["none", "relu", "relu6", "hswish", "swish", "sigmoid", "hsigmoid"]
Gate = Literal["sigmoid", "hsigmoid"]
Skip = Literal["none", "identity", "pool"]


def round_channels(channels: float, divisor: int = 8) -> int:
    """Nearest multiple of `divisor` that is at least 90 % of `channels` (MobileNetV2's rule).

    >>> round_channels(18), round_channels(11)
    (24, 16)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


@dataclass(frozen=True, slots=True)
class ConvBlock:
    """A dense convolution, batch norm and activation; `skip` adds the block's input to its output."""

    channels: int
    kernel: int
    stride: int
    act: Activation
    skip: Skip = "none"


@dataclass(frozen=True, slots=True)
class SepConvBlock:
    """Depthwise, optional squeeze-and-excite, then a pointwise convolution (MobileNetV1, 1704.04861).

    This is also the inverted residual with expansion 1, which has no expanding convolution.
    `se_channels` is the width of the squeeze, 0 for none; `project_act` follows the pointwise convolution.
    """

    channels: int
    kernel: int
    stride: int
    act: Activation
    project_act: Activation = "none"
    se_channels: int = 0
    se_gate: Gate = "hsigmoid"
    skip: Skip = "none"


@dataclass(frozen=True, slots=True)
class MBConvBlock:
    """Inverted residual: expand to `mid_channels`, depthwise, optional squeeze-and-excite, linear projection.

    MobileNetV2 (1801.04381, section 3.3), squeeze-and-excite as in MobileNetV3 (1905.02244, section 5.3).
    """

    channels: int
    mid_channels: int
    kernel: int
    stride: int
    act: Activation
    se_channels: int = 0
    se_gate: Gate = "hsigmoid"
    skip: Skip = "none"


@dataclass(frozen=True, slots=True)
class PoolBlock:
    """Global average pooling: (B, C, H, W) to (B, C)."""


@dataclass(frozen=True, slots=True)
class LinearBlock:
    """A hidden fully connected layer with bias behind the pooling (MobileNetV3's late-stage head)."""

    channels: int
    act: Activation


SpatialBlock = ConvBlock | SepConvBlock | MBConvBlock
Block = SpatialBlock | PoolBlock | LinearBlock

_BLOCKS: dict[str, type[Block]] = {
    "conv": ConvBlock,
    "sepconv": SepConvBlock,
    "mbconv": MBConvBlock,
    "pool": PoolBlock,
    "linear": LinearBlock,
}
_OPS: dict[type[Block], str] = {block: op for op, block in _BLOCKS.items()}
# `fields` is slow, and a front of a large database reads thousands of networks
_FIELDS = {block: tuple(field.name for field in fields(block)) for block in _OPS}
_REQUIRED = {block: {field.name for field in fields(block) if field.default is MISSING} for block in _OPS}
_WORDS: dict[str, tuple[str, ...]] = {
    "act": get_args(Activation),
    "project_act": get_args(Activation),
    "se_gate": get_args(Gate),
    "skip": get_args(Skip),
}
_LIMIT = 1 << 20  # no width, kernel or size of a real network comes near


@dataclass(frozen=True)
class Architecture:
    """One convolutional network: square images of `resolution` in, `num_classes` logits out.

    The classifier (a linear layer with bias) follows the last block and is not listed.

    Raises:
        ArchitectureError: a value or an order of blocks that no network can have.
    """

    resolution: int
    blocks: tuple[Block, ...]
    num_classes: int = 1000
    in_channels: int = 3
    bn_eps: float = 1e-3  # batch norm's epsilon; it changes what given weights compute

    def __post_init__(self) -> None:
        for name in ("resolution", "num_classes", "in_channels"):
            _require_count(name, getattr(self, name))
        if not isinstance(self.bn_eps, float) or not 0 < self.bn_eps < 1:
            raise ArchitectureError(f"bn_eps is {self.bn_eps!r}; expected a number between 0 and 1")
        _require_order(self.blocks)
        channels = self.in_channels
        for index, block in enumerate(self.blocks):
            _require_block(index, block, channels)
            channels = getattr(block, "channels", channels)

    @cached_property
    def id(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the canonical JSON; equal networks, equal ids."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, one dictionary per block with its `op`."""
        return {
            "resolution": self.resolution,
            "in_channels": self.in_channels,
            "num_classes": self.num_classes,
            "bn_eps": self.bn_eps,
            "blocks": [_block_to_dict(block) for block in self.blocks],
        }

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_dict(cls, data: object) -> "Architecture":
        """The inverse of `to_dict`; says which key or block is wrong.

        Raises:
            ArchitectureError: an unknown or missing key, or an impossible network.
        """
        data = _require_keys("architecture", data, {f.name for f in fields(cls)}, {"resolution", "blocks"})
        if not isinstance(data["blocks"], list):
            raise ArchitectureError("architecture: blocks is not a list")
        blocks = tuple(_block_from_dict(i, block) for i, block in enumerate(data["blocks"]))
        return cls(**{**data, "blocks": blocks})

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """The inverse of `to_json`.

        Raises:
            ArchitectureError: text that is no JSON, or no architecture.
        """
        try:
            return cls.from_dict(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise ArchitectureError(f"not an architecture in JSON: {error}") from None

    def with_block(self, index: int, block: Block) -> "Architecture":
        """The same network with one block replaced."""
        return replace(self, blocks=(*self.blocks[:index], block, *self.blocks[index + 1 :]))

    def with_num_classes(self, num_classes: int) -> "Architecture":
        """The same network with a classifier for `num_classes`."""
        return replace(self, num_classes=num_classes)

    def with_resolution(self, resolution: int) -> "Architecture":
        """The same network for square images of `resolution` pixels."""
        return replace(self, resolution=resolution)


def op_name(block: Block) -> str:
    """The block's `op` in JSON and in tables, such as `mbconv`."""
    return _OPS[type(block)]


def fitting_skip(skip: Skip, in_channels: int, channels: int, stride: int) -> Skip:
    """`skip` where the shapes allow it, else "none": a sum needs equal widths, an identity also stride 1."""
    if in_channels != channels or (skip == "identity" and stride != 1):
        return "none"
    return skip


def _block_to_dict(block: Block) -> dict[str, Any]:
    return {"op": op_name(block), **{name: getattr(block, name) for name in _FIELDS[type(block)]}}


def _block_from_dict(index: int, data: object) -> Block:
    place = f"blocks[{index}]"
    if not isinstance(data, Mapping) or not isinstance(data.get("op"), str) or data["op"] not in _BLOCKS:
        raise ArchitectureError(f"{place}: op must be one of {', '.join(_BLOCKS)}")
    block = _BLOCKS[data["op"]]
    values = {key: value for key, value in data.items() if key != "op"}
    return block(**_require_keys(place, values, _FIELDS[block], _REQUIRED[block]))


def _require_keys(place: str, data: object, known: Collection[str], required: set[str]) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise ArchitectureError(f"{place}: expected keys and values, found {type(data).__name__}")
    for key in data:
        if key not in known:
            raise ArchitectureError(f"{place}: unknown key {key!r}; expected one of {', '.join(sorted(known))}")
    if missing := required - set(data):
        raise ArchitectureError(f"{place}: missing {', '.join(sorted(missing))}")
    return dict(data)


def _require_count(place: str, value: object, least: int = 1) -> None:
    if type(value) is not int or not least <= value <= _LIMIT:
        raise ArchitectureError(f"{place} is {value!r}; expected a whole number from {least} to {_LIMIT}")


def _require_order(blocks: tuple[Block, ...]) -> None:
    """Spatial blocks, then one pooling, then linear blocks."""
    pools = [i for i, block in enumerate(blocks) if isinstance(block, PoolBlock)]
    if len(pools) != 1 or pools[0] == 0:
        raise ArchitectureError(f"{len(pools)} pooling blocks; expected exactly one, behind a convolution")
    for index, block in enumerate(blocks):
        if (index > pools[0]) != isinstance(block, LinearBlock) and index != pools[0]:
            raise ArchitectureError(f"blocks[{index}]: {_OPS[type(block)]} is on the wrong side of the pooling")


def _require_block(index: int, block: Block, in_channels: int) -> None:
    for name in _FIELDS[type(block)]:
        value = getattr(block, name)
        place = f"blocks[{index}].{name}"
        if name in _WORDS:
            if value not in _WORDS[name]:
                raise ArchitectureError(f"{place} is {value!r}; expected one of {', '.join(_WORDS[name])}")
        else:
            _require_count(place, value, least=0 if name == "se_channels" else 1)
    if isinstance(block, ConvBlock | SepConvBlock | MBConvBlock):
        if block.kernel % 2 == 0:
            raise ArchitectureError(f"blocks[{index}].kernel is {block.kernel}; expected an odd number")
        if fitting_skip(block.skip, in_channels, block.channels, block.stride) != block.skip:
            raise ArchitectureError(
                f"blocks[{index}]: skip {block.skip!r} cannot join {in_channels} channels to "
                f"{block.channels} at stride {block.stride}"
            )
