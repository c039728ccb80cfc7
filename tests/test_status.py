"""`nas status`: what the rows of a study say of its pace, its driver and its workers."""

import json
import os
import socket
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from nas import study as study_module
from nas.cli import status
from nas.cli.main import nas
from nas.store import leases
from nas.store.owners import this_process
from nas.store.schema import studies, trials
from nas.store.store import Store
from nas.trial import Outcome, TrialState
from tests.study_helpers import drive, open_study

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)


@pytest.fixture
def store(store_url):
    with Store.open(store_url) as opened:
        opened.create_study("s", {"trials": 12, "budget_ms": 300.0})
        yield opened


@pytest.fixture
def study(store):
    """Four trials: two ended on one worker, one runs on another, one still has no place."""
    with open_study(store) as opened:
        asked = [opened.ask() for _ in range(4)]
        for trial in asked[:2]:
            opened.placed(trial, "hydra", 12)
            opened.tell(trial, Outcome({"accuracy": 0.5 + trial.number / 10}))
        opened.placed(asked[2], "phoenix", 7)
        opened.idle()
        yield opened


def set_times(store, monkeypatch, ends):
    """It is NOW; the study began an hour ago, and its trials ended so many seconds ago."""
    monkeypatch.setattr(leases, "clock", lambda connection: NOW)
    with store._database.write() as connection:
        begun = {"created_at": NOW - timedelta(hours=1), "lease_until": NOW + timedelta(seconds=50)}
        connection.execute(sa.update(studies).values(**begun, heartbeat_at=NOW - timedelta(seconds=10)))
        connection.execute(sa.update(trials).values(started_at=NOW - timedelta(seconds=5000)))
        for number, seconds in enumerate(ends):
            ended = {"ended_at": NOW - timedelta(seconds=seconds)}
            connection.execute(sa.update(trials).where(trials.c.number == number).values(**ended))


def test_workers_are_those_that_run_trials_or_ended_one_lately(store, study, monkeypatch):
    set_times(store, monkeypatch, (900, 300))
    found = store.activity("s")
    assert [(w.host, w.pid, len(w.running), w.ended) for w in found.workers[:1]] == [("hydra", 12, 0, 1)]
    assert ("phoenix", 7, 1, 0) in [(w.host, w.pid, len(w.running), w.ended) for w in found.workers]
    assert found.workers[0].seen_at == NOW - timedelta(seconds=300)
    set_times(store, monkeypatch, (900, 700))
    assert "hydra" not in [w.host for w in store.activity("s").workers]


def test_a_short_trial_is_two_transactions(store):
    """Its place is recorded with its outcome."""
    with open_study(store) as opened:
        committed = []
        sa.event.listen(store._database.engine, "commit", committed.append)
        trial = opened.ask()
        opened.placed(trial, "hydra", 12)
        opened.tell(trial, Outcome({"accuracy": 0.5}))
        assert len(committed) == 2
    (stored,) = store.trials("s")
    assert (stored.host, stored.pid) == ("hydra", 12)


def test_the_place_of_a_lost_trial_is_forgotten(store):
    with open_study(store) as opened:
        trial = opened.ask()
        opened.placed(trial, "hydra", 12)
        opened.lost(trial, "hydra went away")
        again = opened.ask()
        assert again.number == trial.number
        opened.idle()
        opened.tell(again, Outcome({"accuracy": 0.5}))
    (stored,) = store.trials("s")
    assert (stored.host, stored.pid) == (socket.gethostname(), os.getpid())


def test_a_trial_that_lost_three_workers_failed_at_the_place_of_the_last(store):
    with open_study(store) as opened:
        for pid in (12, 13, 14):
            trial = opened.ask()
            opened.placed(trial, "hydra", pid)
            opened.lost(trial, "hydra went away")
    (stored,) = store.trials("s")
    assert (stored.trial.state, stored.host, stored.pid) == (TrialState.FAILED, "hydra", 14)


