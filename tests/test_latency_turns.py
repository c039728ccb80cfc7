"""Whole networks measured in turns: no change of the machine's speed is taken for a network's."""

from itertools import groupby

import pytest

from nas.errors import LatencyError
from nas.latency import bench as bench_module
from nas.latency import measure, turns
from nas.latency.bench import FULL, MIN_RUNS, Bench
from nas.latency.host import FLOAT
from nas.latency.turns import MeasuredLatency, ratio
from nas.latency.watch import Reading
from nas.network.widths import with_widths
from nas.space import load_reference

SEED = load_reference("mobilenet_v2_035")
CHILD = with_widths(SEED, {2: 8})
MS = {SEED: 2.0, CHILD: 1.0}
COUNT = turns.SESSIONS * turns.TURNS


class Machine:
    """A bench; `slower` says by what factor it is slower at its n-th reading or turn."""

    effort = FULL

    def __init__(self, slower):
        self.slower, self.read_items = slower, []

    def read(self, network):
        self.read_items.append(network)
        return Reading(MS[network] * self.slower(len(self.read_items) - 1), 0.5, 0.0)

    def turns(self, networks, count, ms):
        return [[self.read(network).ms for network in networks] for _ in range(count)]


@pytest.fixture
def machine(monkeypatch):
    def make(slower) -> Machine:
        bench = Machine(slower)
        for module in (bench_module, measure):  # both imported before, so that both get back the true one
            monkeypatch.setattr(module, "open_bench", lambda setup: bench)
        return bench

    return make


def test_the_sessions_of_networks_run_by_turns_that_are_about_as_long_as_is_asked_for(monkeypatch):
    graphs, ran = [], []

    def stopwatch(graph, threads):
        graphs.append(graph)
        number = len(graphs)
        return lambda: ran.append(number) or 1.0 * number

    monkeypatch.setattr(bench_module, "_stopwatch", stopwatch)
    found = Bench(FLOAT, FULL, lambda: 0.5, 0.0).turns((SEED, CHILD), 3, 10.0)
    assert found == [[1.0, 2.0]] * 3
    assert graphs[0] != graphs[1]
    assert [number for number, _ in groupby(ran)] == [1, 2] * 4  # at first a run of each, which says how long it is
    assert (ran.count(1), ran.count(2)) == (1 + 3 * 10, 1 + 3 * MIN_RUNS)


@pytest.mark.parametrize("slow", [range(COUNT), range(COUNT, 2 * COUNT)])
def test_a_machine_that_is_slow_for_half_of_the_time_is_slow_for_both(machine, slow):
    bench = machine(lambda number: 2.0 if number in slow else 1.0)
    assert ratio(CHILD, SEED, FLOAT) == pytest.approx(0.5)
    assert [bench.read_items.count(network) for network in (SEED, CHILD)] == [COUNT] * 2


def test_milliseconds_are_those_of_the_references_first_reading_and_stay_as_they_are(machine, tmp_path):
    file = tmp_path / "study" / "measured.json"
    machine(lambda number: 1.0 if number < FULL.network_passes else 1.3)
    latency_ms = MeasuredLatency(FLOAT, SEED, file)
    assert latency_ms(CHILD) == pytest.approx(1.0)
    later = machine(lambda number: 7.0)
    assert (latency_ms(SEED), MeasuredLatency(FLOAT, SEED, file)(CHILD)) == (2.0, pytest.approx(1.0))
    assert not later.read_items


def test_a_file_that_cannot_be_written_is_one_line(machine, tmp_path):
    machine(lambda number: 1.0)
    (tmp_path / "measured.partial").mkdir()
    with pytest.raises(LatencyError, match=r"measured.json: not written: Is a directory"):
        MeasuredLatency(FLOAT, SEED, tmp_path / "measured.json")(SEED)


def test_what_cannot_be_measured_from_here_has_no_readings(tmp_path):
    assert turns.measured_latency("pixel1", SEED, tmp_path / "measured.json") is None
