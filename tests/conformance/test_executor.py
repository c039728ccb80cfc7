"""What every executor does: each trial once, failures as values, lost workers' trials again."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nas.errors import NasError, StudyError
from nas.executors.inline import InlineExecutor
from nas.executors.local import LocalExecutor
from nas.executors.ray.cluster import RayCluster
from nas.executors.ray.executor import RayExecutor
from nas.layers import lower, total_macs
from nas.reward import make_reward
from nas.space import load_space
from nas.strategies.problem import Problem
from nas.strategies.registry import make_strategy
from nas.trial import Trial, TrialState
from tests.executor_helpers import Dying, Failing, Held, Instant, Stuck, formula
from tests.ray_cluster import wait_for

CLUSTER = RayCluster()
WITH_WORKERS = {
    "one local worker": LocalExecutor(1),
    "three local workers": LocalExecutor(3),
    "one worker of a cluster": RayExecutor(CLUSTER, 1),
}
EXECUTORS = {**WITH_WORKERS, "inline": InlineExecutor(), "inline, three together": InlineExecutor(group=3)}
EXECUTORS["two workers of a cluster"] = RayExecutor(CLUSTER, 2)
ROOT = Path(__file__).parents[2]


class Queue:
    """Hands out `count` trials and keeps what it hears."""

    def __init__(self, count, stop_at=None):
        space = load_space("mobilenet_v2")
        problem = Problem(space, lambda a: total_macs(lower(a)) / 1e6, 600.0, make_reward("hard", 600.0))
        strategy = make_strategy("random", problem, seed=1, trials=count)
        self.waiting = [Trial(number, strategy.ask(), 0, TrialState.RUNNING) for number in range(count)]
        self.stop_at = stop_at
        self.outcomes, self.reports, self.losses, self.places = {}, [], [], []

    def ask(self):
        return self.waiting.pop(0) if self.waiting else None

    def placed(self, trial, host, pid):
        self.places.append((trial.number, host, pid))

    def report(self, trial, epoch, metrics):
        self.reports.append((trial.number, epoch))
        return trial.number == self.stop_at

    def tell(self, trial, outcome):
        assert trial.number not in self.outcomes
        self.outcomes[trial.number] = (outcome, formula(trial))

    def lost(self, trial, reason):
        self.losses.append((trial.number, reason))
        if len(self.losses) < 50:
            self.waiting.append(trial)

    def idle(self): ...


@pytest.fixture(params=EXECUTORS)
def executor(request):
    return ready(EXECUTORS[request.param], request)


@pytest.fixture(params=WITH_WORKERS)
def with_workers(request):
    return ready(WITH_WORKERS[request.param], request)


def ready(executor, request):
    if isinstance(executor, RayExecutor):
        request.getfixturevalue("ray_nodes")  # this process is its driver
    return executor


def test_every_trial_is_evaluated_once_and_every_epoch_reported(executor):
    queue = Queue(7)
    executor.run(queue, Instant())
    assert sorted(queue.outcomes) == list(range(7))
    assert all(outcome.metrics["accuracy"] == expected for outcome, expected in queue.outcomes.values())
    assert sorted(queue.reports) == [(number, epoch) for number in range(7) for epoch in (1, 2)]


def test_an_exception_is_an_outcome_and_the_others_go_on(executor):
    queue = Queue(4)
    executor.run(queue, Failing())
    errors = {number: outcome.error for number, (outcome, _) in queue.outcomes.items()}
    assert errors == {0: None, 1: "ValueError: no luck with 1", 2: None, 3: "ValueError: no luck with 3"}


def test_what_the_user_has_to_mend_ends_the_search_and_the_trial_is_not_told(executor):
    queue = Queue(4)
    with pytest.raises(NasError, match="No space left on device"):
        executor.run(queue, Stuck(2))
    assert 2 not in queue.outcomes
    assert queue.losses == []


def test_a_trial_stops_when_its_report_is_answered_with_stop(executor):
    queue = Queue(3, stop_at=1)
    executor.run(queue, Instant())
    assert {number: outcome.state for number, (outcome, _) in queue.outcomes.items()} == {
        0: TrialState.COMPLETE,
        1: TrialState.STOPPED,
        2: TrialState.COMPLETE,
    }


def test_the_trial_of_a_killed_worker_is_told_as_lost_and_can_be_done_again(with_workers, tmp_path):
    queue = Queue(4)
    with_workers.run(queue, Dying(tmp_path, number=2, times=2))
    assert sorted(queue.outcomes) == [0, 1, 2, 3]
    assert [number for number, _ in queue.losses] == [2, 2]
    assert all(re.fullmatch(r"worker process \d+ .*died \(.+\)", reason) for _, reason in queue.losses)


def test_it_says_which_process_each_trial_was_given_to(with_workers):
    queue = Queue(4)
    with_workers.run(queue, Instant())
    assert sorted(number for number, _, _ in queue.places) == list(range(4))
    assert all(pid > 0 and host for _, host, pid in queue.places)
    assert os.getpid() not in {pid for _, _, pid in queue.places}


def test_workers_that_only_die_end_the_search(with_workers, tmp_path, monkeypatch):
    monkeypatch.setattr("nas.executors.outcome._DEATHS", 2)  # workers take a second to start
    queue = Queue(1)
    with pytest.raises(StudyError, match="workers in a row died"):
        with_workers.run(queue, Dying(tmp_path, number=0, times=10**6))


ORPHANS = """
from tests.conformance.test_executor import Queue
from tests.executor_helpers import Held
from nas.executors.local import LocalExecutor
if __name__ == "__main__":
    import pathlib, sys
    LocalExecutor(2).run(Queue(2), Held(pathlib.Path(sys.argv[1])))
"""


def test_workers_do_not_outlive_a_killed_search(tmp_path):
    held = Held(tmp_path)
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    search = subprocess.Popen([sys.executable, str(script), str(tmp_path)], cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    try:
        wait_for(lambda: len(held.running()) == 2, "two trials that run")
    finally:
        search.kill()
        search.wait()
    try:
        wait_for(lambda: not any(map(lives, held.running().values())), "the end of the workers")
    finally:
        held.release()


def lives(pid):
    """Whether the process is there, and not one that has ended and that nobody has asked for yet."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
