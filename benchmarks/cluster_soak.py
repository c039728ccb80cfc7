"""Random faults for an hour: what came of the trials, and how much memory the driver took meanwhile."""

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from benchmarks.cluster_scene import FAULTS, STUDY, Scene, ended, scene, verdict, wait
from nas.store.store import Store

_WEIGHTS = (4, 3, 1, 3, 3)  # of FAULTS; a driver lives for some ten minutes, so that its memory can be seen to grow
_PAUSE_SECONDS = (15.0, 45.0)  # between two faults
_OUTCOMES = 2  # that are waited for, too
_PATIENCE_SECONDS = 300.0  # for which they are: on a busy machine, recovery takes long
_SAMPLE_SECONDS = 5.0
_SHOWN_SECONDS = 60.0  # between two samples of the memory in the result
_SETTLED_SECONDS = 60.0  # of a driver, before which it reads modules and replays
_ENDED = re.compile(r"^trial:(\d+) ", re.MULTILINE)  # a line of a driver's progress: it has the outcome


@dataclass(frozen=True, slots=True)
class Sample:
    """How the search is at a moment."""

    seconds: float
    driver: int  # its process
    resident_mb: float
    ended: int  # trials


@dataclass
class _Watch:
    """Looks at the driver every few seconds; one that ended by itself is noted, and another started."""

    scene: Scene
    begun: float
    samples: list[Sample] = field(default_factory=list)
    gave_up: list[str] = field(default_factory=list)  # last lines of drivers that ended by themselves

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def pause(self, seconds: float) -> None:
        """Watch so long, and until there are some outcomes more."""
        begun, before = self.seconds, ended(self.scene)
        while self.seconds < begun + seconds or (
            ended(self.scene) < before + _OUTCOMES and self.seconds < begun + _PATIENCE_SECONDS
        ):
            self.look()
            time.sleep(_SAMPLE_SECONDS)

    def look(self) -> None:
        driver = self.scene.driver
        assert driver is not None
        if driver.poll() is not None:
            self.gave_up.append(self.scene.said.strip().splitlines()[-1])
            self.scene.drive()
            return
        with suppress(FileNotFoundError, ProcessLookupError):
            lines = Path(f"/proc/{driver.pid}/status").read_text().splitlines()
            resident = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")]
            if resident:
                seconds = round(self.seconds, 1)
                self.samples.append(Sample(seconds, driver.pid, round(resident[0], 1), ended(self.scene)))


def soak(folder: Path, seconds: float, seed: int = 0) -> dict[str, Any]:
    """Random faults for so long; then the driver is stopped as by Ctrl-C, and the record looked at."""
    rng = Random(seed)
    with scene(folder, trials=1_000_000) as found:
        wait(found, lambda: ended(found) > 0)
        watch = _Watch(found, time.monotonic())
        while watch.seconds < seconds:
            watch.pause(rng.uniform(*_PAUSE_SECONDS))
            fault = rng.choices(FAULTS, _WEIGHTS)[0]
            print(f"{watch.seconds:.0f} s, {ended(found)} trials ended: {fault}", file=sys.stderr, flush=True)
            found.do(fault, rng)
        watch.look()
        found.interrupt_driver()
        return {
            **verdict(found, watch.seconds),
            "outcomes_acknowledged_and_lost": _acknowledged_and_lost(found),
            "drivers_that_gave_up": watch.gave_up,
            "longest_seconds_without_an_outcome": _longest_pause(watch.samples),
            "driver_mb": memory(watch.samples),
        }


def _acknowledged_and_lost(found: Scene) -> int:
    """Trials that a driver said to have ended, and that have no outcome in the database."""
    with Store.open(found.url) as store:
        recorded = {stored.id for stored in store.trials(STUDY) if stored.trial.state.ended}
    return len({int(id) for id in _ENDED.findall(found.said)} - recorded)


def _longest_pause(samples: Sequence[Sample]) -> float:
    """Between two samples that differ in the number of outcomes."""
    firsts = [next(group).seconds for _, group in groupby(samples, lambda sample: sample.ended)]
    return round(max((b - a for a, b in pairwise(firsts)), default=0.0), 1)


def memory(samples: Sequence[Sample]) -> dict[str, Any]:
    """Resident memory of settled drivers: a quarter of the time against another, and each driver's own growth."""
    settled = list(_settled(samples))
    last = samples[-1].seconds
    quarters = [
        [each.resident_mb for each in settled if quarter / 4 <= each.seconds / last <= (quarter + 1) / 4]
        for quarter in range(4)
    ]
    lives = [list(life) for _, life in groupby(settled, lambda sample: sample.driver)]
    return {
        "median_of_quarters": [round(median(quarter), 1) if quarter else None for quarter in quarters],
        "of_each_driver": [
            {
                "seconds": round(life[-1].seconds - life[0].seconds),
                "outcomes": life[-1].ended - life[0].ended,
                "first": life[0].resident_mb,
                "last": life[-1].resident_mb,
            }
            for life in lives
        ],
        "seconds_mb_outcomes": [[each.seconds, each.resident_mb, each.ended] for each in _thinned(samples)],
    }


def _settled(samples: Sequence[Sample]) -> Iterator[Sample]:
    """Those of drivers that have been there for a while."""
    for _, life in groupby(samples, lambda sample: sample.driver):
        first, *others = life
        yield from (each for each in others if each.seconds - first.seconds >= _SETTLED_SECONDS)


def _thinned(samples: Sequence[Sample]) -> Iterator[Sample]:
    shown = -_SHOWN_SECONDS
    for each in samples:
        if each.seconds - shown >= _SHOWN_SECONDS:
            yield each
            shown = each.seconds
