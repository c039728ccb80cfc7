"""Whole networks measured in turns with a small op: no change of the machine's speed is taken for a network's."""

from itertools import groupby

import pytest

from nas.errors import LatencyError
from nas.latency import bench as bench_module
from nas.latency import turns
from nas.latency.bench import FULL, MIN_RUNS, Bench
from nas.latency.host import FLOAT
from nas.latency.turns import MeasuredLatency
from nas.network.widths import with_widths
from nas.space import load_reference

SEED = load_reference("mobilenet_v2_035")
CHILD = with_widths(SEED, {2: 8})
MS = {SEED: 2.0, CHILD: 1.0}
COUNT = turns.SESSIONS * turns.TURNS


class Machine:
    """A bench; `slower` and `disturbed` say by what factors its n-th turn is slower, and networks alone are."""

    def __init__(self, slower, disturbed):
        self.slower, self.disturbed, self.turned = slower, disturbed, []

    def turns(self, network, count, ms):
        return [self.turn(network) for _ in range(count)]

    def turn(self, network):
        number = len(self.turned)
        self.turned.append(network)
        return MS[network] * self.slower(number) * self.disturbed(number), 0.5 * self.slower(number)


@pytest.fixture
def machine(monkeypatch):
    def make(slower=lambda number: 1.0, disturbed=lambda number: 1.0) -> Machine:
        bench = Machine(slower, disturbed)
        monkeypatch.setattr(bench_module, "open_bench", lambda setup: bench)
        return bench

    return make


def test_the_session_of_a_network_and_the_sentinel_run_by_turns_as_long_as_is_asked_for(monkeypatch):
    ran = []

    def stopwatch(graph, threads):
        return lambda: ran.append("network") or 2.0

    monkeypatch.setattr(bench_module, "_stopwatch", stopwatch)
    bench = Bench(FLOAT, FULL, lambda: ran.append("sentinel") or 0.5, 0.0)
    assert bench.turns(SEED, 3, 20.0) == [(2.0, 0.5)] * 3
    assert [(name, len(list(runs))) for name, runs in groupby(ran)] == [
        ("network", 1 + 10),  # at first a run that says how long it is
        ("sentinel", 1),
        *[("network", 10), ("sentinel", 1)] * 2,
    ]
    ran.clear()
    bench.turns(SEED, 1, 1.0)
    assert ran.count("network") == 1 + MIN_RUNS


def test_a_machine_that_has_become_slower_is_not_a_network_that_has(machine, tmp_path):
    machine(slower=lambda number: 1.0 if number < COUNT else 1.3)
    latency_ms = MeasuredLatency(FLOAT, tmp_path / "measured.json")
    assert [latency_ms(SEED), latency_ms(CHILD)] == [pytest.approx(2.0), pytest.approx(1.0)]


def test_other_programs_that_disturb_nine_turns_of_ten_change_nothing(machine, tmp_path):
    machine(disturbed=lambda number: 1.0 if number % 10 == 0 else 1.2)
    assert MeasuredLatency(FLOAT, tmp_path / "measured.json")(CHILD) == pytest.approx(1.0)


def test_what_was_measured_stays_as_it_is_and_another_reading_is_at_the_first_speed(machine, tmp_path):
    file = tmp_path / "study" / "measured.json"
    machine()
    MeasuredLatency(FLOAT, file)(CHILD)
    later = machine(slower=lambda number: 7.0, disturbed=lambda number: 1.1)
    again = MeasuredLatency(FLOAT, file)
    assert again(CHILD) == 1.0
    assert not later.turned
    assert again.anew(CHILD) == pytest.approx(1.1)
    assert again(CHILD) == 1.0


def test_a_file_that_cannot_be_written_is_one_line(machine, tmp_path):
    machine()
    (tmp_path / "measured.partial").mkdir()
    with pytest.raises(LatencyError, match=r"measured.json: not written: Is a directory"):
        MeasuredLatency(FLOAT, tmp_path / "measured.json")(SEED)


def test_what_cannot_be_measured_from_here_has_no_readings(tmp_path):
    assert turns.measured_latency("pixel1", tmp_path / "measured.json") is None
