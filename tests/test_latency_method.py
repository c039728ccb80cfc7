"""The parts of the method by which this machine is measured: the watch, the corrections, the interpolation."""

import subprocess
import sys
import time
from dataclasses import replace
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.architecture import MBConvBlock, SepConvBlock
from nas.latency import watch
from nas.latency.calibration import with_base
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
from nas.latency.watch import Load, Reading, report, spread, spread_out, typical_ms
from nas.layers import Layer, lower
from nas.space import load_space

SPACE = load_space("mobilenet_v3")


def test_every_item_has_its_turns_and_they_are_spread_over_the_whole_run():
    counts = {"often": 50, "seldom": 2, "once": 1, "done": 0}
    turns = spread_out(counts, Random(0))
    assert {item: turns.count(item) for item in counts} == counts
    middle = len(turns) // 2
    assert turns[: middle - 1].count("seldom") == 1
    assert abs(turns[:middle].count("often") - 25) <= 2
    assert turns != spread_out(counts, Random(1))


def read(ms: float, sentinel_ms: float = 0.5, others: float = 0.0) -> Reading:
    return Reading(ms, sentinel_ms, others)


@given(st.floats(0.01, 100), st.lists(st.floats(0, 0.5), min_size=6, max_size=6))
def test_readings_beside_interference_do_not_count_as_long_as_a_third_is_undisturbed(ms, slower):
    readings = [*(read(ms * (1.1 + s)) for s in slower), *[read(ms)] * 3]
    assert typical_ms(readings) == pytest.approx(ms)
    assert spread(readings) >= 0.09


def test_a_single_reading_counts():
    assert (typical_ms([read(2.0)]), spread([read(2.0)]), spread([read(0.0)])) == (2.0, 0.0, 0.0)


def test_a_quiet_machine_is_reported_as_quiet():
    found = report([read(1.0, 0.5 + i % 3 / 100) for i in range(50)])
    assert (found.slow, found.others, found.quiet, found.doubt) == (0, 0, 1, 0)
    assert found.note == "50 readings; sentinel 0.5000 ms, slow beside 0% of them; other processes took 0.00 cores"


def test_a_lucky_moment_of_the_sentinel_does_not_make_the_rest_slow():
    assert report([read(1.0, 0.3), *[read(1.0, 0.5)] * 49]).slow == 0


def test_a_load_that_leaves_a_third_of_the_readings_alone_brings_no_doubt():
    found = report([read(1.2, 0.6, others=1.0)] * 50 + [read(1.0, 0.5)] * 50)
    assert (found.slow, found.others, found.doubt) == (0.5, 0.5, 0)


def test_a_load_from_beginning_to_end_is_noticed_though_the_sentinel_never_saw_a_quiet_machine():
    found = report([read(1.2, 0.6, others=0.97)] * 50)
    assert found.doubt > 0.2
    assert "the machine was hardly ever quiet: interval +25%" in found.note


def test_the_load_is_what_other_processes_take():
    code = "import time\nend = time.process_time() + 0.8\nwhile time.process_time() < end: pass"
    begin = time.monotonic()
    load = Load()
    with subprocess.Popen([sys.executable, "-c", code]) as other:
        other.wait()
    taken = load.now()
    assert taken * (time.monotonic() - begin) > 0.7  # CPU seconds, whatever else the machine does
    assert load.now() == taken  # until half a second has passed


def test_the_load_counts_neither_idle_time_nor_this_process(tmp_path, monkeypatch):
    stat, clock = tmp_path / "stat", SimpleNamespace(monotonic=lambda: 10.0, process_time=lambda: 1.0)
    monkeypatch.setattr(watch, "time", clock)
    monkeypatch.setattr(watch, "_STAT", stat)
    stat.write_text("cpu  100 10 20 5000 30 1 2 0 0 0\n")
    load = Load()
    clock.monotonic, clock.process_time = lambda: 12.0, lambda: 2.5
    stat.write_text("cpu  300 20 70 9000 90 6 7 0 0 0\n")
    assert load.now() == pytest.approx((2.7 - 1.5) / 2)


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
    assert min(value for name, value in corrections.coefficients.items() if name != "network") >= 0


def test_a_machine_on_which_large_networks_cost_more_than_in_proportion_has_a_negative_constant():
    features, measured = synthetic(120)
    measured = [ms - 0.3 for ms in measured]  # its constant was 0.1
    corrections = fit_corrections(features[:80], measured[:80])
    assert corrections.base_ms == pytest.approx(-0.2, abs=0.05)
    assert score([predict(corrections, network) for network in features[80:]], measured[80:])["mape"] < 1


def test_a_negative_constant_makes_no_small_network_free():
    assert [with_base(ops_ms, -0.5) for ops_ms in (0.0, 0.4, 1.0, 5.0)] == [0.0, 0.2, 0.5, 4.5]


@pytest.mark.parametrize(
    "op", [Layer("depthwise", 62, 62, 28, 3), Layer("conv", 62, 64, 28), Layer("conv", 64, 62, 28)]
)
def test_an_op_whose_width_leaves_the_blocked_layout_costs_what_it_does_alone(op):
    corrections = fit_corrections(*synthetic(40))
    assert corrections.op_ms(op, 0.7) == 0.7
    aligned = replace(op, in_channels=64, out_channels=64)
    assert corrections.op_ms(aligned, 0.7) != pytest.approx(0.7)


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


def test_a_machine_that_has_become_slower_is_no_error_of_its_table_and_reported():
    estimated = (1.0, 2.1, 3.0)
    networks = [SPACE.decode(SPACE.sample(Random(seed))) for seed in range(3)]
    found = Validation(networks, estimated, (1.1, 2.2, 3.3), 0.1, report([read(1.0)]))
    assert found.errors == pytest.approx([-1 / 11, -1 / 22, -1 / 11])
    assert found.score["mape"] == 1.67
    assert "ran 10.0% slower than when the table was made" in found.note
    assert "mean error with it 7.58%" in found.note
    assert found.to_dict()["drift"] == 0.1


def test_a_validation_draws_its_plot(tmp_path):
    found = Validation((), (1.0, 2.1, 3.0), (1.0, 2.0, 3.3), -0.02, report([read(1.0)]))
    plot_validation(found, tmp_path / "plot.svg")
    assert "measured, ms (machine 2.0% faster, taken off)" in (tmp_path / "plot.svg").read_text()


@pytest.mark.parametrize("name", ["mnasnet", "mnasnet_imagenet", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3"])
def test_a_pruned_network_of_every_space_is_a_network(name):
    space, rng = load_space(name), Random(0)
    for _ in range(200):
        cut = pruned(space.decode(space.sample(rng)), rng)  # a sum of different widths would be refused
        assert lower(cut)
