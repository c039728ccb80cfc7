"""`RayCluster`: which cluster runs the trials, and `connected`: this process as its driver."""

import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from typing import Any

from nas.errors import ClusterError

_CONNECT_SECONDS = 10.0
_ROOM_SECONDS = 30.0  # for the nodes of a cluster that is just starting
_CLIENT = "ray://"
_QUIET = {  # read when ray is imported; what the user has set stays
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a worker without GPUs does not hide those of its host; no warning
    "RAY_AUTH_MODE": "token",
}


@dataclass(frozen=True, slots=True)
class RayCluster:
    """A cluster, and what of it one trial takes.

    `address` is `auto` (the cluster of this host, or that of RAY_ADDRESS), `HOST:PORT` of a cluster that this host is a
    node of, or `ray://HOST:PORT`, from anywhere.
    """

    address: str = "auto"
    cpus_per_trial: float = 1.0
    gpus_per_trial: float = 0.0
    storage: str | None = None  # that all hosts reach; needed where there are others


@contextmanager
def connected(cluster: RayCluster) -> Iterator[Any]:
    """The module `ray`, connected; a connection that was there before stays. Stdout is stderr meanwhile.

    Ray prints what happens to nodes on the driver's stdout, whatever its log level: into the result of a `--json`.

    Raises:
        ClusterError: ray is not installed, no such cluster, another version, a wrong token, or no node for a trial.
    """
    ray = _imported()
    _require_listener(cluster.address)
    with redirect_stdout(sys.stderr):
        ours = not ray.is_initialized()
        if ours:
            _connect(ray, cluster.address)
        try:
            _require_storage(ray, cluster)
            _require_room(ray, cluster)
            yield ray
        finally:
            if ours:
                ray.shutdown()


def _imported() -> Any:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray  # noqa: PLC0415 - slow, and an extra
    except ImportError as error:
        raise ClusterError(f"--ray needs Ray ({error}); try `pip install 'nas[ray]'`") from None
    return ray


def _connect(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        ray.init(address, **quiet)
        _silence()
    except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise ClusterError(f"Ray cluster {address}: {reason(error)}") from None


def _silence() -> None:
    """Ray prints each death of a worker on the driver's terminal, whatever its log level; we say it in our words."""
    with suppress(ImportError, AttributeError):  # not a public name; without it there is more to read, no harm
        from ray._private.ray_logging import global_worker_stdstream_dispatcher  # noqa: PLC0415

        global_worker_stdstream_dispatcher.remove_handler("ray_print_logs")


def reason(error: BaseException) -> str:
    """One line of what Ray says in several."""
    text = " ".join(str(error).split())
    if type(error).__name__ == "AuthenticationError" or "uthentication" in text:
        return (
            "the cluster's token is missing or wrong; set RAY_AUTH_TOKEN to that of the cluster, or RAY_AUTH_MODE to "
            "disabled if it has none"
        )
    if "Failed to connect to Ray cluster" in text:  # all that it says of a wrong token, too
        return "does not answer; is it still running, and is RAY_AUTH_TOKEN (or ~/.ray/auth_token) its token?"
    if "ersion mismatch" in text:
        return f"{text}; expected the same versions of Ray and Python here as on the cluster"
    if "Could not find any running Ray instance" in text:
        return "none runs on this host; start one by `ray start --head`, or give HOST:PORT or ray://HOST:10001"
    return text or type(error).__name__


def _require_listener(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.removeprefix(_CLIENT).rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdecimal():
        raise ClusterError(f"{address!r} is no Ray cluster; expected auto, HOST:PORT or ray://HOST:10001")
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"Ray cluster {address}: cannot be reached ({error}); is it up, and the port open?"
        ) from None


def _require_storage(ray: Any, cluster: RayCluster) -> None:
    """Weights that a worker writes into a folder of its own host would be lost."""
    others = {node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]} - {socket.gethostname()}
    if others and cluster.storage is None:
        raise ClusterError(
            f"Ray cluster {cluster.address} has nodes on other hosts ({', '.join(sorted(others)[:3])}); expected "
            f"--storage with a folder or URL for weights that all of them reach"
        )


def _require_room(ray: Any, cluster: RayCluster) -> None:
    """Some node is large enough for a trial, were it free."""
    needed = {"CPU": cluster.cpus_per_trial, "GPU": cluster.gpus_per_trial}
    end = time.monotonic() + _ROOM_SECONDS
    while True:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if any(all(node.get(kind, 0) >= amount for kind, amount in needed.items()) for node in nodes):
            return
        if time.monotonic() > end:
            break
        time.sleep(0.5)
    largest = ", ".join(f"{max((node.get(kind, 0) for node in nodes), default=0):g} {kind}s" for kind in needed)
    wanted = ", ".join(f"{amount:g} {kind}s" for kind, amount in needed.items())
    raise ClusterError(
        f"Ray cluster {cluster.address}: no node has room for a trial of {wanted}; the most that one has: {largest} "
        f"(of a cluster that starts nodes on demand, one must be there: min_workers: 1)"
    )
