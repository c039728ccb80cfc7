"""Exact resume: a study that is killed anywhere goes on to the decisions that the unbroken one would have made."""

import signal
import time
from random import Random

import pytest

from nas.errors import StudyError
from nas.store.owners import this_process
from nas.store.store import Store
from nas.strategies.registry import STRATEGIES, make_strategy
from nas.study import software_versions
from nas.trial import Outcome, TrialState
from tests.disturbed_driver import started
from tests.executor_helpers import formula
from tests.study_helpers import PROBLEM, drive, open_study, record

TRIALS = 9


def schedule(seed):
    """What happens, in order, when three workers finish out of order: None asks, a number ends that trial."""
    rng, running, asked, events = Random(seed), [], 0, []
    while asked < TRIALS or running:
        if asked < TRIALS and len(running) < 3 and (not running or rng.random() < 0.6):
            running.append(asked)
            events.append(None)
            asked += 1
        else:
            events.append(running.pop(rng.randrange(len(running))))
    return events


def follow(study, events, running):
    """Let the events happen; `running` are the trials that run, by number."""
    for event in events:
        if event is None:
            trial = study.ask()
            running[trial.number] = trial
        else:
            trial = running.pop(event)
            study.tell(trial, Outcome({"accuracy": formula(trial)}))


def unbroken(folder, strategy, events):
    with Store.open(folder / "whole.db") as store:
        with open_study(store, strategy=strategy, trials=TRIALS) as study:
            follow(study, events, {})
        return record(store), [(s.trial.asked_after, s.trial.told) for s in store.trials("s")]


def broken(folder, strategy, events, cut):
    """The same, but the driver vanishes after `cut` events, without a word to the database."""
    with Store.open(folder / f"{cut}.db") as store:
        running = {}
        follow(open_study(store, strategy=strategy, trials=TRIALS).__enter__(), events[:cut], running)
        with open_study(store, strategy=strategy, trials=TRIALS) as study:
            again = {trial.number: trial for trial in (study.ask() for _ in running)}
            assert sorted(again) == sorted(running)  # what ran is queued again, before anything new
            follow(study, events[cut:], again)
        assert store.study_summary("s")[TrialState.COMPLETE] == TRIALS
        return record(store), [(s.trial.asked_after, s.trial.told) for s in store.trials("s")]


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_every_point_of_a_study_with_three_workers_it_goes_on_as_the_unbroken_one(tmp_path, seed):
    events = schedule(seed)
    whole = unbroken(tmp_path, "evolution", events)
    for cut in range(len(events)):
        assert broken(tmp_path, "evolution", events, cut) == whole, f"killed after {cut} events"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_goes_on_as_the_unbroken_one(tmp_path, strategy):
    events = schedule(2)
    whole = unbroken(tmp_path, strategy, events)
    for cut in (5, 14):
        assert broken(tmp_path, strategy, events, cut) == whole, f"killed after {cut} events"


def test_trials_of_a_driver_on_another_host_wait_until_its_lease_has_ended(tmp_path):
    with Store.open(tmp_path / "trials.db") as store:
        with open_study(store) as study:
            lost = [study.ask().number for _ in range(3)]
            store.release("s", this_process())
            store.claim("s", "elsewhere:1:1", lease_seconds=60)
            for number in lost:
                store.start("s", number, {})
        with pytest.raises(StudyError, match="driven by process 1 on elsewhere"), open_study(store):
            pass
        assert store.study_summary("s")[TrialState.RUNNING] == 3
        store.heartbeat("s", "elsewhere:1:1", lease_seconds=0)
        with open_study(store) as study:
            assert [study.ask().number for _ in lost] == lost


def test_killed_by_the_system_at_a_few_moments(tmp_path):
    _kill_again_and_again(tmp_path, kills=3, trials=60, longest=0.25)


@pytest.mark.long
def test_killed_by_the_system_at_fifty_moments(tmp_path):
    _kill_again_and_again(tmp_path, kills=50, trials=1500, longest=1.0)


def _kill_again_and_again(folder, kills, trials, longest):
    url, acknowledged, rng = str(folder / "trials.db"), {}, Random(5)
    for _ in range(kills):
        driver = started(url, trials)
        assert driver.stdout.readline() == "begun\n"
        time.sleep(rng.random() * longest)
        driver.send_signal(signal.SIGKILL)
        _note(driver.communicate()[0], acknowledged, url)
    driver = started(url, trials)
    out, err = driver.communicate(timeout=300)
    assert driver.returncode == 0, err
    _note(out, acknowledged, url)
    with Store.open(url) as store:
        recorded = store.trials("s")
    assert [s.trial.number for s in recorded] == list(range(trials))
    assert {s.trial.state for s in recorded} == {TrialState.COMPLETE}
    assert len({s.trial.proposal.architecture.id for s in recorded}) == trials
    assert sorted(s.trial.told for s in recorded) == list(range(trials))
    _require_what_the_unbroken_would_have_proposed(recorded)


def _note(out, acknowledged, url):
    """What was acknowledged before is there as it was, and was not done again; then add what was acknowledged now."""
    told = [int(line.split()[1]) for line in out.splitlines() if line.startswith("told ")]
    assert not acknowledged.keys() & set(told), "done twice"
    assert len(set(told)) == len(told), "done twice"
    with Store.open(url) as store:
        there = {s.trial.number: (s.trial.told, s.trial.accuracy) for s in store.trials("s") if s.trial.state.ended}
    assert acknowledged.items() <= there.items()
    assert set(told) <= there.keys(), "lost"
    acknowledged.update(there)


def _require_what_the_unbroken_would_have_proposed(recorded):
    """Ask a strategy that was never interrupted, and tell it the outcomes in the order in which they came."""
    strategy, told = make_strategy("evolution", PROBLEM, seed=3, trials=12), 0
    outcomes = sorted((s.trial for s in recorded), key=lambda trial: trial.told)
    for stored in recorded:
        for trial in outcomes[told : stored.trial.asked_after]:
            strategy.tell(trial)
        told = stored.trial.asked_after
        assert strategy.ask() == stored.trial.proposal


def test_a_study_whose_decisions_changed_says_so_instead_of_going_on(tmp_path):
    with Store.open(tmp_path / "trials.db") as store:
        with open_study(store, seed=3) as study:
            drive(study, Random(0), workers=1, stop_after=3)
        with (
            pytest.raises(StudyError, match=r"trial 0 would now be another network; the data, the code or a .*--study"),
            open_study(store, seed=4),
        ):
            pass


def test_a_study_whose_decisions_changed_names_the_packages_that_did(tmp_path, monkeypatch):
    with Store.open(tmp_path / "trials.db") as store:
        with open_study(store, seed=3) as study:
            drive(study, Random(0), workers=1, stop_after=3)
        today = {**software_versions(), "numpy": "9.9"}
        monkeypatch.setattr("nas.study.software_versions", lambda: today)
        with open_study(store, seed=3) as study:
            assert study.ask() is not None  # another version alone changes no decision
        with (
            pytest.raises(StudyError, match=r"; changed since: numpy \([0-9.]+, now 9\.9\)\. Go on with what"),
            open_study(store, seed=4),
        ):
            pass
