"""`Cutter`: the networks that differ from a pruned one in one width, and how small a network can get."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

from nas.architecture import Architecture
from nas.network.widths import Width, WidthKind, wire, with_widths

Widths = Mapping[int, int]
"""Channels of the widths that were cut, by their index in `nas.network.widths.wire`."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The network in which, of the current one, `width` has `channels`, and so many `others` are cut as well."""

    widths: Widths
    architecture: Architecture
    latency_ms: float
    width: Width
    channels: int
    others: int = 0


@final
@dataclass(frozen=True)
class Cutter:
    """Cuts of `seed` in widths of some kinds, to multiples of `step`, which is what the device can make use of."""

    seed: Architecture
    latency_ms: Callable[[Architecture], float]
    kinds: Sequence[WidthKind]
    step: int

    @cached_property
    def free(self) -> Mapping[int, Width]:
        """The widths that may be cut, by index."""
        return {index: width for index, width in enumerate(wire(self.seed).widths) if width.kind in self.kinds}

    @cached_property
    def smallest(self) -> Architecture:
        """The network with one step of channels everywhere."""
        return with_widths(self.seed, {index: min(self.step, width.channels) for index, width in self.free.items()})

    def within(self, widths: Widths, target_ms: float) -> list[Cut]:
        """For each width its widest cut with which the network takes at most `target_ms`, where there is one."""
        found = (self._widest(widths, index, target_ms) for index in self.free)
        return [cut for cut in found if cut is not None]

    def _widest(self, widths: Widths, index: int, target_ms: float) -> Cut | None:
        """Latency need not fall with every step, so all are looked at; unless not even the narrowest is fast enough."""
        current = widths.get(index, self.free[index].channels)
        narrower = range((current - 1) // self.step * self.step, 0, -self.step)
        if not narrower or self._latency_of({**widths, index: narrower[-1]}) > target_ms:
            return None
        for channels in narrower:
            architecture = with_widths(self.seed, {**widths, index: channels})
            if (latency_ms := self.latency_ms(architecture)) <= target_ms:
                return Cut({**widths, index: channels}, architecture, latency_ms, self.free[index], channels)
        return None

    def _latency_of(self, widths: Widths) -> float:
        return self.latency_ms(with_widths(self.seed, widths))
