"""A thousand workers in simulated time: only what the store and the strategy take is real, and workers wait for it.

Trainings take what real ones took: their times are drawn from those of a table, whatever the network. The driver does
one thing at a time, as a real one does: it records an epoch or an outcome and asks for the next trial, and the seconds
that this took on this machine pass for all who wait for it.
"""

import csv
import heapq
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np

from nas.batch import compile_macs, compile_params, compile_space
from nas.begun import Milliseconds
from nas.latency.model import OpSumModel
from nas.latency.targets import load_target
from nas.reward import make_reward
from nas.space import SearchSpace, load_space
from nas.store.store import Store
from nas.strategies.costs import Costs
from nas.strategies.problem import Problem
from nas.strategies.registry import make_strategy
from nas.study import Entry, Study, Target
from nas.trial import Metrics, Outcome, Trial

TABLE = Path(__file__).parents[1].parent / "shared/data/accuracy/accel_nasbench_mnasnet_imagenet.csv"
BUDGET_MS = 60.0
_CLOCKS = {"wall": perf_counter, "cpu": process_time}


@dataclass(frozen=True)
class Setting:
    """What is simulated."""

    workers: int = 1000
    trials: int = 100_000
    epochs: int = 3
    strategy: str = "surrogate"
    space: str = "mobilenet_v3"
    mean_seconds: float | None = None  # of a training; None: as the table has them
    store: str | None = None  # a URL; None: a file of SQLite that is removed
    clock: str = "wall"  # cpu: what the driver computes counts, not what it waits, for the disk or other processes


@dataclass
class Clock:
    """What has happened so far, in simulated seconds but for `real`."""

    seconds: Callable[[], float] = perf_counter
    now: float = 0.0  # when the driver is free again
    idle: float = 0.0  # of all workers
    real: dict[str, float] = field(default_factory=lambda: {"ask": 0.0, "report": 0.0, "tell": 0.0})

    def work(self, what: str, begun: float, wanted_at: float) -> None:
        """The driver did something that was wanted at a time and that took real seconds since `begun`."""
        seconds = self.seconds() - begun
        self.real[what] += seconds
        self.now = max(self.now, wanted_at) + seconds


class Silent:
    """A listener that shows nothing."""

    def started(self, entry: Entry) -> None:
        """Nothing."""

    def reported(self, entry: Entry, epoch: int, metrics: Metrics) -> None:
        """Nothing."""

    def ended(self, entry: Entry) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""


def training_seconds(mean: float | None) -> list[float]:
    """Of all trainings of the table; scaled to another mean if one is given, with the same spread."""
    with TABLE.open(encoding="utf-8") as file:
        lines = csv.DictReader(line for line in file if not line.startswith("#"))
        seconds = [float(line["train_s"]) for line in lines if line["train_s"]]
    scale = 1.0 if mean is None else mean / float(np.mean(seconds))
    return [scale * each for each in seconds]


def simulate(setting: Setting, log: Path | None = None) -> dict[str, Any]:
    """Run it; every thousandth trial the figures so far go to stderr, and to `log` as a line of JSON."""
    with TemporaryDirectory() as folder, Store.open(setting.store or Path(folder) / "trials.db") as store:
        with _study(setting, store) as study:
            found: dict[str, Any] = {}
            for found in _run(setting, study):
                line = json.dumps(found)
                print(line, file=sys.stderr, flush=True)
                if log is not None:
                    with log.open("a", encoding="utf-8") as file:
                        file.write(line + "\n")
        return found


def problem_of(space: SearchSpace) -> Problem:
    """The most accurate network of `space` within 60 ms on the Pixel 1."""
    latency = load_target("pixel1")
    assert isinstance(latency, OpSumModel)
    costs = Costs(compile_space(space, latency).estimate, compile_macs(space), compile_params(space))
    return Problem(space, Milliseconds(latency), BUDGET_MS, make_reward("hard", BUDGET_MS), costs=costs)


