"""A Ray cluster of several nodes on this host: each `ray start` is a session, which can be killed like a machine."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_enable_open_telemetry": "0"}
_STORE_BYTES = 80 * 2**20  # the smallest that Ray accepts, and a little
_START_SECONDS = 120


def unavailable() -> str | None:
    """Why no cluster can be started here; None if one can."""
    return None if find_spec("ray") else "ray is not installed"


class Cluster:
    """A head without room for trials, and nodes that can be added and killed; all trust `environment`'s token."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder  # short: sockets lie in it
        self.environment = {**os.environ, **_QUIET, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self.environment["PYTHONPATH"] = str(Path(__file__).parents[1])
        self.nodes: list[subprocess.Popen[bytes]] = []
        port, client = free_port(), free_port()
        self.address, self.client_address = f"127.0.0.1:{port}", f"ray://127.0.0.1:{client}"
        self._head = self._start(
            "head",
            "--head",
            f"--port={port}",
            f"--ray-client-server-port={client}",
            "--include-dashboard=false",
            cpus=0,
        )
        wait_for(lambda: _listens(port), "the head")

    def add(self, cpus: int = 1) -> subprocess.Popen[bytes]:
        """Start a node; it joins a little later."""
        node = self._start(f"n{len(self.nodes)}", f"--address={self.address}", cpus=cpus)
        self.nodes.append(node)
        return node

    @property
    def joined(self) -> bool:
        """Whether all nodes that were added have found the head."""
        logs = (self._folder / f"n{number}.log" for number in range(len(self.nodes)))
        return all("Ray runtime started" in log.read_text() for log in logs)

    def node_of(self, pid: int) -> subprocess.Popen[bytes]:
        """The node that a worker process lives on."""
        return next(node for node in self.nodes if node.pid == os.getsid(pid))

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """As when the machine loses its power."""
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()
        _kill_session(node.pid)

    def close(self) -> None:
        for node in [*self.nodes, self._head]:
            if node.poll() is None:
                self.kill(node)

    def _start(self, name: str, *options: str, cpus: int) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--block",
            *options,
        ]
        command += ["--node-ip-address=127.0.0.1", f"--num-cpus={cpus}", "--num-gpus=0", "--disable-usage-stats"]
        command += [f"--object-store-memory={_STORE_BYTES}", "--min-worker-port=0", "--max-worker-port=0"]
        command += [f"--temp-dir={self._folder / name}"]
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)


@contextmanager
def cluster(nodes: int, cpus: int = 1) -> Iterator[Cluster]:
    """A running cluster of so many nodes beside the head; all its processes are gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="nr", dir="/tmp"))
    found = None
    try:
        found = Cluster(folder)
        for _ in range(nodes):
            found.add(cpus)
        yield found
    finally:
        if found is not None:
            found.close()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition, what: str, seconds: float = _START_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _kill_session(session: int) -> None:
    """Ray's processes make groups of their own, but stay in the session."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                os.kill(int(stat.parent.name), signal.SIGKILL)
        except (OSError, ValueError, IndexError):
            continue  # it has just ended
