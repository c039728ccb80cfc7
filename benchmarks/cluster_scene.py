"""Three nodes of this host, a PostgreSQL server behind a network of its own, and a driver: all can be taken away."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from nas.store.store import Store, StoredTrial
from nas.trial import TrialState
from tests import postgres, ray_cluster
from tests.proxy import Proxy, proxied

STUDY = "faults"
_SEARCH = (
    *("search", "--target", "pixel", "--budget", "60ms", "--data", "digits", "--space", "mobilenet_v2"),
    *("--evaluator", "proxy"),
    *("--strategy", "surrogate", "--proxy-resolution", "16", "--proxy-epochs", "1", "--proxy-images", "300"),
    *("--study", STUDY, "--json"),
)  # fmt: skip
# A shell's background job ignores Ctrl-C, and so do its children; the driver is to hear it all the same.
_MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from nas.cli.main import main; main()"
FAULTS = ("worker", "node", "driver", "database", "network")


@dataclass
class Scene:
    """What can be killed and comes back; nobody but the driver goes through `network` to the database."""

    cluster: ray_cluster.Cluster
    server: postgres.Server
    network: Proxy
    url: str  # the database
    url_of_driver: str  # the same, through the network
    folder: Path
    trials: int
    faults: Counter[str] = field(default_factory=Counter)
    driver: subprocess.Popen[str] | None = None

    @property
    def said(self) -> str:
        """What all drivers have printed."""
        return (self.folder / "driver.log").read_text()

    def drive(self) -> None:
        """Start a driver."""
        command = [sys.executable, "-c", _MAIN, *_SEARCH]
        command += ["--trials", str(self.trials), "--workers", "3", "--ray", self.cluster.address]
        command += ["--storage", str(self.folder / "weights")]
        with (self.folder / "driver.log").open("a") as log:
            self.driver = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**self.cluster.environment, "NAS_STORE": self.url_of_driver, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def interrupt_driver(self) -> None:
        """As by Ctrl-C."""
        assert self.driver is not None
        self.driver.send_signal(signal.SIGINT)
        self.driver.communicate()

    def do(self, fault: str, rng: Random) -> None:
        """One of `FAULTS`; when this returns, what was taken away is back, or on its way."""
        self.faults[fault] += 1
        match fault:
            case "worker":
                self._kill_worker(rng)
            case "node":
                self._kill_node(rng)
            case "driver":
                self._kill_driver()
            case "database":
                self._restart_database(rng)
            case "network":
                self._cut_network(rng)
            case _:
                raise AssertionError(fault)

    def _kill_worker(self, rng: Random) -> None:
        """As the kernel does when memory runs out; one that trains, if there is one."""
        with Store.open(self.url) as store:
            activity = store.activity(STUDY)
            driver = None if activity.driver is None else activity.driver.pid  # stands for a worker not recorded yet
            busy = [worker.pid for worker in activity.workers if worker.running and worker.pid != driver]
        if busy:
            with suppress(ProcessLookupError):
                os.kill(rng.choice(busy), signal.SIGKILL)

    def _kill_node(self, rng: Random) -> None:
        """As when its power fails; another node joins."""
        alive = [node for node in self.cluster.nodes if node.poll() is None]
        self.cluster.kill(rng.choice(alive))
        self.cluster.add()

    def _kill_driver(self) -> None:
        """By SIGKILL; another takes over."""
        assert self.driver is not None
        self.driver.kill()
        self.driver.communicate()
        self.drive()

    def _restart_database(self, rng: Random) -> None:
        """In an orderly way, or as after a crash."""
        self.server.stop(rng.choice(["fast", "immediate"]))
        time.sleep(rng.uniform(0, 10))
        self.server.start()

    def _cut_network(self, rng: Random) -> None:
        """Nothing comes through for up to 40 s; then it does, or the connections turn out to be broken."""
        self.network.hold()
        time.sleep(rng.uniform(1, 40))
        rng.choice([self.network.go_on, self.network.close_all])()


@contextmanager
def scene(folder: Path, trials: int) -> Iterator[Scene]:
    """A head, three nodes, a server, and a driver that has been started."""
    with ray_cluster.cluster(nodes=3) as cluster, postgres.running() as server:
        url = postgres.database(server.url, "trials")
        with proxied(url) as (network, url_of_driver):
            ray_cluster.wait_for(lambda: cluster.joined, "three nodes")
            found = Scene(cluster, server, network, url, url_of_driver, folder, trials)
            found.drive()
            try:
                yield found
            finally:
                if found.driver is not None and found.driver.poll() is None:
                    found.driver.kill()
                    found.driver.communicate()


def wait(found: Scene, condition: Callable[[], bool]) -> None:
    """Until it is so. Raises RuntimeError if the driver ends before."""
    while not condition():
        assert found.driver is not None
        if found.driver.poll() is not None:
            raise RuntimeError(f"the driver ended: {found.said[-2000:]}")
        time.sleep(1)


def states(found: Scene) -> Counter[TrialState]:
    """How many trials are in each state."""
    with Store.open(found.url) as store:
        return Counter(store.study_summary(STUDY) if store.study(STUDY) else {})


def ended(found: Scene) -> int:
    """How many trials have an outcome."""
    return sum(count for state, count in states(found).items() if state.ended)


def verdict(found: Scene, seconds: float) -> dict[str, Any]:
    """What the rows say: every number once, every outcome told once, in one order without a gap."""
    with Store.open(found.url) as store:
        trials: list[StoredTrial] = store.trials(STUDY)
    told = sorted(stored.trial.told for stored in trials if stored.trial.told is not None)
    return {
        "seconds": round(seconds),
        "faults": dict(found.faults),
        "trials": dict(Counter(stored.trial.state.value for stored in trials)),
        "numbers_without_gap": [stored.trial.number for stored in trials] == list(range(len(trials))),
        "each_told_once": told == list(range(len(told))),
        "networks_twice": len(trials) - len({stored.trial.proposal.architecture.id for stored in trials}),
        "lost_workers": sum(stored.lost for stored in trials),
        "decisions_of_an_undisturbed_run": _same_decisions(found),
    }


def _same_decisions(found: Scene) -> bool:
    """Whether a driver that nothing disturbs, and that hears the same outcomes in the same order, asks for the same.

    Opening a study is that: a fresh strategy is asked and told, and every proposal compared with the recorded one. Then
    the fronts are equal, too: they are of the same networks and outcomes.
    """
    command = [sys.executable, "-c", _MAIN, *_SEARCH, "--trials", str(ended(found))]
    command += ["--storage", str(found.folder / "weights")]
    environment = {**found.cluster.environment, "NAS_STORE": found.url}
    run = subprocess.run(command, cwd=found.folder, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        print(run.stderr[-500:], file=sys.stderr)
    return run.returncode == 0
