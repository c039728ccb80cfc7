"""`--ray` and what belongs to it, for every command that trains on many machines."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any

import click

from nas.cli.options import cores
from nas.errors import NasError
from nas.executors.ray.cluster import RayCluster, connected

_MOST_AT_ONCE = 64  # actors of a cluster; what has no room there waits
_OPTIONS = (
    click.option(
        "--ray", "address", metavar="ADDRESS", help="Train on a Ray cluster: auto, HOST:PORT or ray://HOST:10001."
    ),
    click.option("--gpus-per-trial", type=click.FloatRange(0), help="Of the cluster; 0.5: two trials share one."),
    click.option("--storage", metavar="PLACE", help="Folder or URL for weights.  [default: beside the store]"),
    click.option("--cpus-per-trial", type=click.FloatRange(0), help="Of the cluster.  [default: --threads]"),
)


def ray_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, as its argument `cluster`: a RayCluster, or None for processes of this host."""

    @wraps(command)
    def with_cluster(
        *, address: str | None, gpus_per_trial: float | None, cpus_per_trial: float | None, **options: Any
    ) -> None:
        if address is None and (gpus_per_trial is not None or cpus_per_trial is not None):
            raise NasError("--gpus-per-trial and --cpus-per-trial are about a Ray cluster; expected --ray, too")
        cpus = float(options.get("threads", 1)) if cpus_per_trial is None else cpus_per_trial
        asked = cpus, gpus_per_trial or 0.0, options.get("storage")
        command(cluster=None if address is None else RayCluster(address, *asked), **options)

    for option in reversed(_OPTIONS):
        with_cluster = option(with_cluster)
    return with_cluster


def reached(cluster: RayCluster | None) -> AbstractContextManager[Any]:
    """Connected to the cluster, if there is one to be: before a study is begun, or a supernet trained for hours."""
    return nullcontext() if cluster is None else connected(cluster)


def default_workers(cluster: RayCluster | None) -> int:
    """One a core of this host; of a cluster, which knows its own room, many."""
    return cores() if cluster is None else _MOST_AT_ONCE
