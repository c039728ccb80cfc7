"""What a search on a cluster survives: nodes that vanish and join, workers that hang, a driver that is killed."""

import json
import os
import signal
import time
from collections import Counter

import pytest

from nas.executors.ray import pool
from nas.executors.ray.cluster import RayCluster
from nas.executors.ray.executor import RayExecutor
from nas.trial import TrialState
from tests.conformance.test_executor import Queue
from tests.executor_helpers import Held
from tests.integration.test_search import SEARCH, finish, start, states, wait_for


class Disturbed(Queue):
    """Goes one step through `plan`, a generator, each time that the executor waits."""

    def __init__(self, count, plan):
        super().__init__(count)
        self.plan = plan(self)
        self.end = time.monotonic() + 300

    def idle(self):
        next(self.plan, None)
        assert time.monotonic() < self.end, f"hangs; told: {sorted(self.outcomes)}, lost: {self.losses}"


@pytest.fixture
def held(tmp_path):
    return Held(tmp_path)


def run(queue, evaluator, workers):
    RayExecutor(RayCluster(), workers).run(queue, evaluator)
    assert sorted(queue.outcomes) == list(range(len(queue.outcomes)))


def test_a_node_that_joins_is_used_and_the_trial_of_one_that_vanishes_is_done_elsewhere(ray_nodes, held):
    def plan(queue):
        while len(held.running()) < 2:  # one on each node
            yield
        ray_nodes.add()
        while len(held.running()) < 3:
            yield
        ray_nodes.kill(ray_nodes.node_of(held.running()[0]))
        while not queue.losses:
            yield
        held.release()

    queue = Disturbed(6, plan)
    run(queue, held, workers=4)
    assert [number for number, _ in queue.losses] == [0]
    assert "died" in queue.losses[0][1]
    assert held.begun() == Counter({0: 2, **dict.fromkeys(range(1, 6), 1)})


def test_a_worker_without_a_sign_of_life_loses_its_trial(ray_nodes, held, monkeypatch):
    def plan(queue):
        while 0 not in held.running():
            yield
        os.kill(held.running()[0], signal.SIGSTOP)
        monkeypatch.setattr(pool, "PULSE_SECONDS", 0.0)
        monkeypatch.setattr(pool, "LEASE_SECONDS", 2.0)
        while 0 not in dict(queue.losses):
            yield
        held.release()

    queue = Disturbed(3, plan)
    run(queue, held, workers=2)
    assert "gave no sign of life for 2 s" in dict(queue.losses)[0]


@pytest.mark.long  # three whole searches on images
def test_a_driver_that_was_killed_is_followed_by_one_that_decides_as_an_unbroken_local_search(ray_nodes, tmp_path):
    options = (*SEARCH, "--trials", "3", "--workers", "1", "--json")
    local, remote = tmp_path / "local", tmp_path / "remote"
    local.mkdir()
    remote.mkdir()
    expected = json.loads(finish(local, *options))
    first = start(remote, *options, "--ray", ray_nodes.address)
    wait_for(first, lambda: states(remote).get(TrialState.COMPLETE, 0) >= 1)
    first.kill()
    first.communicate()
    second = json.loads(finish(remote, *options, "--ray", ray_nodes.client_address))  # as from anywhere
    assert decisions(second) == decisions(expected)
    assert second["trials"]["complete"] == len(decisions(expected)) == 3
    assert len(list(remote.glob("runs/*/trial-*.safetensors"))) == 3


def decisions(found):
    return {trial["trial"]: (trial["architecture"], trial["accuracy"]) for trial in found["top"]}
