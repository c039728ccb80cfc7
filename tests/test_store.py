"""The store's contract: what is recorded is read back, states move one way, fronts are exact."""

import math
import os
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas import pareto
from nas.architecture import Architecture, ConvBlock, LinearBlock, MBConvBlock, PoolBlock, SepConvBlock
from nas.errors import StoreError, StudyError
from nas.store import owners
from nas.store.schema import metadata
from nas.store.store import Predictor, Sizes, Store
from nas.trial import Outcome, Proposal, Trial, TrialState

SIZES = Sizes(params=3_504_872, macs=300_774_272, peak_activation_bytes=4_816_896)
VERSIONS = {"nas": "0.1", "torch": "2.14"}

widths = st.integers(1, 512)
kernels = st.sampled_from([1, 3, 5, 7])
strides = st.sampled_from([1, 2])
acts = st.sampled_from(["relu", "relu6", "hswish"])
blocks = st.one_of(
    st.builds(ConvBlock, widths, kernels, strides, acts),
    st.builds(SepConvBlock, widths, kernels, strides, acts, acts, st.integers(0, 64)),
    st.builds(MBConvBlock, widths, widths, kernels, strides, acts, st.integers(0, 64)),
)
architectures = st.builds(
    lambda resolution, spatial, linear, classes: Architecture(resolution, (*spatial, PoolBlock(), *linear), classes),
    st.integers(8, 512),
    st.lists(blocks, min_size=1, max_size=5),
    st.lists(st.builds(LinearBlock, widths, acts), max_size=1),
    st.integers(2, 1000),
)
counts = st.integers(0, 2**31 - 1)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))  # PostgreSQL knows no zero
metrics = st.dictionaries(st.text(), st.floats(allow_nan=False) | st.integers(-(2**53), 2**53), max_size=4)
outcomes = st.builds(Outcome, metrics, st.none() | texts, st.booleans())
running = st.builds(
    Trial,
    number=counts,
    proposal=st.builds(Proposal, architectures, st.none() | counts, st.none() | counts),
    asked_after=counts,
    state=st.just(TrialState.RUNNING),
    seed=st.integers(-(2**63), 2**63 - 1),
)


@pytest.fixture
def store(store_url):
    with Store.open(store_url) as opened:
        opened.create_study("digits", {"seed": 7})
        yield opened


def network(width=8, classes=10):
    return Architecture(32, (ConvBlock(width, 3, 2, "relu"), PoolBlock()), num_classes=classes)


def trial(number, width=8):
    return Trial(number, Proposal(network(width)), asked_after=0, state=TrialState.RUNNING)


def add(store, number, *, study="digits", width=8, latency_ms=20.0, target="pixel1", sizes=SIZES):
    return store.add_trial(study, trial(number, width), sizes, latency_ms, target, "v1", VERSIONS)


def complete(store, number, accuracy, **kwargs):
    added = add(store, number, **kwargs)
    store.finish(kwargs.get("study", "digits"), number, Outcome({"accuracy": accuracy}), told=number)
    return added


def rows(store, table):
    with store._database.read() as connection:
        return connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()


# Recording and reading back


@given(running, outcomes, counts, st.none() | st.floats(allow_nan=False), st.none() | texts)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_recorded_reads_back_equal(store, trial, outcome, told, latency_ms, target):
    study = os.urandom(8).hex()
    store.create_study(study, {})
    before = datetime.now(UTC)
    id = store.add_trial(study, trial, SIZES, latency_ms, target, None, VERSIONS)
    assert store.trial(id).trial == trial
    store.finish(study, trial.number, outcome, told)
    found = store.trial(id)
    assert found.trial == replace(trial, state=outcome.state, outcome=outcome, told=told)
    assert found.trial.proposal.architecture.id == trial.proposal.architecture.id
    assert (found.latency_ms, found.target, found.latency_version) == (latency_ms, target, None)
    assert Sizes(found.params, found.macs, found.peak_activation_bytes) == SIZES
    assert (found.study, found.versions, found.lost, found.id) == (study, VERSIONS, 0, id)
    assert (found.host, found.pid) == (socket.gethostname(), os.getpid())
    assert before <= found.started_at <= found.ended_at <= datetime.now(UTC)


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_study_and_its_settings_read_back_equal(store, study_settings):
    name = os.urandom(8).hex()
    record = store.create_study(name, study_settings)
    assert store.study(name) == record
    assert record.settings == study_settings
    assert record.created_at.utcoffset() == timedelta(0)
    assert store.studies()[-1] == record


def test_everything_is_there_after_closing_and_opening_again(store_url):
    with Store.open(store_url) as store:
        store.create_study("digits", {})
        complete(store, 0, 0.5)
        written = store.trials()
    with Store.open(store_url) as store:
        assert store.trials() == written


def test_one_network_is_one_row_however_often_it_is_met(store):
    store.create_study("other", {})
    for number in range(3):
        add(store, number)
        add(store, number, study="other")
    add(store, 3, width=16)
    assert (rows(store, "architectures"), rows(store, "trials")) == (2, 7)


def test_epochs_are_kept_in_order_and_the_last_word_counts(store):
    id = add(store, 0)
    store.report("digits", 0, 2, {"accuracy": 0.3})
    store.report("digits", 0, 1, {"accuracy": 0.1, "loss": math.inf})
    store.report("digits", 0, 2, {"accuracy": np.float32(0.5)})
    assert store.epochs(id) == [(1, {"accuracy": 0.1, "loss": math.inf}), (2, {"accuracy": 0.5})]


def test_an_outcome_that_is_not_a_number_is_kept_and_is_on_no_front(store):
    id = complete(store, 0, math.nan)
    assert math.isnan(store.trial(id).trial.outcome.metrics["accuracy"])
    assert store.front() == []


def test_last_words_that_are_no_unicode_do_not_end_the_search(store):
    id = add(store, 0)
    store.finish("digits", 0, Outcome(error="no such file: \udcff\0.png"), told=0)
    assert store.trial(id).trial.outcome.error == r"no such file: \udcff\x00.png"


def test_trials_are_listed_by_number_state_and_end(store):
    for number in (2, 0, 3, 1):
        add(store, number)
    store.finish("digits", 3, Outcome({"accuracy": 0.5}), told=0)
    numbers = lambda found: [stored.trial.number for stored in found]  # noqa: E731
    assert numbers(store.trials("digits")) == [0, 1, 2, 3]
    assert numbers(store.trials("digits", last=2)) == [2, 3]
    assert numbers(store.trials()) == [2, 0, 3, 1]
    assert numbers(store.trials(last=2)) == [3, 1]
    assert numbers(store.trials("digits", states=[TrialState.RUNNING])) == [0, 1, 2]
    assert numbers(store.trials("digits", states=[])) == []


def test_ids_are_unique_over_studies(store):
    store.create_study("other", {})
    ids = [add(store, 0), add(store, 0, study="other"), add(store, 1)]
    assert len(set(ids)) == 3
    assert [store.trial(id).study for id in ids] == ["digits", "other", "digits"]
    assert store.trial(max(ids) + 1) is None


# States


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome({"accuracy": 0.5}), TrialState.COMPLETE),
        (Outcome({"accuracy": 0.5}, stopped=True), TrialState.STOPPED),
        (Outcome(error="out of memory"), TrialState.FAILED),
    ],
)
def test_a_trial_ends_exactly_once(store, outcome, state):
    id = add(store, 0)
    store.finish("digits", 0, outcome, told=0)
    with pytest.raises(StoreError, match=f"trial 0 of study 'digits' is {state}; expected running"):
        store.finish("digits", 0, Outcome({"accuracy": 0.9}), told=1)
    with pytest.raises(StoreError, match=f"is {state}"):
        store.report("digits", 0, 1, {"accuracy": 0.9})
    with pytest.raises(StoreError, match=f"is {state}"):
        store.requeue("digits", 0, "gone")
    assert store.trial(id).trial.outcome == outcome
    assert store.trial(id).trial.state == state
    assert store.study_summary("digits") == {s: int(s == state) for s in TrialState}


def test_a_trial_whose_worker_is_lost_waits_and_starts_anew(store):
    id = add(store, 0)
    store.report("digits", 0, 1, {"accuracy": 0.3})
    assert store.requeue("digits", 0, "worker killed") is TrialState.WAITING
    assert store.trial(id).trial == replace(trial(0), state=TrialState.WAITING)
    assert (store.trial(id).lost, store.epochs(id)) == (1, [])
    with pytest.raises(StoreError, match="is waiting; expected running"):
        store.finish("digits", 0, Outcome(), told=0)
    store.start("digits", 0, VERSIONS)
    assert store.trial(id).trial == trial(0)
    with pytest.raises(StoreError, match="is running; expected waiting"):
        store.start("digits", 0, VERSIONS)


def test_a_trial_lost_three_times_fails_with_the_reason_and_is_told_next(store):
    complete(store, 0, 0.5)
    id = add(store, 1)
    for _ in range(2):
        assert store.requeue("digits", 1, "worker killed") is TrialState.WAITING
        store.start("digits", 1, VERSIONS)
    assert store.requeue("digits", 1, "worker killed") is TrialState.FAILED
    found = store.trial(id)
    assert found.trial.outcome == Outcome(error="worker killed")
    assert (found.trial.told, found.lost, found.ended_at is None) == (1, 3, False)


def test_a_trial_is_postponed_as_often_as_searches_end(store):
    id = add(store, 0)
    for _ in range(5):
        store.report("digits", 0, 1, {"accuracy": 0.3})
        store.postpone("digits")
        assert (store.trial(id).trial.state, store.trial(id).lost, store.epochs(id)) == (TrialState.WAITING, 0, [])
        store.start("digits", 0, VERSIONS)
    store.finish("digits", 0, Outcome({"accuracy": 0.5}), told=0)
    store.postpone("digits")
    assert store.trial(id).trial.state is TrialState.COMPLETE


def test_a_number_is_taken_once(store):
    add(store, 0)
    with pytest.raises(StoreError, match="trial 0 of study 'digits' is recorded already"):
        add(store, 0, width=16)
    assert rows(store, "trials") == rows(store, "architectures") == 1


def test_unknown_names_and_numbers_are_named(store):
    assert store.study("flowers") is None
    for ask in (store.trials, store.study_summary, lambda name: add(store, 0, study=name)):
        with pytest.raises(StudyError, match=r"no study 'flowers' in .*; expected one of digits"):
            ask("flowers")
    with pytest.raises(StudyError, match="no study 'flowers'"):
        store.front(["digits", "flowers"])
    with pytest.raises(StoreError, match="study 'digits' has no trial 5"):
        store.start("digits", 5, VERSIONS)
    with pytest.raises(StudyError, match="study 'digits' exists already"):
        store.create_study("digits", {})


def test_a_number_beyond_64_bits_is_a_store_error(store):
    with pytest.raises(StoreError, match=r"too large|out of range"):
        store.add_trial("digits", replace(trial(0), seed=2**64), SIZES, None, None, None, {})


# The lease


def test_a_study_has_one_driver(store):
    store.claim("digits", "phoenix:4711:1", lease_seconds=60)
    with pytest.raises(StudyError, match=r"'digits' is driven by process 4711 on phoenix since \d{4}-\d\d-\d\d .* UTC"):
        store.claim("digits", "hydra:12:1", lease_seconds=60)
    store.claim("digits", "phoenix:4711:1", lease_seconds=60)  # its own claim is no obstacle
    store.release("digits", "hydra:12:1")  # nor does another's release free it
    store.heartbeat("digits", "phoenix:4711:1", lease_seconds=60)
    store.release("digits", "phoenix:4711:1")
    store.claim("digits", "hydra:12:1", lease_seconds=60)


