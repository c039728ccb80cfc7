"""Studies: what is recorded, and that a stopped study goes on as the unbroken one would have."""

import subprocess
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import StudyError
from nas.executors.local import LocalExecutor
from nas.layers import lower, total_macs
from nas.stopping import SuccessiveHalving
from nas.store.owners import this_process
from nas.store.store import Store
from nas.trial import Outcome, TrialState
from tests.executor_helpers import Dying, formula
from tests.study_helpers import BUDGET_MS, drive, latency_ms, open_study, record


@pytest.fixture
def store(store_url):
    with Store.open(store_url) as store:
        yield store


def test_a_study_records_every_trial_with_its_latency_and_sizes(store):
    with open_study(store) as study:
        drive(study, Random(0), workers=1)
    recorded = store.trials("s")
    assert [s.trial.number for s in recorded] == list(range(12))
    for s in recorded:
        assert s.trial.state is TrialState.COMPLETE
        assert s.trial.accuracy == formula(s.trial)
        assert s.latency_ms == latency_ms(s.trial.proposal.architecture) <= BUDGET_MS
        assert s.macs == total_macs(lower(s.trial.proposal.architecture))
        assert s.versions["nas"]


@given(stop=st.integers(0, 11), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_with_three_workers_what_ran_is_queued_again_and_nothing_is_proposed_twice(tmp_path_factory, stop, seed):
    with Store.open(tmp_path_factory.mktemp("study") / "trials.db") as store:
        with open_study(store) as study:
            drive(study, Random(seed), workers=3, stop_after=stop)
        before = record(store)
        assert store.study_summary("s")[TrialState.RUNNING] == 0
        with open_study(store) as study:
            drive(study, Random(seed + 1), workers=3)
        after = record(store)
        assert after[: len(before)] == before
        assert len({architecture for _, architecture, _ in after}) == len(after) == 12
        assert store.study_summary("s")[TrialState.COMPLETE] == 12


def drive_epochs(study, stop_after=None):
    """Run trials of four epochs, one after the other; gives the number of those that ended early."""
    told = 0
    while told != stop_after and (trial := study.ask()) is not None:
        for epoch in range(1, 5):
            metrics = {"accuracy": formula(trial) * epoch / 4}
            if study.report(trial, epoch, metrics) and epoch < 4:
                break
        study.tell(trial, Outcome(metrics, stopped=epoch < 4))
        told += 1


@pytest.mark.parametrize("stop", [0, 3, 5, 11])
def test_a_resumed_study_stops_the_trials_that_the_unbroken_one_would_have(tmp_path, stop):
    ended = []
    for name, breaks in (("whole", [None]), ("broken", [stop, None])):
        with Store.open(tmp_path / f"{name}.db") as store:
            for stop_after in breaks:
                with open_study(store, strategy="surrogate", stopping=SuccessiveHalving(4)) as study:
                    drive_epochs(study, stop_after)
            ended.append([(s.trial.proposal, s.trial.state, s.trial.outcome) for s in store.trials("s")])
    assert ended[0] == ended[1]
    assert {state for _, state, _ in ended[0]} == {TrialState.COMPLETE, TrialState.STOPPED}


def test_more_trials_can_be_asked_of_a_finished_study(store):
    with open_study(store, trials=5) as study:
        drive(study, Random(0), workers=1)
    with open_study(store, trials=20) as study:
        drive(study, Random(0), workers=1)
    assert store.study_summary("s")[TrialState.COMPLETE] == 20


def test_a_driver_that_dies_again_and_again_never_fails_a_trial(store):
    for _ in range(5):
        with open_study(store, trials=1) as study:
            assert study.ask().number == 0
    with open_study(store, trials=1) as study:
        drive(study, Random(0), workers=1)
    assert store.study_summary("s")[TrialState.COMPLETE] == 1
    assert store.trials("s")[0].lost == 0


def test_a_trial_whose_worker_dies_three_times_has_failed_with_the_reason(store):
    with open_study(store, trials=2) as study:
        for _ in range(3):
            trial = study.ask()
            assert trial.number == 0
            study.lost(trial, "worker process 7 died (killed by SIGKILL)")
        drive(study, Random(0), workers=1)
    failed, complete = store.trials("s")
    assert failed.trial.state is TrialState.FAILED
    assert "SIGKILL" in failed.trial.outcome.error
    assert complete.trial.state is TrialState.COMPLETE
    with open_study(store, trials=4) as study:
        drive(study, Random(0), workers=1)
    assert store.study_summary("s")[TrialState.COMPLETE] == 3


def test_a_driver_that_was_replaced_leaves_the_trials_of_the_new_one_alone(store):
    store.create_study("s", {})
    with open_study(store) as study:
        mine = study.ask()
        store.release("s", this_process())
        store.claim("s", "elsewhere:1:1", 60)
        store.start("s", mine.number, {})
    (trial,) = store.trials("s")
    assert trial.trial.state is TrialState.RUNNING
    with pytest.raises(StudyError, match="driven by process 1 on elsewhere"):
        store.claim("s", this_process(), 60)


def test_a_suspended_driver_of_this_machine_keeps_its_study_though_its_lease_ran_out(store):
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        store.create_study("s", {})
        here = this_process().partition(":")[0]
        stat = Path(f"/proc/{sleeper.pid}/stat").read_text().rpartition(")")[2].split()
        store.claim("s", f"{here}:{sleeper.pid}:{stat[19]}", -1)
        with pytest.raises(StudyError, match=f"driven by process {sleeper.pid}"), open_study(store):
            pass
    finally:
        sleeper.kill()
        sleeper.wait()
    with open_study(store):
        pass


def test_one_network_that_always_kills_its_worker_does_not_end_the_search(store, tmp_path):
    with open_study(store, trials=3) as study:
        LocalExecutor(1).run(study, Dying(tmp_path, number=1, times=99))
    assert [s.trial.state for s in store.trials("s")] == [TrialState.COMPLETE, TrialState.FAILED, TrialState.COMPLETE]


def test_a_study_that_another_process_drives_is_refused(store):
    store.create_study("s", {})
    store.claim("s", "elsewhere:1:1", 60)
    with pytest.raises(StudyError, match="driven by process 1 on elsewhere"), open_study(store):
        pass


# Outcomes of other studies


class Heard:
    """What a strategy hears."""

    def __init__(self, study):
        self.told, tell = [], study._strategy.tell
        study._strategy.tell = lambda trial: (self.told.append(trial), tell(trial))


def test_a_network_that_another_study_has_trained_is_not_trained_again_and_says_whose_outcome_it_has(store):
    with open_study(store, name="first", fidelity="3 epochs", trials=6) as study:
        drive(study, Random(0), workers=1)
    with open_study(store, fidelity="3 epochs", trials=8) as study:  # the same seed: the same proposals
        heard, trial = Heard(study), study.ask()
        assert trial.number == 6
        assert [t.number for t in heard.told] == list(range(6))
        study.tell(trial, Outcome({"accuracy": 0.5}))
        drive(study, Random(0), workers=1)
    first, second = store.trials("first"), store.trials("s")
    assert [s.source for s in second] == [*(s.id for s in first), None, None]
    assert [s.trial.outcome for s in second[:6]] == [s.trial.outcome for s in first]
    assert record(store)[:6] == record(store, "first")


def test_a_study_with_reused_outcomes_is_resumed_like_any_other(store):
    with open_study(store, name="first", fidelity="f", trials=6) as study:
        drive(study, Random(0), workers=1)
    with open_study(store, fidelity="f") as study:
        drive(study, Random(0), workers=3, stop_after=2)
    before = record(store)
    with open_study(store, fidelity="f") as study:
        drive(study, Random(1), workers=3)
    assert record(store)[: len(before)] == before
    assert store.study_summary("s")[TrialState.COMPLETE] == 12


@pytest.mark.parametrize("fidelity", [None, "9 epochs"])
def test_at_another_fidelity_or_on_request_everything_is_trained(store, fidelity):
    with open_study(store, name="first", fidelity="3 epochs", trials=3) as study:
        drive(study, Random(0), workers=1)
    with open_study(store, fidelity=fidelity, trials=3) as study:
        assert study.ask().number == 0
