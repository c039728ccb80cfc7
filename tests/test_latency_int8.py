"""Quantised graphs beside those of `onnxruntime.quantization`, and the table of this machine for them."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from nas.errors import LatencyError
from nas.latency import bench, board_runner
from nas.latency.graph import network_graph, op_graph
from nas.latency.host import HostSetup, host_setup
from nas.latency.measure import fill_host_table, measure_network, validate_host
from nas.latency.session import session
from nas.latency.targets import list_targets, load_target
from nas.layers import Layer, lower
from nas.space import read_reference
from tests.test_latency_host import EFFORT, LAYERS, NETWORKS, network

INT8 = HostSetup(dtype="int8")
ENDS = ("Transpose", "QuantizeLinear", "DequantizeLinear")


class OneDraw(CalibrationDataReader):
    """Normal values for each input, once."""

    def __init__(self, model: onnx.ModelProto) -> None:
        rng = np.random.default_rng(0)
        shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
        self._feeds = iter([{name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def by_the_runtime(graph: bytes, folder: Path) -> bytes:
    """The float model as the runtime's own tool quantises it."""
    model, path = onnx.load_from_string(graph), folder / "quantised.onnx"
    quantize_static(
        model, path, OneDraw(model), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    return path.read_bytes()


def as_run(graph: bytes, folder: Path) -> list[str]:
    """The ops that the runtime makes of the model, in order."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node]


def node_types(graph: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(graph).graph.node)


def run(graph: bytes, feed: dict[str, np.ndarray]) -> np.ndarray:
    return session(graph).run(None, feed)[0]


@pytest.mark.parametrize(
    "architecture",
    [network(8), read_reference("mobilenet_v3_small").architecture.with_resolution(64)],
    ids=["every kind of op", "mobilenet_v3_small"],
)
def test_a_quantised_network_is_what_quantize_static_makes_and_runs_alike(architecture, tmp_path):
    graphs = [network_graph(lower(architecture), np.random.default_rng(0), dtype) for dtype in ("float32", "int8")]
    expected = by_the_runtime(graphs[0], tmp_path)
    assert node_types(graphs[1]) == node_types(expected)
    assert as_run(graphs[1], tmp_path) == as_run(expected, tmp_path)
    assert "QLinearConv" in as_run(expected, tmp_path)


OPS = [
    Layer("conv", 8, 16, 12, 3, 2, act="relu6"),
    Layer("conv", 8, 24, 12, act="hswish"),
    Layer("conv", 8, 24, 12, act="swish"),
    Layer("depthwise", 24, 24, 12, 5, act="relu"),
    Layer("conv", 24, 8, 1, act="relu"),
    Layer("conv", 8, 24, 1, act="hsigmoid"),
    Layer("linear", 24, 10, 1),
    Layer("pool", 24, 24, 3, kernel=3),
    Layer("scale", 24, 24, 12),
    Layer("add", 24, 24, 12),
]


@pytest.mark.parametrize("layer", OPS, ids=str)
def test_a_quantised_op_is_what_quantize_static_makes_but_for_its_ends(layer, tmp_path):
    graphs = [op_graph(layer, np.random.default_rng(0), dtype) for dtype in ("float32", "int8")]
    expected = by_the_runtime(graphs[0], tmp_path)
    ends = Counter(QuantizeLinear=1 + (layer.kind in ("add", "scale")), DequantizeLinear=1)
    if layer.act in ("hswish", "hsigmoid"):
        ends.clear()  # at the end of a graph it leaves them float: no QuantizeLinear there for the one at the input
    assert node_types(graphs[1]) - Counter(Transpose=3) == node_types(expected) - ends
    inside = [op for op in as_run(graphs[1], tmp_path) if op not in ENDS]
    assert inside == [op for op in as_run(expected, tmp_path) if op not in ENDS]


@pytest.mark.parametrize("layer", [layer for layer in OPS if layer.kind != "pool"], ids=str)
def test_a_quantised_op_alone_runs_without_copies_at_its_ends(layer, tmp_path):
    assert "Transpose" not in as_run(op_graph(layer, np.random.default_rng(0), "int8"), tmp_path)


@pytest.mark.parametrize("load", [session, board_runner.stopwatch])
def test_products_are_exact_on_processors_without_vnni(load, monkeypatch):
    """Where a processor has it, this has no effect, and what a quantised op computes (below) cannot tell."""
    asked = []

    def make(model, options, **others):
        asked.append(options.get_session_config_entry("session.x64quantprecision"))
        return real(model, options, **others)

    real = ort.InferenceSession
    monkeypatch.setattr(ort, "InferenceSession", make)
    load(op_graph(OPS[0], np.random.default_rng(0), "int8"))
    assert asked == ["1"]


@pytest.mark.parametrize("layer", [Layer("conv", 8, 16, 12, 3, 2, act="relu6"), *OPS[3:]], ids=str)
def test_a_quantised_op_computes_what_the_float_op_does(layer):
    """To a few steps of the output's 255; the inputs are in steps that the quantised graph reads exactly."""
    rng = np.random.default_rng(1)
    shape = [1, layer.in_channels] + ([] if layer.kind == "linear" else [layer.size, layer.size])
    names = {"x": shape} | ({"y": shape} if layer.kind == "add" else {})
    names |= {"y": [1, layer.in_channels, 1, 1]} if layer.kind == "scale" else {}
    levels = {name: rng.integers(100, 156, shape, np.uint8) for name, shape in names.items()}
    values = {name: ((level.astype(np.float32) - 128) * (12 / 255)) for name, level in levels.items()}
    expected = run(op_graph(layer, np.random.default_rng(0)), values)
    last = {name: np.moveaxis(level, 1, -1) if level.ndim == 4 else level for name, level in levels.items()}
    found = run(op_graph(layer, np.random.default_rng(0), "int8"), last)
    found = np.moveaxis(found, -1, 1) if found.ndim == 4 else found
    least, most = {"relu": (0, 6), "relu6": (0, 6), "hsigmoid": (0, 1)}.get(layer.act, (-6, 6))
    step = (most - least) / 255
    dequantised = (found.astype(np.float32) - round(-least / step)) * step
    assert np.abs(dequantised - np.clip(expected, least, most)).max() < 3 * step
    assert np.ptp(found) > 10


@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_the_name_of_a_setup_says_it_all(threads, dtype):
    setup = HostSetup(threads, dtype)
    assert host_setup(setup.name) == setup


@pytest.mark.parametrize("name", ["host-1t", "host-float32", "host-int8-4t", "hosts", "host-4"])
def test_other_names_are_not_this_machine(name):
    assert host_setup(name) is None


@pytest.mark.parametrize("setup", [HostSetup(), INT8], ids=str)
def test_what_a_bench_times_is_of_its_format(setup, monkeypatch):
    graphs: list[bytes] = []
    monkeypatch.setattr(bench, "_stopwatch", lambda graph, threads: graphs.append(graph) or (lambda: 1.0))
    opened = bench.open_bench(setup, EFFORT)
    graphs.clear()  # the sentinel, which is float in any case, and the call
    opened.op_ms(OPS[:1])
    opened.op_ms(OPS[:2])
    opened.read(network(8))
    assert [node_types(graph)["QuantizeLinear"] > 0 for graph in graphs] == [setup == INT8] * 3


@pytest.fixture
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))


def test_int8_is_another_device_with_a_table_of_its_own(cache):
    with pytest.raises(LatencyError, match=r"host-int8 has not been measured yet; run: .* --target host --dtype int8"):
        load_target("host-int8")
    assert fill_host_table(LAYERS, architectures=NETWORKS, setup=INT8, effort=EFFORT).target == "host-int8"
    device = list_targets()[-1]
    assert (device.target, device.dtype, device.threads) == ("host-int8", "int8", 1)
    assert any("uint8 per tensor, weights int8 per output channel" in item["source"] for item in device.provenance)
    fresh = [network(8 * i + 4) for i in range(1, 10)]
    assert set(validate_host(fresh, setup=INT8, effort=EFFORT).networks) == set(fresh)
    assert load_target("host-int8").estimate(fresh[0]).ms > 0
    assert measure_network(fresh[0], INT8) > 0
    with pytest.raises(LatencyError, match="host has not been measured yet"):
        load_target("host")
