"""Readings far apart in time, and what else the machine did meanwhile."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from random import Random
from statistics import fmean, median, quantiles
from typing import TypeVar

T = TypeVar("T")

QUIET = 0.2
"""Cores that other processes may take while a reading counts as taken on a quiet machine."""

SLOW = 0.06
"""How much slower than in its fastest tenth the sentinel may be before it counts as slow."""

KEPT = 3
"""One reading of so many counts: the fastest ones."""

BUSY_DOUBT = 0.25
"""Relative error to allow for where a table was read on a busy machine alone: what a busy neighbour core was seen to
cost, see docs/latency.md."""

_WINDOW_S = 0.5
_STAT = Path("/proc/stat")


@dataclass(frozen=True, slots=True)
class Reading:
    """One session: its milliseconds, the sentinel's just before, and the cores that other processes took then."""

    ms: float
    sentinel_ms: float
    others: float


def spread_out(counts: Mapping[T, int], rng: Random) -> list[T]:
    """Each item as often as its count says, in random order, its turns spread evenly over the whole list."""
    places = [((turn + rng.random()) / count, item) for item, count in counts.items() for turn in range(count)]
    return [item for _, item in sorted(places, key=itemgetter(0))]


def typical_ms(readings: Sequence[Reading]) -> float:
    """The mean of the fastest third: interference only adds, and hits some moments more than others."""
    fastest = sorted(reading.ms for reading in readings)[: max(1, round(len(readings) / KEPT))]
    return fmean(fastest)


def spread(readings: Sequence[Reading]) -> float:
    """How far the median reading lies above the typical one, relative to it."""
    typical = typical_ms(readings)
    return median(reading.ms for reading in readings) / typical - 1 if typical else 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What the readings say about the machine while they were taken.

    `slow` is the share that stood beside a slow sentinel, `others` the mean number of cores that other processes took,
    `quiet` the share of readings at whose time they took fewer than `QUIET`.
    """

    readings: int
    sentinel_ms: float
    slow: float
    others: float
    quiet: float

    @property
    def busy(self) -> bool:
        """Whether even the readings that count were taken beside other work."""
        return self.quiet < 1 / KEPT

    @property
    def doubt(self) -> float:
        """What the interval of a table made of these readings grows by."""
        return BUSY_DOUBT if self.busy else 0.0

    @property
    def note(self) -> str:
        """The report in one line."""
        found = (
            f"{self.readings} readings; sentinel {self.sentinel_ms:.4f} ms, slow beside {self.slow:.0%} of them;"
            f" other processes took {self.others:.2f} cores"
        )
        return found + (f"; the machine was hardly ever quiet: interval +{self.doubt:.0%}" if self.busy else "")


def report(readings: Iterable[Reading]) -> Report:
    """The report on one reading or more."""
    all_ = list(readings)
    sentinels = [reading.sentinel_ms for reading in all_]
    best = quantiles(sentinels, n=10)[0] if len(all_) > 1 else sentinels[0]
    return Report(
        readings=len(all_),
        sentinel_ms=best,
        slow=sum(ms > best * (1 + SLOW) for ms in sentinels) / len(all_),
        others=fmean(reading.others for reading in all_),
        quiet=sum(reading.others < QUIET for reading in all_) / len(all_),
    )


@dataclass
class Load:
    """The cores that other processes take, over the last half second or more; 0 where the system does not tell."""

    _since: tuple[float, float] = field(default_factory=lambda: (time.monotonic(), _others_s()), init=False)
    _cores: float = field(default=0.0, init=False)

    def now(self) -> float:
        """The latest figure."""
        now, (then, used) = time.monotonic(), self._since
        if now - then >= _WINDOW_S:
            others = _others_s()
            self._cores, self._since = max(others - used, 0.0) / (now - then), (now, others)
        return self._cores


def _others_s() -> float:
    """CPU seconds of all processes but this one, up to a constant."""
    try:
        user, nice, system, _, _, irq, softirq = map(int, _STAT.read_text(encoding="ascii").split()[1:8])
    except (OSError, ValueError):  # not Linux
        return 0.0
    return (user + nice + system + irq + softirq) / 100 - time.process_time()
