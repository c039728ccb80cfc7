"""Latency by width: sweeps over the channels of ops and blocks, and the steps in which it falls."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from math import ceil

import numpy as np

from nas.layers import Layer

CANDIDATES = (8, 16, 32)
"""Smaller steps are no matter: pruning keeps to multiples of 8 at least."""

SHARE = 0.5
"""Of `Curve.share`: true steps have 1, twice a true step 0."""

LEAST_FALL = 0.1
"""Of the latency of the widest: curves that are flatter have no steps."""

WIDTHS = tuple(range(32, 97))
"""Widths of a sweep: two multiples of the largest candidate, and what lies between."""

OTHER = 64
"""Channels on the other side of an op whose width is swept."""

MAPS = (28, 14)


@dataclass(frozen=True, slots=True)
class Sweep:
    """The widths of one kind of op on one size of map."""

    kind: str
    size: int

    def layers(self, width: int) -> tuple[Layer, ...]:
        """The op, or the ops of a block, with that width."""
        return KINDS[self.kind](width, self.size)

    def __str__(self) -> str:
        """As in `depthwise @28`."""
        return f"{self.kind} @{self.size}"


def _pointwise(inner: int, outer: int, size: int) -> Layer:
    return Layer("conv", inner, outer, size, act="relu")


def _expansion(width: int, size: int) -> tuple[Layer, ...]:
    """A residual block by its expanded width, which NetAdapt shrinks alone."""
    return (
        Layer("conv", OTHER, width, size, act="relu", role="expand"),
        Layer("depthwise", width, width, size, 3, act="relu", role="depthwise"),
        Layer("conv", width, OTHER, size, role="project"),
        Layer("add", OTHER, OTHER, size, role="add"),
    )


def _bottleneck(width: int, size: int) -> tuple[Layer, ...]:
    """The same block by the width of its input and output, which NetAdapt shrinks together."""
    mid = 3 * OTHER
    return (
        Layer("conv", width, mid, size, act="relu", role="expand"),
        Layer("depthwise", mid, mid, size, 3, act="relu", role="depthwise"),
        Layer("conv", mid, width, size, role="project"),
        Layer("add", width, width, size, role="add"),
    )


KINDS: Mapping[str, Callable[[int, int], tuple[Layer, ...]]] = {
    "pointwise output": lambda width, size: (_pointwise(OTHER, width, size),),
    "pointwise input": lambda width, size: (_pointwise(width, OTHER, size),),
    "depthwise": lambda width, size: (Layer("depthwise", width, width, size, 3, act="relu"),),
    "convolution": lambda width, size: (Layer("conv", OTHER, width, size, 3, act="relu"),),
    "expansion": _expansion,
    "bottleneck": _bottleneck,
}
"""What is swept: ops alone, and a residual block by its two widths."""

SWEEPS = tuple(Sweep(kind, size) for kind in KINDS for size in MAPS)


@dataclass(frozen=True)
class Curve:
    """Milliseconds by width."""

    sweep: Sweep
    ms: Mapping[int, float]

    def share(self, step: int) -> float:
        """How much the multiples of `step` are steps: 1 if latency falls at them alone, 0 if it falls evenly.

        Told by the widths half a step below the multiples, which cost half a step less where latency falls evenly and
        nothing less where multiples are steps. 0 where there is no fall to speak of.
        """
        ends = [width for width in sorted(self.ms) if width % step == 0 and width - step in self.ms]
        fall = sum(self.ms[width] - self.ms[width - step] for width in ends)
        if not ends or fall <= LEAST_FALL * self.ms[ends[-1]]:
            return 0.0
        half = sum(self.ms[width] - self.ms[width - step // 2] for width in ends)
        return float(np.clip(1 - 2 * half / fall, 0, 1))

    @cached_property
    def step(self) -> int:
        """The largest candidate that is a step, as all smaller ones are; 1 if there is none."""
        return max(takewhile(lambda step: self.share(step) >= SHARE, CANDIDATES), default=1)

    @property
    def between(self) -> float:
        """How much slower widths that are no multiples of the step are than the next multiple, relative; the mean."""
        up = {width: ceil(width / self.step) * self.step for width in self.ms}
        pairs = [(self.ms[width], self.ms[above]) for width, above in up.items() if width != above and above in self.ms]
        return sum(ms / above - 1 for ms, above in pairs) / len(pairs) if pairs else 0.0
