"""The table of this machine, measured for real on a handful of ops, in a cache of its own."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from nas.architecture import Architecture, ConvBlock, LinearBlock, MBConvBlock, PoolBlock, SepConvBlock
from nas.errors import LatencyError, MissingOpError
from nas.latency.bench import Effort, open_bench
from nas.latency.graph import network_graph, op_graph
from nas.latency.host import FLOAT, HostSetup
from nas.latency.measure import fill_host_table, measure_layers, validate_host
from nas.latency.table import as_deployed, read_table, row_key
from nas.latency.targets import list_targets, load_target
from nas.layers import Layer, lower


def network(width: int) -> Architecture:
    """A small network with every kind of op."""
    return Architecture(
        16,
        (
            ConvBlock(width, 3, 2, "hswish"),
            SepConvBlock(width, 3, 1, "relu6", se_channels=8, se_gate="sigmoid", skip="pool"),
            MBConvBlock(width, 2 * width, 5, 1, "swish", se_channels=8, skip="identity"),
            PoolBlock(),
            LinearBlock(16, "hswish"),
        ),
        num_classes=4,
    )


NETWORKS = [network(8 * i) for i in range(1, 10)]
EFFORT = Effort(op_passes=1, op_ms=0.1, network_passes=2, network_ms=0.1, networks=9, pruned=0)
LAYERS = {layer for architecture in NETWORKS[:2] for layer in lower(architecture)}


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """A cache that one fill has filled."""
    folder = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(folder))
        fill_host_table(LAYERS, architectures=NETWORKS, effort=EFFORT)
    return folder


@pytest.fixture
def measured(filled, cache) -> None:
    """A copy of the filled cache, for this test alone."""
    shutil.copytree(filled, cache, dirs_exist_ok=True)


def steps_of_a_fill(architectures=NETWORKS) -> list[tuple[int, int]]:
    steps: list[tuple[int, int]] = []
    fill_host_table(
        LAYERS, architectures=architectures, effort=EFFORT, progress=lambda done, total: steps.append((done, total))
    )
    return steps


def test_a_fill_measures_every_op_once_and_the_next_one_nothing(cache):
    wanted = {as_deployed(layer) for a in NETWORKS for layer in lower(a)}
    steps = steps_of_a_fill()
    total = len(wanted) + 2 * len(NETWORKS)
    assert steps == [(done, total) for done in range(1, total + 1)]
    assert read_table(FLOAT.folder / "table.csv").rows.keys() == wanted
    version = load_target("host").version
    assert steps_of_a_fill() == []
    assert load_target("host").version == version


def test_the_model_of_this_machine_has_an_interval_and_its_provenance(measured):
    model = load_target("host")
    latency = model.estimate(NETWORKS[3])
    assert 0 <= latency.low_ms <= latency.ms <= latency.high_ms
    assert latency.ms > 0
    device = list_targets()[-1]
    assert (device.target, device.runtime, device.runtime_version) == ("host", "ONNX Runtime", ort.__version__)
    assert device.networks.keys() == {architecture.id for architecture in NETWORKS}
    assert device.error["networks"] == len(NETWORKS)


def test_an_op_that_was_not_measured_is_missing(measured):
    model = load_target("host")
    with pytest.raises(MissingOpError, match=r"host has no latency of \d+ ops: .*nas latency measure --target host"):
        model.estimate(network(128))


def test_a_killed_fill_goes_on_where_it_stopped(cache):
    code = (
        "import os\n"
        "from tests.test_latency_host import EFFORT, LAYERS, NETWORKS, fill_host_table\n"
        "def progress(done, total):\n"
        "    if done == 5:\n"
        "        os.kill(os.getpid(), 9)\n"
        "fill_host_table(LAYERS, architectures=NETWORKS, effort=EFFORT, progress=progress)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False)
    assert killed.returncode == -9
    journal, table = FLOAT.folder / "readings.csv", FLOAT.folder / "table.csv"
    kept = [line.split(",") for line in journal.read_text().splitlines()[1:]]
    assert len(kept) == 5
    for file in (journal, table):
        with file.open("ab") as torn:
            torn.write(b"conv,8,8,4")  # what a full disk or a lost power line leaves behind
    steps = steps_of_a_fill()
    assert [done for done, _ in steps] == list(range(6, steps[-1][1] + 1))
    rows = read_table(table).rows
    assert rows.keys() == {as_deployed(layer) for a in NETWORKS for layer in lower(a)}
    assert journal.read_text().splitlines() == ["item,ms,sentinel_ms,others"]
    ms = {row_key(layer): row.ms for layer, row in rows.items()}
    alone = {name: float(found) for name, found, _, _ in kept if name in ms}  # one reading is all that an op gets
    assert alone == {name: pytest.approx(ms[name]) for name in alone}


def test_a_broken_journal_is_one_clear_line(cache):
    FLOAT.folder.mkdir(parents=True)
    (FLOAT.folder / "readings.csv").write_text("item,ms,sentinel_ms,others\nconv 8 8 4 1 1 none,0.1,x,0.00\n")
    with pytest.raises(LatencyError, match=r"readings\.csv:2: 0\.1,x,0\.00; expected numbers"):
        steps_of_a_fill()


def test_new_networks_alone_bring_a_new_calibration(measured):
    first = load_target("host").version
    added = network(8).with_num_classes(7)
    steps = steps_of_a_fill([*NETWORKS, added])
    assert len(steps) == 3  # its classifier, and itself twice
    assert load_target("host").version != first
    assert added.id in list_targets()[-1].networks


def test_two_fills_at_once_measure_no_op_twice(cache):
    with ThreadPoolExecutor() as pool:
        counts = [len(steps) for steps in pool.map(steps_of_a_fill, [NETWORKS, NETWORKS])]
    assert sorted(counts)[0] == 0
    read_table(FLOAT.folder / "table.csv")  # which refuses an op listed twice


def test_too_few_networks_are_refused_before_anything_is_measured(cache):
    with pytest.raises(LatencyError, match="3 networks cannot support an interval of 90%; expected 9 or more"):
        steps_of_a_fill(NETWORKS[:3])
    assert not read_table(FLOAT.folder / "table.csv").rows


def test_a_corrupt_cache_is_refused_with_file_and_line(measured):
    with (FLOAT.folder / "table.csv").open("a") as file:
        file.write("conv,eight,8,4,1,1,none,1,0\n")
    with pytest.raises(LatencyError, match=r"table\.csv:\d+: in_channels 'eight'; expected a whole number"):
        fill_host_table(LAYERS, architectures=NETWORKS, effort=EFFORT)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("table.csv", r"table\.csv:\d+: \d cells; expected 9"),
        ("coefficients.csv", r"coefficients\.csv:\d+: \d cells; expected 3"),
        ("device.yaml", r"device\.yaml"),
    ],
)
def test_a_file_cut_short_is_one_clear_line(measured, name, error):
    path = FLOAT.folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2].rstrip(b"\n") + b"\ncut")
    with pytest.raises(LatencyError, match=error):
        load_target("host").estimate(NETWORKS[0])


def test_coefficients_cut_at_the_end_of_a_line_are_noticed(measured):
    path = FLOAT.folder / "coefficients.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(LatencyError, match=r"no row 'network'; expected one at the end: the file was cut short"):
        load_target("host")


def test_a_table_cut_short_is_mended_by_measuring_what_it_lost(measured):
    path = FLOAT.folder / "table.csv"
    rows = read_table(path).rows
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert steps_of_a_fill()
    assert read_table(path).rows.keys() == rows.keys()


def test_a_cache_that_cannot_be_written_is_one_clear_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "file"))
    with pytest.raises(LatencyError, match="Not a directory"):
        fill_host_table(LAYERS, architectures=NETWORKS, effort=EFFORT)


@pytest.mark.parametrize("layer", sorted(LAYERS, key=str), ids=str)
def test_the_graph_of_an_op_has_the_shape_of_the_layer(layer):
    session = ort.InferenceSession(op_graph(layer, np.random.default_rng(0)), providers=["CPUExecutionProvider"])
    feed = {i.name: np.ones(i.shape, np.float32) for i in session.get_inputs()}
    (found,) = session.run(None, feed)
    expected = (1, layer.out_channels, *(() if layer.kind == "linear" else (layer.out_size, layer.out_size)))
    assert found.shape == expected


def test_the_graph_of_a_network_ends_in_its_classes():
    model = network_graph(lower(NETWORKS[0]), np.random.default_rng(0))
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"x": np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)})
    assert logits.shape == (1, 4)
    assert np.isfinite(logits).all()
    assert logits.any()


def test_a_reading_has_its_sentinel():
    bench = open_bench(effort=EFFORT)
    op, network_ = Layer("conv", 16, 16, 28, 3), bench.read(NETWORKS[0])
    assert bench.read(op).ms > 0
    assert network_.ms > 0
    assert network_.sentinel_ms > 0
    assert bench.call_ms > 0


def test_a_width_between_measured_ones_is_interpolated_and_says_so(measured):
    model = load_target("host")
    seen, between = model.estimate(NETWORKS[3]), model.estimate(network(36))
    assert not seen.interpolated
    assert Layer("conv", 36, 72, 8, act="swish", norm=True) in between.interpolated
    width = (between.high_ms - between.ms) / between.ms
    assert width > (seen.high_ms - seen.ms) / seen.ms


def test_a_validation_measures_what_the_table_was_not_fitted_on(measured):
    fresh = [network(8 * i + 4) for i in range(1, 10)]
    found = validate_host([*NETWORKS, *fresh], effort=EFFORT)
    assert set(found.networks) == set(fresh)
    assert found.score.keys() == {"networks", "mape", "worst", "within_5", "within_10", "spearman", "kendall"}
    device = list_targets()[-1]
    assert device.error == found.score
    assert [item["note"] for item in device.provenance if item["used_for"] == "error and interval"] == [found.note]
    assert device.interval == pytest.approx(max(map(abs, found.errors)) + found.report.doubt, abs=1e-4)
    assert not load_target("host").estimate(fresh[0]).interpolated


def test_ops_that_the_table_lacks_are_measured_alone_and_once(measured):
    wide, steps = network(128), []
    table = FLOAT.folder / "table.csv"
    kept = read_table(table).rows
    model = measure_layers("host", lower(wide), effort=EFFORT, progress=lambda *step: steps.append(step))
    assert model.estimate(wide).ms > 0
    rows = read_table(table).rows
    added = rows.keys() - kept.keys()
    assert steps == [(done, len(added)) for done in range(1, len(added) + 1)]
    assert added <= {as_deployed(layer) for layer in lower(wide)}
    assert {layer: rows[layer] for layer in kept} == kept
    assert measure_layers("host", lower(wide), effort=EFFORT).version == model.version


@pytest.mark.parametrize(
    ("target", "error"), [("pixel", "cannot be measured from here"), ("host", "nas latency measure")]
)
def test_ops_of_a_target_that_is_not_measured_here_are_refused(cache, target, error):
    with pytest.raises(LatencyError, match=error):
        measure_layers(target, [])


def test_a_validation_without_a_table_says_what_to_do(cache):
    with pytest.raises(LatencyError, match="host has not been measured yet; run: nas latency measure"):
        validate_host(NETWORKS, effort=EFFORT)


def test_another_number_of_threads_is_another_target(measured):
    with pytest.raises(LatencyError, match=r"host-2t has not been measured yet; .*--threads 2"):
        load_target("host-2t")
    fill_host_table([], architectures=NETWORKS, setup=HostSetup(2), effort=EFFORT)
    assert load_target("host-2t").target == "host-2t"
    assert [device.target for device in list_targets()][-2:] == ["host", "host-2t"]
    with pytest.raises(MissingOpError, match=r"measure: nas latency measure --target host --threads 2 ARCH"):
        load_target("host-2t").sum_ms(Architecture(16, (ConvBlock(8, 11, 1, "relu"), PoolBlock())))
