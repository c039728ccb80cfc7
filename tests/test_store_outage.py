"""A database server that is stopped, killed or out of reach while a study goes on: nothing lost, nothing twice."""

import threading
from itertools import count
from random import Random

import pytest
import sqlalchemy as sa

from nas.errors import StoreError, StudyError
from nas.store import retry
from nas.store.owners import this_process
from nas.store.schema import receipts, trials
from nas.store.store import Sizes, Store
from nas.trial import Outcome, TrialState
from tests import postgres
from tests.disturbed_driver import told_by
from tests.study_helpers import drive, open_study, record

_numbers = count()


@pytest.fixture(scope="module")
def server():
    if reason := postgres.unavailable():
        pytest.skip(reason)
    with postgres.running() as found:
        yield found


@pytest.fixture
def store(server):
    with Store.open(postgres.database(server.url, f"outage{next(_numbers)}")) as opened:
        yield opened


class Cut:
    """Ends the connection of the store from the server's side, at the n-th statement of a kind from now on."""

    def __init__(self, store, after=0):
        self.left, self.cuts = after, 0
        self._engine = store._database.engine

    def end(self, connection):
        self.cuts += 1
        pid = connection.connection.driver_connection.info.backend_pid
        with self._engine.connect() as other:
            other.execute(sa.text("SELECT pg_terminate_backend(:pid, 60000)"), {"pid": pid})

    def before_commit(self, connection):
        self.end(connection)

    def before_statement(self, connection, cursor, statement, *rest):
        if not self.cuts and statement.startswith(("INSERT", "UPDATE", "DELETE")):
            self.left -= 1
            if self.left < 0:
                self.end(connection)


def cut_of_next_commit(store):
    cut = Cut(store)
    sa.event.listen(store._database.engine, "commit", cut.before_commit, once=True)
    return cut


def undisturbed(tmp_path, **options):
    with Store.open(tmp_path / "whole.db") as store:
        with open_study(store, **options) as study:
            drive(study, Random(5), workers=3)
        return record(store)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_study_goes_on_when_its_server_is_restarted(server, store, tmp_path, capsys, mode):
    """Stopped at every fifth outcome, and started again from another thread while the store waits."""
    with open_study(store) as study:
        rng, tell, told = Random(5), study.tell, []

        def restart_and_tell(trial, outcome):
            told.append(trial.number)
            if len(told) % 5 == 0:
                server.stop(mode)
                thread = threading.Timer(0.4, server.start)
                thread.start()
                tell(trial, outcome)
                thread.join()
            else:
                tell(trial, outcome)

        study.tell = restart_and_tell
        drive(study, rng, workers=3)
    assert record(store) == undisturbed(tmp_path)
    assert store.study_summary("s")[TrialState.COMPLETE] == 12
    assert [s.trial.told for s in store.trials("s")] == [told.index(number) for number in range(12)]
    said = capsys.readouterr().err
    assert "trying again for up to 300 s" in said
    assert "answers again after" in said


def test_a_commit_whose_answer_was_lost_is_not_repeated(store):
    """The server commits, and the connection breaks before the driver hears of it."""
    store.create_study("s", {})
    with open_study(store) as study:
        database, engine = store._database, store._database.engine
        commit = engine.dialect.do_commit

        def commit_and_break(connection):
            commit(connection)
            engine.dialect.do_commit = commit
            pid = connection.driver_connection.info.backend_pid
            with engine.connect() as other:
                other.execute(sa.text("SELECT pg_terminate_backend(:pid, 60000)"), {"pid": pid})
            connection.execute("SELECT 1")

        engine.dialect.do_commit = commit_and_break
        trial = study.ask()
        assert engine.dialect.do_commit == commit, "the connection was not cut"
        engine.dialect.do_commit = commit_and_break
        study.tell(trial, Outcome({"accuracy": 0.5}))
        assert engine.dialect.do_commit == commit
        engine.dialect.do_commit = commit_and_break
        with store.batch():
            trial = study.ask()
            study.tell(trial, Outcome({"accuracy": 0.6}))
        assert engine.dialect.do_commit == commit
        assert database.query(lambda c: c.execute(sa.select(sa.func.count()).select_from(trials)).scalar()) == 2
    assert [s.trial.accuracy for s in store.trials("s")] == [0.5, 0.6]


