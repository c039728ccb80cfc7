"""What a trial costs beside its training: an evaluator that answers at once, on a Ray cluster of this host.

The trials are networks of eleven blocks with a kernel and an expansion each: 22 choices. Ray's own Tuner, with
OptunaSearch, gets the same 22 choices and the same number of workers of the same cluster.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.simulated_cluster import problem_of
from nas.executors.ray.cluster import RayCluster, connected
from nas.executors.ray.executor import RayExecutor
from nas.latency.targets import load_target
from nas.space import load_space
from nas.store.store import Store
from nas.strategies.registry import make_strategy
from nas.study import Entry, Study, Target
from nas.trial import Metrics, Outcome, Report, Trial
from tests import postgres, ray_cluster

_RECENT = 500  # trials that a figure is the mean of
_MARKS = (1000, 2000, 5000, 10_000)
_WIDTHS = (16, 24, 24, 32, 32, 32, 64, 64, 96, 96, 160)
_STRIDES = {1: 2, 3: 2, 6: 2, 10: 2}
_KERNELS, _EXPANSIONS = [3, 5, 7], [3, 6]


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured."""

    trials: int = 10_000
    workers: int = 4
    strategies: Sequence[str] = ("random", "surrogate")
    stores: Sequence[str] = ("postgresql",)
    peer_seconds: float = 900.0  # after which a run of Tune is stopped


@dataclass(frozen=True)
class AtOnce:
    """An accuracy without a training."""

    def evaluate(self, trial: Trial, report: Report) -> Outcome:
        """A number that depends on the network alone."""
        return Outcome({"accuracy": int(trial.proposal.architecture.id, 16) % 1000 / 1000})


@dataclass
class Marks:
    """When the n-th outcome was recorded, and what this process had computed by then; fills `Listener`."""

    name: str
    begun: dict[int, float] = field(default_factory=dict)
    taken: list[float] = field(default_factory=list)  # seconds from a trial's start to its record
    ends: list[tuple[float, float]] = field(default_factory=list)  # seconds of the clock, of this process's cores

    def end(self) -> None:
        """One more is recorded."""
        self.ends.append((time.perf_counter(), time.process_time()))
        if len(self.ends) % _RECENT == 0:
            print(f"{self.name}: {len(self.ends)} trials, {self.at(len(self.ends))}", file=sys.stderr, flush=True)

    def at(self, count: int) -> dict[str, float]:
        """Means of the last ones before the `count`-th, in ms."""
        recent = min(_RECENT, count - 1)
        (wall, cores), (wall_then, cores_then) = self.ends[count - 1], self.ends[count - 1 - recent]
        found = {
            "ms_per_trial": 1000 * (wall - wall_then) / recent,
            "driver_cpu_ms_per_trial": 1000 * (cores - cores_then) / recent,
        }
        if self.taken:
            found["ms_from_start_to_record"] = 1000 * sum(self.taken[count - recent : count]) / recent
        return {key: round(value, 2) for key, value in found.items()}

    def figures(self) -> dict[str, Any]:
        """At each mark that was reached and at the last trial, and all the way in steps."""
        counts = sorted({*(mark for mark in _MARKS if mark <= len(self.ends)), len(self.ends)})
        return {
            "trials": len(self.ends),
            "at": {str(count): self.at(count) for count in counts if count > 1},
            f"means_of_{_RECENT}": [
                self.at(count)["ms_per_trial"] for count in range(_RECENT, len(self.ends) + 1, _RECENT)
            ],
        }

    def started(self, entry: Entry) -> None:
        """A trial was asked for and recorded as running."""
        self.begun[entry.trial.number] = time.perf_counter()

    def reported(self, entry: Entry, epoch: int, metrics: Metrics) -> None:
        """Nothing."""

    def ended(self, entry: Entry) -> None:
        """A trial has its outcome."""
        self.taken.append(time.perf_counter() - self.begun.pop(entry.trial.number))
        self.end()

    def tick(self) -> None:
        """Nothing."""


