"""A search on a Ray cluster of separate nodes on this host: `ray start` processes of their own, joined by a token."""

import re

import pytest
from click.testing import CliRunner

from nas.cli.main import nas
from nas.errors import ClusterError
from nas.executors.local import LocalExecutor
from nas.executors.ray import cluster as cluster_module
from nas.executors.ray.cluster import RayCluster, connected
from nas.executors.ray.executor import RayExecutor
from nas.store.store import Store
from tests.conformance.test_executor import Queue
from tests.executor_helpers import Instant, Reading, Unprepared
from tests.ray_cluster import free_port
from tests.study_helpers import open_study, record


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("somewhere", "expected auto, HOST:PORT or ray://HOST:10001"),
        ("ray://127.0.0.1:{port}", "cannot be reached"),
        ("127.0.0.1:{port}", "cannot be reached"),
    ],
)
def test_an_address_that_is_no_cluster_is_one_line(address, message):
    with pytest.raises(ClusterError, match=message):
        cluster_module._require_listener(address.format(port=free_port()))


@pytest.mark.parametrize(
    "command", [["search", "--trials", "2"], ["adapt", "--from", "reference:mobilenet_v3_small", "--seed-epochs", "1"]]
)
def test_no_study_is_begun_before_the_cluster_is_reached(command, tmp_path):
    store = tmp_path / "trials.db"
    where = ["--data", "digits", "--budget", "10ms", "--ray", "somewhere", "--store", f"sqlite:///{store}"]
    failed = CliRunner().invoke(nas, [*command, *where])
    assert "no Ray cluster" in str(failed.exception)
    assert not store.exists()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("Could not find any running Ray instance. Please", "none runs on this host; start one by `ray start --head`"),
        ("Failed to connect to Ray cluster at 10.0.0.1:6379", "is RAY_AUTH_TOKEN .* its token"),
        (
            "Version mismatch: The cluster was started with:\n    Ray: 2.59.0\n",
            "Ray: 2.59.0; expected the same versions",
        ),
        ("Token authentication is enabled but no authentication token was found", "set RAY_AUTH_TOKEN to that of the"),
    ],
)
def test_what_ray_says_of_a_failed_connection_becomes_one_line(said, message):
    line = cluster_module.reason(RuntimeError(said))
    assert re.search(message, line)
    assert "\n" not in line


def test_a_trial_that_fits_no_node_is_refused_with_what_there_is(ray_nodes, monkeypatch):
    monkeypatch.setattr(cluster_module, "_ROOM_SECONDS", 0.0)
    wanted = RayCluster(ray_nodes.address, cpus_per_trial=1, gpus_per_trial=1)
    with pytest.raises(ClusterError, match="1 GPUs; the most that one has: 1 CPUs, 0"), connected(wanted):
        pytest.fail("there is no such node")


def test_nodes_of_other_hosts_are_refused_without_a_storage_for_weights(ray_nodes, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    with pytest.raises(ClusterError, match=r"nodes on other hosts .* expected --storage"), connected(RayCluster()):
        pytest.fail("their weights would be lost")
    with connected(RayCluster(storage="s3://bucket/weights")) as ray:
        assert ray.is_initialized()


def test_what_ray_says_of_its_nodes_stays_out_of_a_result(ray_nodes, capsys):
    worker = pytest.importorskip("ray._private.worker")
    with connected(RayCluster()):
        worker.print_to_stdstream({"lines": ["a node died"], "pid": "raylet", "is_err": False}, ignore_prefix=False)
    said = capsys.readouterr()
    assert "a node died" in said.err
    assert not said.out


def test_one_worker_of_a_cluster_and_one_of_this_host_make_the_same_decisions(ray_nodes, tmp_path):
    made = []
    for executor in (LocalExecutor(1), RayExecutor(RayCluster(), 1)):
        with Store.open(tmp_path / f"{len(made)}.db") as store:
            with open_study(store) as study:
                executor.run(study, Instant())
            told = [(stored.trial.told, stored.trial.outcome) for stored in store.trials("s")]
            made.append((record(store), told))
    assert made[0] == made[1]
    assert len(made[0][0]) == 12


def test_images_are_read_by_the_driver_and_lie_on_a_node_once(ray_nodes):
    queue = Queue(4)
    RayExecutor(RayCluster(cpus_per_trial=0.5), workers=4).run(queue, Reading())
    assert len(queue.outcomes) == 4
    for outcome, _ in queue.outcomes.values():
        assert outcome.metrics == {"images": 500, "read_here": 0, "copied": 0}  # a view of the node's shared memory


def test_what_no_worker_can_start_with_ends_the_search_in_one_line(ray_nodes):
    with pytest.raises(ClusterError, match=r"a worker of the cluster cannot start: .*no such images"):
        RayExecutor(RayCluster(), workers=1).run(Queue(1), Unprepared())
