"""Networks with free widths, as pruning makes them."""

from dataclasses import replace
from random import Random

from nas.architecture import Architecture, Block, ConvBlock, MBConvBlock, SepConvBlock, round_channels

STEP = 8
"""Widths that pruning keeps to (NetAdapt, 1804.03230)."""

LEAST = 0.4
"""Of its width that a layer keeps at least."""


def pruned(architecture: Architecture, rng: Random, step: int = STEP) -> Architecture:
    """The network with each expansion and each stage's width cut to 40 to 100 %, its residual sums still valid.

    Widths are multiples of `step`; those of gates are of 8 in any case.
    """
    blocks = list[Block]()
    channels = architecture.in_channels
    for block in architecture.blocks:
        if isinstance(block, MBConvBlock | SepConvBlock):
            block = _cut(block, channels, rng, step)  # noqa: PLW2901
        elif isinstance(block, ConvBlock) and block.skip != "none":
            block = replace(block, channels=channels)  # noqa: PLW2901
        blocks.append(block)
        channels = getattr(block, "channels", channels)
    return replace(architecture, blocks=tuple(blocks))


def _cut(block: MBConvBlock | SepConvBlock, channels: int, rng: Random, step: int) -> MBConvBlock | SepConvBlock:
    width = _width(block.channels, rng, step) if block.skip == "none" else channels
    if isinstance(block, SepConvBlock):
        return replace(block, channels=width)
    mid = _width(block.mid_channels, rng, step)
    squeeze = block.se_channels and round_channels(block.se_channels * mid / block.mid_channels)
    return replace(block, channels=width, mid_channels=mid, se_channels=squeeze)


def _width(channels: int, rng: Random, step: int) -> int:
    return max(step, int(channels * rng.uniform(LEAST, 1)) // step * step)