def _study(setting: Setting, store: Store) -> Study:
    problem, latency = problem_of(load_space(setting.space)), load_target("pixel1")
    store.create_study("simulated", {"trials": setting.trials})
    return Study(
        "simulated",
        store=store,
        strategy=make_strategy(setting.strategy, problem, seed=0, trials=setting.trials),
        target=Target(latency.target, latency.version, problem.latency_ms),
        trials=setting.trials,
        seed=0,
        listener=Silent(),
    )


def _run(setting: Setting, study: Study) -> Iterator[dict[str, Any]]:
    """The events in their order; yields the figures so far."""
    clock, judge, times = (
        Clock(_CLOCKS[setting.clock]),
        _Judge(load_space(setting.space)),
        training_seconds(setting.mean_seconds),
    )
    coming: list[tuple[float, int, int, Trial]] = []  # when, number, epoch, trial
    mean, last = float(np.mean(times)), (0, 0.0)  # asks, and the seconds that they took

    def begin(free_since: float) -> bool:
        begun = clock.seconds()
        trial = study.ask()
        clock.work("ask", begun, free_since)
        clock.idle += clock.now - free_since
        if trial is not None:
            seconds = Random(f"time/{trial.number}").choice(times) / setting.epochs
            heapq.heappush(coming, (clock.now + seconds, trial.number, 1, trial))
        return trial is not None

    begun_all = perf_counter()
    for _ in range(setting.workers):
        begin(0.0)
    asked, told = setting.workers, 0
    while coming and asked < setting.trials:
        at, number, epoch, trial = heapq.heappop(coming)
        begun = clock.seconds()
        if epoch < setting.epochs:
            study.report(trial, epoch, {"accuracy": 0.1 * epoch})
            clock.work("report", begun, at)
            clock.idle += clock.now - at  # it waits for the answer
            seconds = Random(f"time/{number}").choice(times) / setting.epochs
            heapq.heappush(coming, (clock.now + seconds, number, epoch + 1, trial))
            continue
        outcome = judge(trial)
        begun = clock.seconds()  # judging is the worker's
        study.tell(trial, outcome)
        clock.work("tell", begun, at)
        told += 1
        asked += begin(at)
        if told % 1000 == 0 or asked == setting.trials:
            recent = {"ms_per_recent_ask": 1000 * (clock.real["ask"] - last[1]) / (asked - last[0])}
            yield _figures(setting, clock, told, mean) | recent | {"real_seconds": perf_counter() - begun_all}
            last = asked, clock.real["ask"]


class _Judge:
    """An accuracy that is made up: size, an effect of every choice, and noise."""

    def __init__(self, space: SearchSpace) -> None:
        rng = np.random.default_rng(0)
        self._space, self._macs = space, compile_macs(space)
        self._effects = [rng.normal(0, 0.005, len(gene.choices)) for gene in space.genes]

    def __call__(self, trial: Trial) -> Outcome:
        genotype = self._space.encode(trial.proposal.architecture)
        size = 0.03 * np.log10(self._macs(np.array([genotype]))[0])
        effects = sum(e[c] for e, c in zip(self._effects, genotype, strict=True))
        return Outcome({"accuracy": float(size + effects + Random(trial.seed).gauss(0.4, 0.002))})


def _figures(setting: Setting, clock: Clock, told: int, mean_seconds: float) -> dict[str, Any]:
    return {
        "workers": setting.workers,
        "trials": told,
        "strategy": setting.strategy,
        "clock": setting.clock,
        "epochs": setting.epochs,
        "mean_training_seconds": mean_seconds,
        "busy_share": 1 - clock.idle / (setting.workers * clock.now),
        "simulated_hours": clock.now / 3600,
        "driver_busy_share": sum(clock.real.values()) / clock.now,
        **{f"ms_per_{name}": 1000 * seconds / told for name, seconds in clock.real.items()},
    }
