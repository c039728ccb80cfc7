"""A search on a Ray cluster of separate nodes on this host: `ray start` processes of their own, joined by a token."""

import json

import pytest

from nas.errors import ClusterError
from nas.executors.ray import cluster as cluster_module
from nas.executors.ray.cluster import RayCluster, connected
from tests.integration.test_search import SEARCH, finish
from tests.ray_cluster import free_port


def test_the_command_makes_the_decisions_of_one_local_worker_on_one_worker_of_a_cluster(ray_nodes, tmp_path):
    options = (*SEARCH, "--trials", "3", "--workers", "1", "--json")
    local, remote = tmp_path / "local", tmp_path / "remote"
    local.mkdir()
    remote.mkdir()
    here = json.loads(finish(local, *options))
    there = json.loads(finish(remote, *options, "--ray", ray_nodes.address))
    assert decisions(here) == decisions(there)
    assert len(decisions(here)) == 3
    weights = [path.name for path in remote.glob("runs/*/trial-*.safetensors")]
    assert sorted(weights) == [f"trial-{number}.safetensors" for number in range(3)]


def decisions(found):
    return {trial["number"]: (trial["architecture"], trial["accuracy"]) for trial in found["top"]}


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


def test_a_trial_that_fits_no_node_is_refused_with_what_there_is(ray_nodes, monkeypatch):
    monkeypatch.setattr(cluster_module, "_ROOM_SECONDS", 0.0)
    wanted = RayCluster(ray_nodes.address, cpus_per_trial=1, gpus_per_trial=1)
    with connected(RayCluster()) as ray, pytest.raises(ClusterError, match="1 GPUs; the most that one has: 1 CPUs, 0"):
        cluster_module._require_room(ray, wanted)
