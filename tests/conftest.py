"""Settings of the whole suite, made before torch is imported."""

import os
import resource
from contextlib import contextmanager
from itertools import count

import pytest

from tests import postgres, ray_cluster

# Two processes with several threads each, on cores that they share, wait for one another: many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_numbers = count()


def pytest_collection_modifyitems(items):
    """Tests on a Ray cluster come last: its dozen processes take time from all that runs beside them."""
    items.sort(key=lambda item: "test_ray" in item.nodeid or "of a cluster" in item.nodeid)


@pytest.fixture(scope="session")
def postgresql():
    """The URL of a PostgreSQL server that has a database `ready` at the newest schema; skips where none can run."""
    if reason := postgres.unavailable():
        pytest.skip(reason)
    from nas.store.store import Store  # noqa: PLC0415

    with postgres.server() as url:
        Store.open(postgres.database(url, "ready")).close()
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request, tmp_path):
    """A database of each kind, at the newest schema or not there yet."""
    if request.param == "sqlite":
        return str(tmp_path / "runs" / "trials.db")
    return postgres.database(request.getfixturevalue("postgresql"), f"test{next(_numbers)}", template="ready")


@pytest.fixture(scope="session")
def ray_nodes():
    """A Ray cluster of a head and two nodes of one CPU each, this process connected; skips where none can run."""
    if reason := ray_cluster.unavailable():
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_health_check_period_ms", "500")  # a dead node is noticed soon, whatever of it dies first
        with ray_cluster.cluster(nodes=2) as found:
            for name, value in found.environment.items():
                if name.startswith("RAY_"):
                    patch.setenv(name, value)
            from nas.executors.ray.cluster import RayCluster, connected  # noqa: PLC0415

            patch.setattr("nas.executors.ray.cluster._ROOM_SECONDS", 300.0)  # nodes join slowly on a busy machine
            with connected(RayCluster(found.address)):
                yield found


@pytest.fixture
def small_files():
    """`with small_files(n):` no file of this process can grow beyond n bytes there, as on a full disk."""

    @contextmanager
    def limited(size):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited
