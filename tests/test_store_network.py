"""A network between driver and database that is cut for a while: the driver goes on, nothing lost, nothing twice."""

import os
import socket
import threading
import time
from itertools import count
from random import Random

import pytest

from nas.errors import StoreError
from nas.store.store import Store
from nas.trial import TrialState
from tests import postgres
from tests.disturbed_driver import told_by
from tests.proxy import Proxy, proxied
from tests.study_helpers import drive, open_study, record

_numbers = count()
ENDS = {"and mended": Proxy.go_on, "and its connections closed": Proxy.close_all}


@pytest.fixture
def database(postgresql):
    """The URL of a database at the newest schema."""
    return postgres.database(postgresql, f"network{next(_numbers)}", template="ready")


@pytest.fixture
def network(database):
    """A network to the database, and the URL through it."""
    with proxied(database) as found:
        yield found


@pytest.mark.parametrize("end", ENDS)
def test_a_study_goes_on_when_its_network_was_cut(network, database, tmp_path, end):
    """Cut at every third outcome, as it is about to be recorded or as it is about to be committed."""
    proxy, url = network
    cuts = []

    def cut(*_connection):
        proxy.hold()
        cuts.append(threading.Timer(0.3, ENDS[end], [proxy]))
        cuts[-1].start()

    with Store.open(url) as store:
        engine, told = store._database.engine, []
        with open_study(store) as study:
            tell, commit = study.tell, engine.dialect.do_commit

            def commit_into_nothing(connection):
                engine.dialect.do_commit = commit
                cut()
                commit(connection)

            def disturbed(trial, outcome):
                told.append(trial.number)
                if len(told) % 6 == 3:
                    cut()
                if len(told) % 6 == 0:
                    engine.dialect.do_commit = commit_into_nothing
                tell(trial, outcome)

            study.tell = disturbed
            drive(study, Random(5), workers=3)
    for timer in cuts:
        timer.join()
    with Store.open(tmp_path / "whole.db") as whole:
        with open_study(whole) as study:
            drive(study, Random(5), workers=3)
        expected = record(whole)
    with Store.open(database) as store:
        assert record(store) == expected
        assert store.study_summary("s")[TrialState.COMPLETE] == 12
        assert [s.trial.told for s in store.trials("s")] == [told.index(number) for number in range(12)]
    assert len(cuts) == 4


@pytest.mark.long  # half a minute each
@pytest.mark.parametrize("end", ENDS)
def test_a_real_driver_goes_on_after_thirty_seconds_without_network(network, database, end):
    proxy, url = network

    def cut(lines):
        if lines in {10, 20}:
            proxy.hold()
            time.sleep(30 if lines == 10 else 1)
            ENDS[end](proxy)

    told = told_by(url, 60, cut)
    assert sorted(told) == list(range(60))
    with Store.open(database) as store:
        assert [s.trial.number for s in sorted(store.trials("s"), key=lambda s: s.trial.told)] == told


def test_a_connection_whose_other_end_fell_silent_is_given_up(network):
    """What the kernel is told; half a minute without an answer to anything, or to what it asks of itself when idle."""
    _, url = network
    with Store.open(url) as store, store._database.engine.connect() as connection:
        info = connection.connection.driver_connection.info
        with socket.socket(fileno=os.dup(connection.connection.driver_connection.fileno())) as found:
            assert info.host == "127.0.0.1"
            assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
            idle, interval, tries = (
                found.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert idle + interval * tries == 30


def test_a_command_that_begins_without_network_ends_in_one_line(network):
    proxy, url = network
    proxy.hold()
    with pytest.raises(StoreError, match="timeout expired") as caught:
        Store.open(f"{url}?connect_timeout=2")
    assert "\n" not in str(caught.value)
