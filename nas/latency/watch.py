"""Readings in a random order, repeats interleaved, beside a sentinel that shows interference."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random
from statistics import median
from typing import Generic, TypeVar

R = TypeVar("R")
T = TypeVar("T")

TOLERANCE = 0.06
"""How much slower than its best the sentinel may run. A busy neighbour core costs 20 to 30 %, chance 2 %."""

RETRIES = 3
"""How often readings are taken again before they are kept as disturbed."""

_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """The median of an item's passes, half their range relative to it, and the slowest sentinel beside them."""

    item: T
    ms: float
    spread: float
    sentinel_ms: float


@dataclass
class Sentinel:
    """The same short work, timed again and again: when it slows down, so does what is measured beside it."""

    read_ms: Callable[[], float]
    patience_s: float  # left
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    best_ms: float = field(default=inf, init=False)
    repeats: int = field(default=0, init=False)  # readings that were thrown away

    def now(self) -> float:
        """The sentinel's milliseconds now; the least of all are what it takes undisturbed."""
        ms = self.read_ms()
        self.best_ms = min(self.best_ms, ms)
        return ms

    def quiet(self, ms: float) -> bool:
        """Whether the machine ran about as fast then as it was ever seen to."""
        return ms <= self.best_ms * (1 + TOLERANCE)

    def spend(self, work: Callable[[], R]) -> R:
        """Do work that patience pays for."""
        start = self.clock()
        result = work()
        self.patience_s -= self.clock() - start
        return result

    def wait(self) -> float:
        """The sentinel's milliseconds as soon as the machine is quiet, or when the patience is at its end."""
        while not self.quiet(ms := self.now()) and self.patience_s > 0:
            self.spend(lambda: self.sleep(_PAUSE_S))
        return ms


@dataclass(frozen=True, slots=True)
class Plan:
    """Each item is read `passes` times; groups are interleaved as a whole, and the sentinel is read every `step`."""

    passes: int
    step: int
    group: int = 48


def watched(
    items: Sequence[T], read_ms: Callable[[T], float], sentinel: Sentinel, plan: Plan, rng: Random
) -> Iterator[Reading[T]]:
    """All items in a random order, each as soon as its group is read."""
    order = rng.sample(items, len(items))
    for start in range(0, len(order), plan.group):
        group = order[start : start + plan.group]
        turns = [index for _ in range(plan.passes) for index in rng.sample(range(len(group)), len(group))]
        found: list[list[float]] = [[] for _ in group]
        slowest = [0.0] * len(group)
        for first in range(0, len(turns), plan.step):
            step = turns[first : first + plan.step]
            times, sentinel_ms = _undisturbed([group[index] for index in step], read_ms, sentinel)
            for index, ms in zip(step, times, strict=True):
                found[index].append(ms)
                slowest[index] = max(slowest[index], sentinel_ms)
        for index, item in enumerate(group):
            ms = median(found[index])
            spread = (max(found[index]) - min(found[index])) / 2 / ms if ms else 0.0
            yield Reading(item, ms, spread, slowest[index])


def _undisturbed(items: Sequence[T], read_ms: Callable[[T], float], sentinel: Sentinel) -> tuple[list[float], float]:
    """The times of the items, and the sentinel's before or after them, whichever is slower."""
    before = sentinel.wait()
    times = [read_ms(item) for item in items]
    slower = max(before, sentinel.now())
    for _ in range(RETRIES):
        if sentinel.quiet(slower) or sentinel.patience_s <= 0:
            break
        sentinel.repeats += len(items)
        before = sentinel.wait()
        times = sentinel.spend(lambda: [read_ms(item) for item in items])
        slower = max(before, sentinel.now())
    return times, slower