def test_an_ended_lease_is_taken_over_and_its_former_driver_told(store):
    store.claim("digits", "phoenix:4711:1", lease_seconds=0)
    store.claim("digits", "hydra:12:1", lease_seconds=60)
    with pytest.raises(StudyError, match="no longer driven by this process, but by process 12 on hydra"):
        store.heartbeat("digits", "phoenix:4711:1", lease_seconds=60)


def test_a_driver_that_was_replaced_writes_no_trial_any_more(store, store_url):
    store.claim("digits", "phoenix:4711:1", lease_seconds=0)
    add(store, 0)
    with Store.open(store_url) as other:
        other.claim("digits", "hydra:12:1", lease_seconds=60)
        replaced = "no longer driven by this process, but by process 12 on hydra"
        for write in (
            lambda: add(store, 1),
            lambda: store.report("digits", 0, 1, {"accuracy": 0.5}),
            lambda: store.finish("digits", 0, Outcome({"accuracy": 0.5}), 0),
            lambda: store.requeue("digits", 0, "its worker died"),
            lambda: store.postpone("digits"),
        ):
            with pytest.raises(StudyError, match=replaced):
                write()
        store.release("digits", "phoenix:4711:1")
        (kept,) = other.trials("digits")
        assert kept.trial.state is TrialState.RUNNING
        other.finish("digits", 0, Outcome({"accuracy": 0.5}), 0)


def test_a_heartbeat_prolongs_the_lease(store):
    store.claim("digits", "phoenix:4711:1", lease_seconds=0)
    store.heartbeat("digits", "phoenix:4711:1", lease_seconds=60)
    with pytest.raises(StudyError, match="driven by process 4711"):
        store.claim("digits", "hydra:12:1", lease_seconds=60)


def test_a_driver_known_to_be_dead_is_replaced_at_once(store):
    store.claim("digits", "phoenix:4711:1", lease_seconds=3600)
    store.claim("digits", "hydra:12:1", 60, is_dead=lambda owner: owner == "phoenix:4711:1")