@pytest.mark.parametrize("after", range(7))
def test_every_statement_of_a_batch_may_be_the_last_of_its_connection(store, after):
    heard = []
    with open_study(store) as study:
        study._listener.started = heard.append
        drive(study, Random(1), workers=1, stop_after=1)
        cut = Cut(store, after)
        sa.event.listen(store._database.engine, "before_cursor_execute", cut.before_statement)
        with store.batch():
            drive(study, Random(1), workers=1, stop_after=3)
        assert cut.cuts == 1
        drive(study, Random(1), workers=1, stop_after=3)
    found = store.trials("s")
    assert [s.trial.told for s in found] == list(range(7))
    assert [s.id for s in found] == [entry.id for entry in heard], "people were told other ids"


def test_a_store_whose_server_stays_away_gives_up_once_in_one_line(server, store, monkeypatch, capsys):
    monkeypatch.setattr(retry, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(StoreError) as caught, open_study(store) as study:
        trial = study.ask()
        server.stop("fast")
        study.tell(trial, Outcome({"accuracy": 0.5}))
    server.start()
    assert "given up after" in str(caught.value)
    assert "the same command goes on from there" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().err.count("trying again") == 1, "giving the lease up waited once more"
    with open_study(store) as study:  # and so it does
        drive(study, Random(0), workers=1)
    assert store.study_summary("s")[TrialState.COMPLETE] == 12


def test_a_driver_whose_study_was_taken_over_during_the_outage_writes_nothing(server, store):
    taken = "no longer driven by this process, but by process 1 on elsewhere"
    with pytest.raises(StudyError, match=taken), open_study(store) as study:
        trial = study.ask()
        with Store.open(store._database._url.url.render_as_string(hide_password=False)) as other:
            other.claim("s", "elsewhere:1:1", 60, is_dead=lambda owner: True)
        cut_of_next_commit(store)
        study.tell(trial, Outcome({"accuracy": 0.5}))
    assert [s.trial.state for s in store.trials("s")] == [TrialState.RUNNING]
    with pytest.raises(
        StudyError, match=r"process 1 on elsewhere since .* UTC, last heartbeat [0-9]+ s ago; wait for it"
    ):
        store.claim("s", this_process(), 60)


def test_a_deadlock_ends_with_both_writers_having_written(store):
    """Two batches that add the same two networks in opposite orders: the server takes one of them back."""
    for name in ("one", "two"):
        store.create_study(name, {})
    donor = open_study(store, name="donor")
    with donor as study:
        pair = [study.ask() for _ in range(2)]
    turns = threading.Barrier(2)

    def write(name, networks):
        with Store.open(store._database._url.url.render_as_string(hide_password=False)) as mine, mine.batch():
            for number, trial in enumerate(networks):
                new = type(trial)(number, trial.proposal, 0, TrialState.RUNNING)
                mine.add_trial(name, new, Sizes(1, 2, 3), 1.0, "t", "v", {})
                if number == 0:
                    turns.wait(60)

    with store._database.write() as connection:  # so that both are new again
        connection.execute(sa.text("DELETE FROM trials"))
        connection.execute(sa.text("DELETE FROM architectures"))
    threads = [threading.Thread(target=write, args=args) for args in (("one", pair), ("two", pair[::-1]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [len(store.trials(name)) for name in ("one", "two")] == [2, 2]


def test_a_writer_that_ends_leaves_no_receipt(store):
    url = store._database._url.url.render_as_string(hide_password=False)
    with Store.open(url) as other:
        other.create_study("s", {})
        assert store._database.query(lambda c: c.execute(sa.select(receipts.c.number)).scalars().all()) == [1]
    assert store._database.query(lambda c: c.execute(sa.select(receipts.c.number)).scalars().all()) == []


def test_a_real_driver_goes_on_through_a_restart(server, store):
    """The process that tests/test_resume.py kills, with its server restarted under it instead."""
    url = store._database._url.url.render_as_string(hide_password=False)

    def restart(lines):
        if lines == 10:
            server.stop("fast")
            server.start()

    told = told_by(url, 30, restart)
    assert sorted(told) == list(range(30))
    assert [s.trial.number for s in sorted(store.trials("s"), key=lambda s: s.trial.told)] == told
