"""`evaluate_all()`: networks judged or trained outside of any study, each result kept in a file of its own."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

from nas.architecture import Architecture
from nas.errors import NasError
from nas.executors.inline import InlineExecutor
from nas.executors.local import LocalExecutor
from nas.executors.ray.cluster import RayCluster
from nas.executors.ray.executor import RayExecutor
from nas.storage import write_bytes
from nas.trial import Evaluator, Executor, Metrics, Outcome, Proposal, Trial, TrialState

_LOSSES = 3  # of a worker, after which its network counts as lost

Say = Callable[[str], None]
"""Takes a line for people."""


def evaluate_all(  # noqa: PLR0913, PLR0917 - what is judged, by whom, where it is kept and how it runs
    networks: Sequence[Architecture],
    evaluator: Evaluator,
    folder: Path,
    workers: int,
    say: Say,
    seeds: Sequence[int] = (0,),
    cluster: RayCluster | None = None,
    go_on: bool = False,
) -> list[Metrics]:
    """The metrics of each network, with its wall `seconds`; those that `folder` has are not made again.

    Those of the first of `seeds` come first, in the order of the networks, then those of the next one. One worker is
    this process; more are processes of their own, or of a cluster. With `go_on`, an evaluation that ends in an error is
    told of and has no metrics; it is tried again by the next call.

    Raises:
        NasError: a network could not be evaluated, a file cannot be written.
    """
    queue = _Queue(networks, folder, say, seeds, go_on)
    executor: Executor = LocalExecutor(workers) if workers > 1 else InlineExecutor()
    if cluster is not None:
        executor = RayExecutor(cluster, workers)
    executor.run(queue, evaluator)
    return [queue.results[kept_name(network, seed)] for seed in seeds for network in networks]


def kept_name(network: Architecture, seed: int = 0) -> str:
    """What the files of a network are named by, one name for each seed of its evaluation."""
    return f"{network.id}-seed{seed}" if seed else network.id


class _Queue:
    """Fills `nas.trial.TrialQueue`: networks whose results are files, one for each network and seed."""

    def __init__(
        self, networks: Sequence[Architecture], folder: Path, say: Say, seeds: Sequence[int], go_on: bool = False
    ) -> None:
        self._folder, self._say, self._go_on = folder, say, go_on
        distinct = {network.id: network for network in networks}.values()
        self._count = len(distinct) * len(seeds)
        self.results: dict[str, Mapping[str, float]] = {}
        self._waiting: list[Trial] = []
        self._lost: dict[int, int] = {}
        self._begun: dict[int, float] = {}
        for number, (seed, network) in enumerate(product(seeds, distinct)):
            if (path := self._path(name := kept_name(network, seed))).exists():
                self.results[name] = _read(path)
            else:
                self._waiting.append(Trial(number, Proposal(network), 0, TrialState.RUNNING, seed=seed))

    def ask(self) -> Trial | None:
        """The next network that is not known yet."""
        if not self._waiting:
            return None
        trial = self._waiting.pop(0)
        self._begun[trial.number] = time.monotonic()
        return trial

    def placed(self, trial: Trial, host: str, pid: int) -> None:
        """Its seconds begin here: before, it may have waited for a worker."""
        self._begun[trial.number] = time.monotonic()

    def report(self, trial: Trial, epoch: int, metrics: Metrics) -> bool:
        """Say so; no training is stopped."""
        name = kept_name(trial.proposal.architecture, trial.seed)
        self._say(f"{name}: epoch {epoch}, accuracy {metrics['accuracy']:.2%}")
        return False

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Keep the result."""
        name = kept_name(trial.proposal.architecture, trial.seed)
        if outcome.error is not None:
            failure = f"network {name} was not evaluated: {outcome.error}"
            if not self._go_on:
                raise NasError(failure)
            self.results[name] = {}
            self._say(failure)
            return
        seconds = time.monotonic() - self._begun[trial.number]  # of this run
        self.results[name] = {**outcome.metrics, "seconds": seconds}
        write_bytes(self._path(name), json.dumps(self.results[name]).encode(), "result")
        self._say(f"{len(self.results)} of {self._count} networks done")

    def lost(self, trial: Trial, reason: str) -> None:
        """Try again, but not for ever."""
        self._lost[trial.number] = self._lost.get(trial.number, 0) + 1
        if self._lost[trial.number] == _LOSSES:
            self.tell(trial, Outcome(error=reason))
        else:
            self._waiting.append(trial)

    def idle(self) -> None:
        """Nothing to do."""

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _read(path: Path) -> dict[str, float]:
    try:
        found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NasError(f"{path}: not the result that was saved there ({error}); remove it and run again") from None
    return found