def test_the_lease_of_a_killed_process_of_this_host_ends_with_it(store, store_url):
    code = (
        "import sys; from nas.store.store import Store; from nas.store.owners import this_process\n"
        "Store.open(sys.argv[1]).claim('digits', this_process(), 3600); print('claimed', flush=True); input()"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", code, store_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert driver.stdout.readline() == "claimed\n"
        with pytest.raises(StudyError, match=f"driven by process {driver.pid} on {socket.gethostname()}"):
            store.claim("digits", owners.this_process(), 60)
    finally:
        driver.kill()
    os.waitid(os.P_PID, driver.pid, os.WEXITED | os.WNOWAIT)  # dead, but still a zombie
    store.claim("digits", owners.this_process(), 60)
    driver.communicate()


def test_a_process_is_told_from_a_later_one_with_its_pid():
    host, pid, start = owners.this_process().split(":")
    assert not owners.is_dead(f"{host}:{pid}:{start}")
    assert owners.is_dead(f"{host}:{pid}:{int(start) - 1}")
    assert not owners.is_dead(f"another-{host}:{pid}:{int(start) - 1}")


# The front


@contextmanager
def emptied(store):
    """Nothing is in the database in the block, and what is written there is taken back."""
    with suppress(ZeroDivisionError), store.batch():
        with store._database.write() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        store._study_ids.clear()
        yield
        raise ZeroDivisionError


coarse = st.integers(1, 12)
points = st.lists(st.tuples(coarse, coarse, coarse, st.sampled_from("ab"), st.sampled_from(["p", "q"])), max_size=25)
limits = st.fixed_dictionaries({}, optional={"max_latency_ms": coarse, "max_params": coarse, "target": st.just("p")})


@given(points, limits, st.none() | st.lists(st.sampled_from("ab"), unique=True))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_front_is_that_of_brute_force_within_the_limits(store, points, limits, names):
    with emptied(store):
        store.create_study("a", {})
        store.create_study("b", {})
        for number, (accuracy, latency_ms, params, study, target) in enumerate(points):
            sizes = Sizes(params, 1, 1)
            complete(
                store, number, accuracy, study=study, width=params, latency_ms=latency_ms, target=target, sizes=sizes
            )
        allowed = [
            (number, accuracy, latency_ms)
            for number, (accuracy, latency_ms, params, study, target) in enumerate(points)
            if latency_ms <= limits.get("max_latency_ms", math.inf)
            and params <= limits.get("max_params", math.inf)
            and target in (limits.get("target"), target if "target" not in limits else None)
            and (names is None or study in names)
        ]
        best = pareto.front([point[1:] for point in allowed], ("max", "min"))
        first = {allowed[i][1:]: allowed[i][0] for i in reversed(best)}  # of equal points the first one
        expected = [first[point] for point in sorted(first, key=lambda point: point[1])]
        assert [stored.trial.number for stored in store.front(names, **limits)] == expected


triples = st.lists(st.tuples(coarse, coarse, coarse), min_size=1, max_size=25)
on_host = st.none() | st.lists(coarse, min_size=12, max_size=12)  # latencies of the networks of 1 to 12 channels


@given(triples, st.permutations(["accuracy", "latency_ms", "params"]), st.integers(2, 3), st.none() | coarse, on_host)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_front_of_any_objectives_is_that_of_brute_force(store, points, names, count, most, on_host):
    objectives, predictor = names[:count], None if on_host is None else Predictor("host", "v7")
    with emptied(store):
        store.create_study("digits", {})
        for number, (accuracy, latency_ms, params) in enumerate(points):
            complete(store, number, accuracy, width=params, latency_ms=latency_ms, sizes=Sizes(params, 1, 1))
        if on_host:
            list(store.rescore(["digits"], predictor, lambda network: on_host[network.blocks[0].channels - 1]))
            points = [(accuracy, on_host[params - 1], params) for accuracy, _, params in points]
            complete(
                store, len(points), 13, width=13, latency_ms=0.0, sizes=Sizes(0, 1, 1)
            )  # host is not asked about it
        figures = [
            [dict(zip(["accuracy", "latency_ms", "params"], point, strict=True))[name] for name in objectives]
            for point in points
        ]
        allowed = [n for n, point in enumerate(points) if most is None or point[1] <= most]
        ways = ["max" if name == "accuracy" else "min" for name in objectives]
        best = [n for n in allowed if not any(pareto.dominates(figures[m], figures[n], ways) for m in allowed)]
        first = {tuple(figures[n]): n for n in reversed(best)}
        found = store.front(objectives=objectives, max_latency_ms=most, max_params=12, predictor=predictor)
        assert [s.latency_ms for s in found] == sorted(points[s.trial.number][1] for s in found)
        assert {stored.trial.number for stored in found} == set(first.values())


def test_the_most_accurate_trials_come_in_order_and_within_the_limit(store):
    for number, (accuracy, latency_ms) in enumerate([(0.5, 30.0), (0.9, 70.0), (0.7, 20.0), (0.7, 10.0), (0.1, 5.0)]):
        complete(store, number, accuracy, latency_ms=latency_ms)
    add(store, 5)
    assert [s.trial.number for s in store.most_accurate("digits", 3, max_latency_ms=60)] == [3, 2, 0]
    assert [s.trial.number for s in store.most_accurate("digits", 9)] == [1, 3, 2, 0, 4]


# Latencies of other models


def test_a_study_is_rescored_for_another_device_and_each_network_is_asked_about_once(store):
    store.create_study("other", {})
    complete(store, 0, 0.5, width=8, latency_ms=10.0)
    complete(store, 1, 0.7, width=16, latency_ms=20.0)
    complete(store, 0, 0.6, study="other", width=16, latency_ms=20.0)
    add(store, 2, width=24)
    host, asked = Predictor("host", "v7"), []

    def latency_ms(network):
        asked.append(network.blocks[0].channels)
        return {8: 5.0, 16: 4.0}[network.blocks[0].channels]

    assert list(store.rescore(["digits"], host, latency_ms)) == [2]
    assert list(store.rescore(["digits", "other"], host, latency_ms)) == []
    assert sorted(asked) == [8, 16]  # not what still runs
    (best,) = store.front(["digits"], predictor=host)
    assert (best.trial.number, best.latency_ms, best.target, best.latency_version) == (1, 4.0, "host", "v7")
    assert best.trial.accuracy == 0.7
    assert [s.trial.number for s in store.front(["digits"])] == [0, 1]  # as searched, it is another front
    assert store.front(["digits"], predictor=Predictor("host", "v8")) == []
    assert sorted(store.points(["digits"], host).tolist()) == [[0.5, 5.0], [0.7, 4.0]]


# Outcomes that can be had again


def test_a_network_is_found_again_at_the_same_fidelity_alone(store):
    for name, fidelity in (("short", "3 epochs"), ("same", "3 epochs"), ("long", "9 epochs"), ("none", None)):
        store.create_study(name, {}, fidelity)
    complete(store, 0, 0.9, study="none")
    first = complete(store, 0, 0.5, study="short")
    complete(store, 0, 0.6, study="same")
    assert store.reusable("3 epochs", network(8), None).id == first
    assert store.reusable("9 epochs", network(8), None) is None
    assert store.reusable("3 epochs", network(8), 5) is None  # trained for another number of epochs
    assert store.reusable("3 epochs", network(16), None) is None
    assert store.study("short").fidelity == "3 epochs"


@pytest.mark.parametrize("outcome", [None, Outcome(error="out of memory"), Outcome({"accuracy": 0.5}, stopped=True)])
def test_only_a_complete_outcome_is_found_again(store, outcome):
    store.create_study("s", {}, "f")
    add(store, 0, study="s")
    if outcome is not None:
        store.finish("s", 0, outcome, told=0)
    assert store.reusable("f", network(8), None) is None


def test_what_was_reused_or_inherited_is_not_reused_again(store):
    store.create_study("s", {}, "f")
    source = complete(store, 0, 0.5)
    store.add_trial("s", trial(0), SIZES, 1.0, "pixel1", "v1", VERSIONS, source=source)
    store.finish("s", 0, Outcome({"accuracy": 0.5}), told=0)
    pruned = Trial(1, Proposal(network(), parent=0), 0, TrialState.RUNNING)
    store.add_trial("s", pruned, SIZES, 1.0, "pixel1", "v1", VERSIONS)
    store.finish("s", 1, Outcome({"accuracy": 0.5}), told=1)
    assert store.reusable("f", network(), None) is None
    assert [stored.source for stored in store.trials("s")] == [source, None]


# Many trials at once


def test_a_batch_is_kept_as_a_whole_or_not_at_all(store):
    with store.batch():
        complete(store, 0, 0.5)
        assert [s.trial.number for s in store.trials("digits")] == [0]
        complete(store, 1, 0.6, width=16)
    with pytest.raises(ZeroDivisionError), store.batch():
        complete(store, 2, 0.7, width=24)
        raise ZeroDivisionError
    assert [s.trial.number for s in store.trials("digits")] == [0, 1]
    assert rows(store, "architectures") == 2


def test_an_outcome_waits_for_the_disk_and_the_start_of_a_trial_does_not(tmp_path):
    statements = []
    with Store.open(tmp_path / "trials.db") as store:
        store.create_study("digits", {})
        connection = store._database.engine.raw_connection()
        connection.driver_connection.set_trace_callback(statements.append)
        connection.close()
        complete(store, 0, 0.5)
    kinds = [text.split()[-1] if "synchronous" in text else text.split()[0] for text in statements]
    assert [kind for kind in kinds if kind in ("FULL", "NORMAL", "COMMIT")] == ["NORMAL", "COMMIT", "FULL", "COMMIT"]


# Lines for other programs


def test_every_trial_is_a_line_of_the_view(store):
    complete(store, 0, 0.5, latency_ms=12.5)
    add(store, 1)
    store.create_study("other", {})
    add(store, 0, study="other")
    first, second, third = store.lines()
    assert (first["study"], first["number"], first["state"]) == ("digits", 0, "complete")
    assert (first["accuracy"], first["latency_ms"], first["params"]) == (0.5, 12.5, SIZES.params)
    assert first["architecture"] == network().id
    assert first["started_at"] <= first["ended_at"]
    assert (second["state"], second["accuracy"], third["study"]) == ("running", None, "other")
    store.create_study("dreamt", {})
    store.add_trial("dreamt", trial(0), SIZES, 1.0, "pixel1", "v1", {"evaluator": "predictor"})
    assert [line["evaluator"] for line in store.lines()] == ["proxy", "proxy", "proxy", "predictor"]
    assert [line["study"] for line in store.lines(["other"])] == ["other"]
    with pytest.raises(StudyError, match="no study 'flowers'"):
        list(store.lines(["flowers"]))


# Fronts of what is unfinished


def test_only_complete_trials_with_a_latency_are_on_the_front(store):
    complete(store, 0, 0.5, latency_ms=30.0)
    complete(store, 1, 0.9, latency_ms=None)
    add(store, 2, latency_ms=1.0)
    add(store, 3, latency_ms=1.0)
    store.finish("digits", 3, Outcome({"accuracy": 0.9}, stopped=True), told=2)
    add(store, 4, latency_ms=1.0)
    store.finish("digits", 4, Outcome({"accuracy": 0.9}, error="out of memory"), told=3)
    assert [stored.trial.number for stored in store.front()] == [0]


def test_memory_is_a_limit(store):
    complete(store, 0, 0.9, width=8, latency_ms=10.0, sizes=Sizes(1, 1, 2_000_001))
    complete(store, 1, 0.5, width=16, latency_ms=20.0, sizes=Sizes(1, 1, 2_000_000))
    assert [stored.trial.number for stored in store.front(max_peak_activation_bytes=2_000_000)] == [1]


@pytest.fixture
def plans(tmp_path):
    """A database of SQLite, and the steps by which it answers the one statement that began so."""
    store = Store.open(tmp_path / "trials.db")
    store.create_study("digits", {})
    statements = []
    connection = store._database.engine.raw_connection()
    connection.driver_connection.set_trace_callback(statements.append)
    connection.close()

    def plan(beginning):
        (query,) = (text for text in statements if text.startswith(beginning))
        with store._database.read() as connection:
            found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query.replace('Inf', '9e999')}")
            return [row.detail for row in found]

    return store, plan


@pytest.mark.parametrize("names", [None, ["digits"]])
def test_the_front_is_one_pass_over_its_index(plans, names):
    """A sort or a lookup per row inside the recursion would be quadratic in the trials."""
    store, plan = plans
    store.front(names, target="pixel1", max_latency_ms=60)
    steps = plan("WITH RECURSIVE")
    assert "SEARCH trials USING COVERING INDEX ix_trials_front (accuracy<?)" in steps
    assert sum("TEMP B-TREE" in step for step in steps) == 1  # that of the result


def test_the_trials_of_a_network_are_found_by_the_network(plans):
    """Among all complete trials of a study, for each network, the search would be quadratic in the trials."""
    store, plan = plans
    list(store.rescore(["digits"], Predictor("host", "v7"), lambda network: 1.0))
    assert "SEARCH trials USING INDEX ix_trials_architecture (architecture_id=?)" in plan("SELECT architectures.id")
    store.reusable("digits at 28 px", network(), 4)
    assert "SEARCH trials USING INDEX ix_trials_architecture (architecture_id=?)" in plan("SELECT trials.id")
