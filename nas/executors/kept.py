"""`evaluate_all()`: networks judged or trained outside of any study, each result kept in a file of its own."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nas.architecture import Architecture
from nas.errors import NasError
from nas.executors.inline import InlineExecutor
from nas.executors.local import LocalExecutor
from nas.executors.ray.cluster import RayCluster
from nas.executors.ray.executor import RayExecutor
from nas.trial import Evaluator, Executor, Metrics, Outcome, Proposal, Trial, TrialState

_LOSSES = 3  # of a worker, after which its network counts as lost

Say = Callable[[str], None]
"""Takes a line for people."""


def evaluate_all(  # noqa: PLR0913, PLR0917 - who is judged, by whom, and how that runs
    networks: Sequence[Architecture],
    evaluator: Evaluator,
    folder: Path,
    workers: int,
    say: Say,
    cluster: RayCluster | None = None,
) -> list[Metrics]:
    """The metrics of each network, with its wall `seconds`; those that `folder` has are not made again.

    One worker is this process; more are processes of their own, or of a cluster.

    Raises:
        NasError: a network could not be evaluated, a file cannot be written.
    """
    queue = _Queue(networks, folder, say)
    executor: Executor = LocalExecutor(workers) if workers > 1 else InlineExecutor()
    if cluster is not None:
        executor = RayExecutor(cluster, workers)
    executor.run(queue, evaluator)
    return [queue.results[network.id] for network in networks]


class _Queue:
    """Fills `nas.trial.TrialQueue`: networks whose results are files, one for each."""

    def __init__(self, networks: Sequence[Architecture], folder: Path, say: Say) -> None:
        self._folder, self._say, self._count = folder, say, len(networks)
        self.results: dict[str, Mapping[str, float]] = {}
        self._waiting: list[Trial] = []
        self._lost: dict[int, int] = {}
        self._begun: dict[int, float] = {}
        for number, network in enumerate({network.id: network for network in networks}.values()):
            if (path := self._path(network.id)).exists():
                self.results[network.id] = _read(path)
            else:
                self._waiting.append(Trial(number, Proposal(network), 0, TrialState.RUNNING))

    def ask(self) -> Trial | None:
        """The next network that is not known yet."""
        if not self._waiting:
            return None
        trial = self._waiting.pop(0)
        self._begun[trial.number] = time.monotonic()
        return trial

    def report(self, trial: Trial, epoch: int, metrics: Metrics) -> bool:
        """Say so; no training is stopped."""
        self._say(f"{trial.proposal.architecture.id}: epoch {epoch}, accuracy {metrics['accuracy']:.2%}")
        return False

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Keep the result."""
        network = trial.proposal.architecture
        if outcome.error is not None:
            raise NasError(f"network {network.id} was not evaluated: {outcome.error}")
        seconds = time.monotonic() - self._begun[trial.number]  # of this run
        self.results[network.id] = {**outcome.metrics, "seconds": seconds}
        _write(self._path(network.id), self.results[network.id])
        self._say(f"{len(self.results)} of {self._count} networks done")

    def lost(self, trial: Trial, reason: str) -> None:
        """Try again, but not for ever."""
        self._lost[trial.number] = self._lost.get(trial.number, 0) + 1
        if self._lost[trial.number] == _LOSSES:
            raise NasError(f"network {trial.proposal.architecture.id} was not evaluated: {reason}")
        self._waiting.append(trial)

    def idle(self) -> None:
        """Nothing to do."""

    def _path(self, network: str) -> Path:
        return self._folder / f"{network}.json"


def _read(path: Path) -> dict[str, float]:
    try:
        found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NasError(f"{path}: not the result that was saved there ({error}); remove it and run again") from None
    return found


def _write(path: Path, result: Mapping[str, float]) -> None:
    scratch = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(dict(result)), encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        raise NasError(f"{path}: not saved: {error.strerror}") from None
