"""The parts of the method by which this machine is measured: the watch, the corrections, the interpolation."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.architecture import MBConvBlock, SepConvBlock
from nas.latency.corrected import CorrectedTable, interpolate, interpolation_errors
from nas.latency.corrections import (
    Corrections,
    cross_validated,
    fit_corrections,
    network_features,
    op_features,
    predict,
)
from nas.latency.pruned import pruned
from nas.latency.score import score
from nas.latency.table import Row, as_deployed
from nas.latency.validation import Validation, plot_validation
from nas.latency.watch import Plan, Sentinel, watched
from nas.layers import Layer, lower
from nas.space import load_space

SPACE = load_space("mobilenet_v3")


class Machine:
    """A clock that tells how long work takes, and is slower while another process works."""

    def __init__(self, busy=lambda turn: False) -> None:
        self.busy, self.turn, self.slept, self.seconds = busy, 0, 0.0, 0.0

    def read_ms(self, ms: float = 1.0) -> float:
        self.turn += 1
        self.seconds += 0.01
        return ms * (1.3 if self.busy(self.turn) else 1.0)

    def sentinel(self, patience_s: float = 10.0) -> Sentinel:
        def sleep(seconds: float) -> None:
            self.slept += seconds
            self.seconds += seconds

        return Sentinel(self.read_ms, patience_s=patience_s, sleep=sleep, clock=lambda: self.seconds)


def test_every_item_is_read_once_a_pass_in_an_order_that_interleaves_the_passes():
    machine, read = Machine(), []

    def read_ms(item: int) -> float:
        read.append(item)
        return float(item + len(read) / 100)

    readings = list(watched(range(20), read_ms, machine.sentinel(), Plan(passes=3, step=4, group=10), Random(0)))
    assert sorted(reading.item for reading in readings) == list(range(20))
    assert read[:10] != sorted(read[:10])
    assert set(read[:10]) == set(read[10:20]) == set(read[20:30])
    assert all(reading.spread > 0 for reading in readings if reading.item)


def test_readings_beside_a_slow_sentinel_are_taken_again():
    machine = Machine(busy=lambda turn: 10 <= turn <= 60)
    sentinel = machine.sentinel()
    readings = list(watched([5.0] * 12, machine.read_ms, sentinel, Plan(passes=1, step=3), Random(0)))
    assert [reading.ms for reading in readings] == [5.0] * 12
    assert sentinel.repeats > 0
    assert machine.slept > 0
    assert all(sentinel.quiet(reading.sentinel_ms) for reading in readings)


def test_a_machine_that_is_never_quiet_again_ends_the_patience_and_is_reported():
    machine = Machine(busy=lambda turn: turn > 1)
    sentinel = machine.sentinel(patience_s=1.0)
    sentinel.now()
    readings = list(watched([5.0] * 4, machine.read_ms, sentinel, Plan(passes=1, step=2), Random(0)))
    assert len(readings) == 4
    assert sentinel.repeats == 0
    assert machine.slept == pytest.approx(1.0, abs=0.11)
    assert not any(sentinel.quiet(reading.sentinel_ms) for reading in readings)


def test_a_machine_that_becomes_quiet_shows_that_it_was_not_before():
    machine = Machine(busy=lambda turn: turn < 6)
    sentinel = machine.sentinel()
    readings = list(watched([5.0] * 6, machine.read_ms, sentinel, Plan(passes=1, step=1), Random(0)))
    slow = [reading for reading in readings if not sentinel.quiet(reading.sentinel_ms)]
    assert slow
    assert all(reading.ms == 6.5 for reading in slow)


def synthetic(count: int) -> tuple[list[dict[str, float]], list[float]]:
    """Networks of the space on a machine whose ops cost a constant, a rate and half of what they cost alone."""
    rng = Random(0)
    features, measured = [], []
    for _ in range(count):
        ops = [(as_deployed(op), op.macs / 5e7 + 0.01) for op in lower(SPACE.decode(SPACE.sample(rng)))]
        features.append(network_features(ops))
        measured.append(sum(0.5 * alone + op.out_values / 1e7 for op, alone in ops) + 0.1)
    return features, measured


def test_corrections_find_what_a_machine_does_and_no_op_costs_less_than_nothing():
    features, measured = synthetic(120)
    corrections = fit_corrections(features[:80], measured[:80])
    estimates = [predict(corrections, network) for network in features[80:]]
    assert score(estimates, measured[80:])["mape"] < 1
    assert min(corrections.coefficients.values()) >= 0


def test_a_few_disturbed_networks_do_not_move_the_corrections_much():
    features, measured = synthetic(120)
    disturbed = [ms * (1.5 if index % 12 == 0 else 1) for index, ms in enumerate(measured[:80])]
    corrections = fit_corrections(features[:80], disturbed)
    assert score([predict(corrections, network) for network in features[80:]], measured[80:])["mape"] < 2


def test_a_cross_validated_estimate_does_not_know_its_own_network():
    features, measured = synthetic(40)
    changed = [*measured[:3], measured[3] * 2, *measured[4:]]
    assert cross_validated(features, changed, 10)[3] == cross_validated(features, measured, 10)[3]


@given(st.integers(0, 10_000))
def test_the_estimate_of_a_network_is_the_sum_of_its_ops(seed):
    ops = [(as_deployed(op), 0.1) for op in lower(SPACE.decode(SPACE.sample(Random(seed))))]
    coefficients = {name: 0.3 + len(name) / 50 for op in ops for name in op_features(*op)} | {"network": 0.2}
    corrections = Corrections(coefficients)
    expected = sum(corrections.op_ms(*op) for op in ops) + corrections.base_ms
    assert predict(corrections, network_features(ops)) == pytest.approx(expected)


def pointwise(channels: int, ms: float) -> Row:
    return Row(as_deployed(Layer("conv", 64, channels, 14)), ms, 0.0)


def test_interpolation_keeps_the_rate_of_the_nearest_rows():
    rows = [pointwise(channels, channels / 100) for channels in (64, 128, 192, 256)]
    assert interpolate(pointwise(160, 0).layer, rows) == pytest.approx(1.6, rel=0.1)
    assert interpolate(pointwise(1024, 0).layer, rows) is None
    assert max(interpolation_errors(rows)) < 0.25


def test_an_op_like_no_measured_one_has_no_cost():
    table = CorrectedTable({row.layer: row for row in [pointwise(64, 1.0)]}, Corrections({}))
    assert table.op_ms(pointwise(64, 0).layer) == 1.0
    assert table.guessed(pointwise(72, 0).layer)
    assert table.op_ms(pointwise(72, 0).layer) is not None
    assert table.op_ms(Layer("conv", 64, 64, 28)) is None
    assert table.op_ms(Layer("depthwise", 64, 64, 14, 3)) is None


@given(st.integers(0, 10_000))
def test_pruning_keeps_the_shape_of_a_network_and_widens_nothing(seed):
    rng = Random(seed)
    network = SPACE.decode(SPACE.sample(rng))
    cut = pruned(network, rng)
    assert [type(block) for block in cut.blocks] == [type(block) for block in network.blocks]
    for before, after in zip(network.blocks, cut.blocks, strict=True):
        if isinstance(before, MBConvBlock):
            assert after.mid_channels <= before.mid_channels
        if isinstance(before, MBConvBlock | SepConvBlock):
            assert after.channels <= before.channels
            assert after.channels % 8 == 0
            assert after.skip == before.skip


def test_a_score_counts_shares_and_ranks():
    found = score([1.0, 2.08, 3.0, 5.0], [1.0, 2.0, 3.3, 4.0])
    assert found == {
        "networks": 4, "mape": 9.52, "worst": 25.0, "within_5": 50.0, "within_10": 75.0,
        "spearman": 1.0, "kendall": 1.0,
    }  # fmt: skip


def test_a_validation_draws_its_plot(tmp_path):
    found = Validation((), (1.0, 2.1, 3.0), (1.0, 2.0, 3.3), disturbed=0, repeats=2)
    plot_validation(found, tmp_path / "plot.svg")
    assert "measured, ms" in (tmp_path / "plot.svg").read_text()
