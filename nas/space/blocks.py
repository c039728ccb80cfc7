"""From chosen options to blocks: what a stage's and a head's words mean as layers of a network."""

from collections.abc import Mapping

from nas.architecture import (
    Block,
    ConvBlock,
    LinearBlock,
    MBConvBlock,
    PoolBlock,
    SepConvBlock,
    SpatialBlock,
    fitting_skip,
    round_channels,
)
from nas.space.spec import Scalar

Chosen = Mapping[str, Scalar]
"""One value for each key of a stage or a head."""


def stage_block(chosen: Chosen, in_channels: int, width: float, *, first: bool) -> SpatialBlock:
    """One layer of a stage; only the stage's `first` has its stride.

    An mbconv of expansion 1 has no expanding convolution and is a SepConvBlock, as in MobileNetV2's code.
    """
    channels = _scaled(_int(chosen["channels"]), width * _float(chosen["width"]))
    kernel, stride = _int(chosen["kernel"]), _int(chosen["stride"]) if first else 1
    act, skip = chosen["act"], fitting_skip(chosen["skip"], in_channels, channels, stride)  # type: ignore[arg-type]
    if chosen["op"] == "conv":
        return ConvBlock(channels, kernel, stride, act, skip)  # type: ignore[arg-type]
    mid = _mid_channels(chosen, in_channels, width)
    common = {
        "se_channels": _se_channels(chosen, in_channels, mid or in_channels),
        "se_gate": chosen["se_gate"] if chosen["se"] != "none" else "hsigmoid",
        "skip": skip,
    }
    if mid is None:
        return SepConvBlock(channels, kernel, stride, act, _project_act(chosen), **common)  # type: ignore[arg-type]
    return MBConvBlock(channels, mid, kernel, stride, act, **common)  # type: ignore[arg-type]


def head_blocks(chosen: Chosen, in_channels: int, width: float) -> tuple[Block, ...]:
    """The blocks behind the last stage, without the classifier.

    classic: 1x1 convolution, pooling. pooled: 1x1 convolution, pooling, hidden linear layer (MobileNetV3, section
    5.1). plain: pooling alone. The last width before the classifier never shrinks below its width at multiplier 1
    (MobileNetV2, section 6.1).
    """
    act = chosen["act"]
    if chosen["type"] == "plain":
        return (PoolBlock(),)
    channels = _scaled(_int(chosen["channels"]), max(1.0, width))
    if chosen["type"] == "classic":
        return ConvBlock(channels, 1, 1, act), PoolBlock()  # type: ignore[arg-type]
    if "conv_channels" in chosen:
        conv_channels = _scaled(_int(chosen["conv_channels"]), width)
    else:
        conv_channels = round_channels(in_channels * _float(chosen["expand"]))
    return ConvBlock(conv_channels, 1, 1, act), PoolBlock(), LinearBlock(channels, act)  # type: ignore[arg-type]


def _mid_channels(chosen: Chosen, in_channels: int, width: float) -> int | None:
    """The expanded width, or None where nothing is expanded."""
    if chosen["op"] == "sepconv":
        return None
    if "mid_channels" in chosen:
        return _scaled(_int(chosen["mid_channels"]), width)
    expand = _float(chosen["expand"])
    return None if expand == 1 else round_channels(in_channels * expand)


def _se_channels(chosen: Chosen, in_channels: int, mid_channels: int) -> int:
    """Width of the squeeze: MobileNetV3's share of the expanded width, or MnasNet's share of the block's input."""
    if chosen["se"] == "none":
        return 0
    share = _float(chosen["se"])
    if chosen["se_from"] == "input":
        return max(1, int(in_channels * share))
    return round_channels(mid_channels * share)


def _project_act(chosen: Chosen) -> Scalar:
    """An expansion of 1 stays a linear bottleneck; only a separable convolution may end in an activation."""
    return chosen["project_act"] if chosen["op"] == "sepconv" else "none"


def _scaled(channels: int, factor: float) -> int:
    return channels if factor == 1 else round_channels(channels * factor)


def _int(value: Scalar) -> int:
    assert isinstance(value, int)
    return value


def _float(value: Scalar) -> float:
    assert not isinstance(value, str)
    return float(value)
