"""`Pool`: the workers of one search on a cluster: started, asked for messages, watched, ended."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from nas import __version__
from nas.errors import ClusterError
from nas.executors.outcome import Message
from nas.executors.ray.cluster import RayCluster
from nas.executors.ray.worker import Place, Worker
from nas.trial import Evaluator, Sharing, Trial

PULSE_SECONDS = 10.0
LEASE_SECONDS = 60.0  # a worker that gives no sign of life for so long has lost its trial


class LostError(Exception):
    """A worker that is gone; the message says how."""


@dataclass(slots=True, eq=False)
class Member:
    """The driver's end of one worker."""

    actor: Any
    call: Any  # the ref of what it is doing; None while it has nothing to do
    place: Place | None = None  # None: it is not there yet, perhaps because the cluster has no room
    trial: Trial | None = None
    pulse: Any = None
    seen: float = 0.0  # time.monotonic() of its last message, or of the question that `pulse` is to answer

    @property
    def free(self) -> bool:
        """Whether it can take a trial."""
        return self.place is not None and self.trial is None

    def __str__(self) -> str:
        return "a worker" if self.place is None else str(self.place)


class Pool:
    """Up to so many workers; Ray places each where there is room for a trial, also on nodes that join later."""

    def __init__(self, ray: Any, cluster: RayCluster, evaluator: Evaluator) -> None:
        self._ray = ray
        self._actor = ray.remote(concurrency_groups={"pulse": 1})(_with_pulse(ray)).options(
            num_cpus=cluster.cpus_per_trial, num_gpus=cluster.gpus_per_trial, max_restarts=0
        )
        setup = evaluator.shared() if isinstance(evaluator, Sharing) else None
        self._shared = (ray.put(evaluator), ray.put(setup))  # once per node; arrays are not copied by its workers
        self.members: list[Member] = []

    def grow(self, workers: int) -> None:
        """Ask Ray for as many as are missing."""
        while len(self.members) < workers:
            actor = self._actor.remote(*self._shared)
            self.members.append(Member(actor, actor.place.remote()))

    def begin(self, member: Member, trial: Trial) -> None:
        """Give a free worker a trial."""
        member.trial, member.seen, member.pulse = trial, time.monotonic(), None
        member.call = member.actor.begin.remote(trial)

    def answer(self, member: Member, stop: bool) -> None:
        """Answer a worker's report."""
        member.call = member.actor.go_on.remote(stop)

    def ready(self, seconds: float) -> list[Member]:
        """Those whose calls have ended; waits so long for the first."""
        calls = {member.call: member for member in self.members if member.call is not None}
        refs = list(calls)
        found, _ = self._ray.wait(refs, num_returns=1, timeout=seconds)
        if found:
            found, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        return [calls[ref] for ref in found]

    def welcome(self, member: Member) -> None:
        """Take a worker that has started.

        Raises:
            LostError: it died on the way.
            ClusterError: its node cannot run nas, or runs another version.
        """
        place: Place = self._get(member)
        member.place, member.call = place, None
        if place.version != __version__:
            raise ClusterError(f"{place}: has nas {place.version}; expected {__version__}, as here")

    def message(self, member: Member) -> Message:
        """What a worker whose call has ended says. Raises LostError."""
        message: Message = self._get(member)
        member.seen, member.pulse = time.monotonic(), None
        return message

    def _get(self, member: Member) -> Any:
        errors = self._ray.exceptions
        gone = (errors.RayActorError, errors.OutOfMemoryError, errors.ObjectLostError, errors.NodeDiedError)
        try:
            return self._ray.get(member.call)
        except gone as error:
            if getattr(error, "actor_init_failed", False):
                raise ClusterError(f"a worker of the cluster cannot start: {_line(error)}") from None
            raise LostError(f"{member} died ({_line(error)})") from None

    def silent(self) -> list[tuple[Member, str]]:
        """Those that evaluate a trial and have not answered for a lease, and how to say it; asks the others.

        What counts is the time from question to answer: a driver that was itself away, such as one that waits for its
        database, asks late and finds nobody silent.
        """
        now = time.monotonic()
        busy = [member for member in self.members if member.trial is not None]
        for member in busy:
            if member.pulse is None and now - member.seen > PULSE_SECONDS:
                member.pulse, member.seen = member.actor.alive.remote(), now
        asked = {member.pulse: member for member in busy if member.pulse is not None}
        if asked:
            for ref in self._ray.wait(list(asked), num_returns=len(asked), timeout=0)[0]:
                asked[ref].pulse = None  # a dead one's call fails as well, and says more
        late = [member for member in asked.values() if member.pulse is not None and now - member.seen > LEASE_SECONDS]
        return [(member, f"{member} gave no sign of life for {LEASE_SECONDS:.0f} s") for member in late]

    def remove(self, member: Member) -> None:
        """End a worker, whatever it does."""
        self.members.remove(member)
        with suppress(Exception):  # it may be gone, or its node
            self._ray.kill(member.actor)


@contextmanager
def pool_of(ray: Any, cluster: RayCluster, evaluator: Evaluator) -> Iterator[Pool]:
    """A pool, all workers of which are ended on the way out."""
    pool = Pool(ray, cluster, evaluator)
    try:
        yield pool
    finally:
        for member in list(pool.members):
            pool.remove(member)


def _with_pulse(ray: Any) -> type[Worker]:
    """The actor's class: a sign of life has a thread of its own."""

    class Actor(Worker):
        alive = ray.method(concurrency_group="pulse")(Worker.alive)

    return Actor


def _line(error: BaseException) -> str:
    """Why an actor died, from the many lines that Ray has for it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    return last.partition("Worker exit detail: ")[2].partition(". Some common")[0] or last