def test_places_of_running_trials_are_written_together_and_not_at_each_tick(store, monkeypatch):
    monkeypatch.setattr(study_module, "_PLACING_SECONDS", 1e9)
    with open_study(store) as opened:
        first, second, third = (opened.ask() for _ in range(3))
        committed = []
        sa.event.listen(store._database.engine, "commit", committed.append)
        opened.placed(first, "hydra", 12)
        opened.placed(second, "hydra", 13)
        opened.idle()
        assert len(committed) == 1
        opened.placed(third, "hydra", 14)
        opened.idle()
        assert [stored.pid for stored in store.trials("s")] == [12, 13, os.getpid()]
        monkeypatch.setattr(study_module, "_PLACING_SECONDS", 0)
        opened.idle()
        assert [stored.pid for stored in store.trials("s")] == [12, 13, 14]


@pytest.mark.parametrize(
    ("ends", "per_hour"),
    [
        ((400, 200), 1 / 400 * 3600),  # one ended since the first of all did, whose own time is not known
        ((900, 300), 1 / 600 * 3600),  # nothing ended between
        ((900, 700), None),
    ],
)
def test_the_recent_pace_counts_outcomes_of_ten_minutes(store, study, monkeypatch, ends, per_hour):
    set_times(store, monkeypatch, ends)
    found = store.activity("s")
    assert found.recent_per_hour == (None if per_hour is None else pytest.approx(per_hour))
    assert found.per_hour == pytest.approx(2 / (3600 - ends[-1]) * 3600)
    if per_hour:
        assert found.estimated_end(12) == NOW + timedelta(hours=10 / per_hour)
    assert found.estimated_end(2) is None


def test_reused_outcomes_are_no_pace(store):
    for name, trained in (("donor", 5), ("heir", 3)):
        with open_study(store, name=name, fidelity="the same") as opened:
            drive(opened, Random(0), workers=1, stop_after=trained)
    found = store.activity("heir")
    assert (found.ended, found.reused) == (8, 5)
    assert found.per_hour == pytest.approx(3 / ((found.last_end - found.created_at) / timedelta(hours=1)))


def test_a_driver_that_fell_silent_is_none(store, study, monkeypatch):
    set_times(store, monkeypatch, (400, 200))
    driver = store.activity("s").driver
    assert f"{driver.host}:{driver.pid}" == ":".join(this_process().split(":")[:2])
    assert (NOW - driver.heartbeat_at).total_seconds() == 10
    monkeypatch.setattr(leases, "clock", lambda connection: NOW + timedelta(minutes=2))
    assert store.activity("s").driver is None
    assert store.activity("s").estimated_end(12) is None


def test_status_as_people_and_as_programs_read_it(store_url, store, study, monkeypatch):
    set_times(store, monkeypatch, (400, 200))
    shown = CliRunner().invoke(nas, ["status", "s", "--store", store_url], catch_exceptions=False).stdout
    assert "2/12 ended (2 running, 2 complete)" in shown
    assert "9 trials an hour (2 since it began), ends about 2026-11-22 06:06 UTC" in shown
    assert "12 on hydra: idle, last at work 200 s ago; 2 ended recently" in shown
    assert ", heartbeat 10 s ago" in shown
    (record,) = json.loads(CliRunner().invoke(nas, ["status", "--json", "--store", store_url]).stdout)
    assert record["best"]["accuracy"] == 0.6
    assert record["planned"] == 12


def test_watching_prints_each_change_and_ends_with_the_study(store_url, store, monkeypatch):
    study = open_study(store, trials=12).__enter__()
    steps = iter([lambda: None, study.ask, lambda: None])

    def sleep(seconds):
        step = next(steps, None)
        if step is not None:
            step()
            return
        while (trial := study.ask()) is not None:
            study.tell(trial, Outcome({"accuracy": 0.5}))
        study.tell(store.trials("s")[0].trial, Outcome({"accuracy": 0.6}))
        study.__exit__(None, None, None)

    monkeypatch.setattr(status.time, "sleep", sleep)
    shown = CliRunner().invoke(nas, ["status", "s", "--watch", "--store", store_url], catch_exceptions=False)
    lines = shown.stdout.splitlines()
    assert len(lines) == 3, shown.stdout
    assert "s: 0/12 ended (none begun); none within the budget yet; process" in lines[0]
    assert "0/12 ended (1 running)" in lines[1]
    assert "12/12 ended (12 complete); 60.00%" in lines[2]
    assert lines[2].endswith("; none")


def test_an_unknown_study_is_one_line(store_url, store):
    failed = CliRunner().invoke(nas, ["status", "other", "--store", store_url])
    assert "no study 'other'" in str(failed.exception)
