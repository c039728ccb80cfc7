"""A network without one of the things that MobileNetV3 is made of."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nas.architecture import Architecture, Block, ConvBlock, LinearBlock, MBConvBlock, PoolBlock

Change = Callable[[Architecture], Architecture]


def without(network: Architecture, what: str) -> Architecture:
    """The network without `what`, of `CHANGES`; the network itself if it has nothing of the kind."""
    return CHANGES[what](network)


def _no_se(network: Architecture) -> Architecture:
    """No block squeezes."""
    return _each(network, lambda block: _put(block, se_channels=0, se_gate="hsigmoid"))


def _no_hswish(network: Architecture) -> Architecture:
    """ReLU in the place of h-swish (1905.02244, table 5: 75.2 to 74.5 % for Large)."""
    return _each(network, lambda block: _put(block, act="relu") if getattr(block, "act", "") == "hswish" else block)


def _kernel_3(network: Architecture) -> Architecture:
    """Kernels of 3 in the place of larger ones."""
    return _each(network, lambda block: _put(block, kernel=3) if getattr(block, "kernel", 0) > 3 else block)


def _late_head(network: Architecture) -> Architecture:
    """The last stage in front of the pooling, as it was before it was moved (1905.02244, figure 5).

    A bottleneck of the head's inner width, which ends in twice the channels it began with (MobileNetV2's 160 to 320),
    then the last convolution, all on whole maps; the pooling follows.
    """
    match network.blocks:
        case (*body, ConvBlock(channels=inside, kernel=1, act=act), PoolBlock(), LinearBlock(channels=last)):
            narrow = 2 * getattr(body[-1], "channels", inside)
            tail = (MBConvBlock(narrow, inside, 3, 1, act), ConvBlock(last, 1, 1, act), PoolBlock())
            return replace(network, blocks=(*body, *tail))
    return network


CHANGES: Mapping[str, Change] = {
    "se": _no_se,
    "hswish": _no_hswish,
    "kernel5": _kernel_3,
    "late_head": _late_head,
}


def _each(network: Architecture, change: Callable[[Block], Block]) -> Architecture:
    return replace(network, blocks=tuple(change(block) for block in network.blocks))


def _put(block: Block, **values: Any) -> Block:
    """The block with those of the values that it has."""
    known = {name: value for name, value in values.items() if hasattr(block, name)}
    return replace(block, **known)
