"""`RayExecutor`: trials in actors of a Ray cluster."""

from dataclasses import dataclass
from typing import final

from nas.errors import ClusterError
from nas.executors.outcome import require_survivors
from nas.executors.ray.cluster import RayCluster, connected, reason
from nas.executors.ray.pool import LostError, Member, Pool, pool_of
from nas.trial import Evaluator, Trial, TrialQueue

_POLL_SECONDS = 1.0


@final
@dataclass(frozen=True, slots=True)
class RayExecutor:
    """Runs up to `workers` trials at once, as many as the cluster has room for at the time; fills `Executor`.

    A worker that dies, with its node or alone, is replaced where there is room, and its trial told as lost. So is one
    that gives no sign of life for a minute. What the evaluator shares travels to each node once.
    """

    cluster: RayCluster
    workers: int

    def run(self, queue: TrialQueue, evaluator: Evaluator) -> None:
        """Run all trials of `queue`.

        Raises:
            ClusterError: the cluster cannot be used.
            NasError: what an evaluator raised, such as a full disk; its trial is neither told nor lost.
            StudyError: workers die again and again without finishing a trial.
        """
        with connected(self.cluster) as ray:
            first = queue.ask()  # a study that is complete needs no workers
            if first is None:
                return
            try:
                with pool_of(ray, self.cluster, evaluator) as pool:
                    _Shift(queue, pool, self.workers, first).work()
            except (ray.exceptions.RayError, ConnectionError) as error:
                raise ClusterError(
                    f"Ray cluster {self.cluster.address} failed ({type(error).__name__}: {reason(error)}); when it is "
                    f"up again, the same command goes on where it stopped"
                ) from error


class _Shift:
    """One run of an executor."""

    def __init__(self, queue: TrialQueue, pool: Pool, workers: int, first: Trial) -> None:
        self._queue, self._pool, self._workers = queue, pool, workers
        self._held: Trial | None = first
        self._deaths = 0  # in a row

    def work(self) -> None:
        """Until the queue has no more trials and none is running."""
        while not self._all_done():
            self._pool.grow(self._workers)
            for member in self._pool.ready(_POLL_SECONDS):
                self._hear(member)
            for member, how in self._pool.silent():
                self._lose(member, how)
            require_survivors(self._deaths, self._workers, see="Ray's logs")
            self._queue.idle()

    def _all_done(self) -> bool:
        """Give every free worker a trial; True if there is none, neither new nor running."""
        for member in self._pool.members:
            if member.free:
                trial, self._held = self._held or self._queue.ask(), None
                if trial is None:
                    return all(member.trial is None for member in self._pool.members)
                self._pool.begin(member, trial)
                assert member.place is not None
                self._queue.placed(trial, member.place.host, member.place.pid)
        return False

    def _hear(self, member: Member) -> None:
        try:
            if member.place is None:
                self._pool.welcome(member)
                return
            message = self._pool.message(member)
        except LostError as gone:
            self._lose(member, str(gone))
            return
        assert member.trial is not None
        match message:
            case ("report", epoch, metrics):
                self._pool.answer(member, self._queue.report(member.trial, epoch, metrics))
            case ("ended", outcome):
                trial, member.trial, member.call, self._deaths = member.trial, None, None, 0
                self._queue.tell(trial, outcome)
            case ("stuck", error):
                raise error

    def _lose(self, member: Member, reason: str) -> None:
        self._pool.remove(member)
        self._deaths += 1
        if member.trial is not None:
            self._queue.lost(member.trial, reason)