def overhead(folder: Path, setting: Setting) -> dict[str, Any]:
    """Ours with each strategy on each store, and Tune's with and without keeping its workers."""
    with ExitStack() as stack:
        cluster = stack.enter_context(ray_cluster.cluster(nodes=1, cpus=setting.workers))
        os.environ.update({k: v for k, v in cluster.environment.items() if k.startswith("RAY_")})
        places: dict[str, Callable[[str], str]] = {"sqlite": lambda name: str(folder / f"{name}.db")}
        if "postgresql" in setting.stores:
            server = stack.enter_context(postgres.running())
            places["postgresql"] = lambda name: postgres.database(server.url, name)
        found: dict[str, Any] = {"workers": setting.workers, "cores": os.cpu_count(), "load": os.getloadavg()}
        with connected(RayCluster(cluster.address)) as ray:
            ray_cluster.wait_for(lambda: ray.cluster_resources().get("CPU", 0) >= setting.workers, "the node")
            for strategy in setting.strategies:
                for store in setting.stores:
                    print(f"{strategy} on {store}", file=sys.stderr, flush=True)
                    found[f"{strategy}, {store}"] = _ours(folder, places[store](strategy), strategy, setting)
            if setting.peer_seconds:
                for reuse in (True, False):
                    name = f"Ray Tune with OptunaSearch, reuse_actors={reuse}"
                    found[name] = _tune(folder, setting, reuse).figures()
        return {**found, "load_at_the_end": os.getloadavg()}


def _ours(folder: Path, url: str, strategy: str, setting: Setting) -> dict[str, Any]:
    problem, latency = problem_of(load_space(_space(folder))), load_target("pixel1")
    marks = Marks(strategy)
    with Store.open(url) as store:
        store.create_study("overhead", {})
        study = Study(
            "overhead",
            store=store,
            strategy=make_strategy(strategy, problem, seed=0, trials=setting.trials),
            target=Target(latency.target, latency.version, problem.latency_ms),
            trials=setting.trials,
            seed=0,
            listener=marks,
        )
        with study:
            RayExecutor(RayCluster(), setting.workers).run(study, AtOnce())
    return marks.figures()


def _space(folder: Path) -> Path:
    """A file of the space of 22 choices."""
    lines = ["name: choices", "resolution: 224", "defaults: {op: mbconv, act: relu6}", "stages:"]
    lines.append("  - {op: conv, channels: 32, kernel: 3, stride: 2}")
    for block, width in enumerate(_WIDTHS):
        stride = _STRIDES.get(block, 1)
        lines.append(f"  - {{channels: {width}, stride: {stride}, kernel: {_KERNELS}, expand: {_EXPANSIONS}}}")
    lines.append("head: {type: classic, channels: 1280, act: relu6}")
    path = folder / "choices.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def _tune(folder: Path, setting: Setting, reuse: bool) -> Marks:
    from ray import tune  # noqa: PLC0415 - beside what is measured
    from ray.tune.search.optuna import OptunaSearch  # noqa: PLC0415

    marks = Marks(f"Tune, reuse_actors={reuse}")

    class Noting(tune.Callback):  # type: ignore[misc, name-defined]
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            marks.end()

    def at_once(config: dict[str, int]) -> dict[str, float]:
        return {"accuracy": hash(tuple(config.values())) % 1000 / 1000}

    kernels = {f"kernel{block}": tune.choice(_KERNELS) for block in range(len(_WIDTHS))}
    expansions = {f"expand{block}": tune.choice(_EXPANSIONS) for block in range(len(_WIDTHS))}
    tune.Tuner(
        tune.with_resources(at_once, {"cpu": 1}),
        param_space=kernels | expansions,
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(seed=0),
            metric="accuracy",
            mode="max",
            num_samples=setting.trials,
            max_concurrent_trials=setting.workers,
            time_budget_s=setting.peer_seconds,
            reuse_actors=reuse,
        ),
        run_config=tune.RunConfig(
            name=f"reuse-{reuse}", storage_path=str(folder / "tune"), verbose=0, callbacks=[Noting()]
        ),
    ).fit()
    return marks
