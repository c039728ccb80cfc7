"""A search on three nodes of this host, with PostgreSQL, while nodes, drivers and the database are killed."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from nas.store.store import Store, StoredTrial
from nas.trial import TrialState
from tests import postgres, ray_cluster

STUDY = "faults"
_SEARCH = (
    *("search", "--target", "pixel", "--budget", "60ms", "--data", "digits", "--space", "mobilenet_v2"),
    *("--strategy", "surrogate", "--proxy-resolution", "16", "--proxy-epochs", "1", "--proxy-images", "300"),
    *("--study", STUDY, "--json"),
)  # fmt: skip
_PAUSE_SECONDS = (20.0, 60.0)  # between two faults of a soak


@dataclass
class Scene:
    """The cluster, the server and the driver, each of which can be killed and comes back."""

    cluster: ray_cluster.Cluster
    server: postgres.Server
    url: str
    folder: Path
    trials: int
    faults: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, int, int]] = field(default_factory=list)  # seconds, driver, its resident kB
    driver: subprocess.Popen[str] | None = None

    def drive(self) -> None:
        """Start a driver."""
        command = [sys.executable, "-c", "from nas.cli.main import main; main()", *_SEARCH]
        command += ["--trials", str(self.trials), "--workers", "3", "--ray", self.cluster.address]
        command += ["--storage", str(self.folder / "weights")]
        with (self.folder / "driver.log").open("a") as log:
            self.driver = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**self.cluster.environment, "NAS_STORE": self.url, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def kill_driver(self) -> None:
        """By SIGKILL; another takes over."""
        assert self.driver is not None
        self.driver.kill()
        self.driver.communicate()
        self.drive()

    def kill_node(self, rng: Random) -> None:
        """As when its power fails; another node joins."""
        alive = [node for node in self.cluster.nodes if node.poll() is None]
        self.cluster.kill(rng.choice(alive))
        self.cluster.add()

    def restart_database(self, rng: Random) -> None:
        """In an orderly way, or as after a crash."""
        self.server.stop(rng.choice(["fast", "immediate"]))
        time.sleep(rng.uniform(0, 10))
        self.server.start()

    def do(self, fault: str, rng: Random) -> None:
        """One of these three."""
        self.faults[fault] += 1
        match fault:
            case "node":
                self.kill_node(rng)
            case "driver":
                self.kill_driver()
            case "database":
                self.restart_database(rng)

    def watch(self, begun: float) -> None:
        """Note the memory of the driver."""
        assert self.driver is not None
        lines = Path(f"/proc/{self.driver.pid}/status").read_text().splitlines()
        resident = [int(line.split()[1]) for line in lines if line.startswith("VmRSS")]
        if resident:
            self.memory.append((round(time.monotonic() - begun, 1), self.driver.pid, resident[0]))


@contextmanager
def scene(folder: Path, trials: int) -> Iterator[Scene]:
    """A head, three nodes, a server, and a driver that has been started."""
    with ray_cluster.cluster(nodes=3) as cluster, postgres.running() as server:
        found = Scene(cluster, server, postgres.database(server.url, "trials"), folder, trials)
        found.drive()
        try:
            yield found
        finally:
            if found.driver is not None and found.driver.poll() is None:
                found.driver.kill()
                found.driver.communicate()


def three_kills(folder: Path, trials: int = 60) -> dict[str, Any]:
    """Two nodes and the driver killed while so many trials are made."""
    rng, begun = Random(0), time.monotonic()
    plan = [(trials // 6, "node"), (trials * 5 // 12, "driver"), (trials * 2 // 3, "node")]
    with scene(folder, trials) as found:
        for ended, fault in plan:
            _wait(found, lambda ended=ended: _ended(found) >= ended)
            found.do(fault, rng)
        assert found.driver is not None
        out, _ = found.driver.communicate()
        if found.driver.returncode or not out:
            raise RuntimeError(f"the driver ended: {(folder / 'driver.log').read_text()[-2000:]}")
        return {
            **_verdict(found, time.monotonic() - begun),
            "complete_by_the_command": json.loads(out)["trials"]["complete"],
        }


def soak(folder: Path, seconds: float, seed: int = 0) -> dict[str, Any]:
    """Random faults for so long; then the driver is stopped as by Ctrl-C, and the record looked at."""
    rng, begun = Random(seed), time.monotonic()
    with scene(folder, trials=1_000_000) as found:
        _wait(found, lambda: _ended(found) > 0)
        while time.monotonic() - begun < seconds:
            pause = time.monotonic() + rng.uniform(*_PAUSE_SECONDS)
            while time.monotonic() < pause:
                found.watch(begun)
                time.sleep(5)
            found.do(rng.choice(["node", "driver", "database"]), rng)
        _wait(found, lambda: TrialState.RUNNING in _states(found))
        assert found.driver is not None
        found.driver.send_signal(signal.SIGINT)
        found.driver.communicate()
        return {**_verdict(found, time.monotonic() - begun), "memory_kb": found.memory}


def _wait(found: Scene, condition: Callable[[], bool]) -> None:
    while not condition():
        assert found.driver is not None
        if found.driver.poll() is not None:
            raise RuntimeError(f"the driver ended: {(found.folder / 'driver.log').read_text()[-2000:]}")
        time.sleep(1)


def _trials(found: Scene) -> list[StoredTrial]:
    with Store.open(found.url) as store:
        return store.trials(STUDY) if store.study(STUDY) else []


def _states(found: Scene) -> Counter[TrialState]:
    return Counter(stored.trial.state for stored in _trials(found))


def _ended(found: Scene) -> int:
    return sum(count for state, count in _states(found).items() if state.ended)


def _verdict(found: Scene, seconds: float) -> dict[str, Any]:
    """What the rows say: every number once, every outcome told once, in one order without a gap."""
    trials = _trials(found)
    told = sorted(stored.trial.told for stored in trials if stored.trial.told is not None)
    return {
        "seconds": round(seconds),
        "faults": dict(found.faults),
        "trials": {state.value: count for state, count in _states(found).items()},
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
    ended = _ended(found)
    command = [sys.executable, "-c", "from nas.cli.main import main; main()", *_SEARCH, "--trials", str(ended)]
    command += ["--storage", str(found.folder / "weights")]
    environment = {**found.cluster.environment, "NAS_STORE": found.url}
    run = subprocess.run(command, cwd=found.folder, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        print(run.stderr[-500:], file=sys.stderr)
    return run.returncode == 0
