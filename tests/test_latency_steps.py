"""Width steps: found in curves, measured once, and what pruning is told of targets without them."""

import json
from math import ceil
from random import Random

import pytest

from nas.errors import LatencyError
from nas.latency import measure_steps as measuring
from nas.latency.bench import FULL, Bench
from nas.latency.csv_file import append, repair
from nas.latency.curves import KINDS, SWEEPS, WIDTHS, Curve, Sweep
from nas.latency.host import FLOAT
from nas.latency.steps import STEP_COLUMNS, STEPS, WidthSteps, format_point, read_points, width_steps
from nas.layers import Layer
from tests.test_latency_cli import nas  # noqa: F401 - a fixture

SWEEP = Sweep("depthwise", 28)


def curve(ms, sweep=SWEEP):
    return Curve(sweep, {width: ms(width) for width in WIDTHS})


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("step", [8, 16, 32])
def test_padding_is_found_under_noise(step, seed):
    rng = Random(seed)
    padded = curve(lambda width: (3 + ceil(width / step) * step / 10) * rng.gauss(1, 0.005))
    assert padded.step == step


@pytest.mark.parametrize("seed", range(5))
def test_latency_that_falls_evenly_has_no_steps(seed):
    rng = Random(seed)
    assert curve(lambda width: width / 10).step == 1
    assert curve(lambda width: 3 + width / 10 * rng.gauss(1, 0.003)).step == 1
    assert curve(lambda width: 3.0).step == 1


def test_widths_that_leave_the_fast_path_do_not_hide_the_steps():
    """As with ONNX Runtime, which keeps its blocked layout for multiples of 4 and pads those to 16."""
    ragged = curve(lambda width: (1.0 if width % 4 else 0.6) * ceil(width / 16) * 16 / 10)
    assert ragged.step == 16
    assert ragged.between == pytest.approx(0.8 * (1 / 0.6 - 1), rel=0.05)  # 12 of the 15 widths in between


def test_a_step_is_one_that_holds_on_every_map():
    steps = WidthSteps(
        "t",
        "measured",
        [
            curve(lambda width: ceil(width / 16), Sweep("depthwise", 28)),
            curve(lambda width: ceil(width / 8), Sweep("depthwise", 14)),
            curve(lambda width: ceil(width / 32), Sweep("convolution", 28)),
            curve(lambda width: width, Sweep("expansion", 28)),
        ],
    )
    assert dict(steps.by_kind) == {"depthwise": 8, "convolution": 32, "expansion": 1}
    assert (steps.step(), steps.step("convolution"), steps.step("expansion")) == (32, 32, 8)
    with pytest.raises(LatencyError, match="width steps of 'pooling'; expected one of pointwise output"):
        steps.step("pooling")


@pytest.mark.parametrize("kind", KINDS)
def test_a_sweep_varies_one_width_alone(kind):
    narrow, wide = (Sweep(kind, 28).layers(width) for width in (40, 48))
    assert len(narrow) == len(wide)
    assert all(isinstance(layer, Layer) for layer in narrow)
    assert {(n.size, n.kernel, n.kind) for n in narrow} == {(w.size, w.kernel, w.kind) for w in wide}
    widths = {width for layer in narrow for width in (layer.in_channels, layer.out_channels)}
    assert 40 in widths
    assert widths - {40} <= {64, 192}


def test_a_linear_model_is_said_to_have_no_steps(nas):  # noqa: F811
    steps = width_steps("pixel")
    assert (steps.target, steps.source, steps.step()) == ("pixel1", "model", 8)
    assert set(steps.by_kind.values()) == {1}
    assert len(steps.curves) == len(SWEEPS)
    code, out, _ = nas("steps", "--target", "pixel")
    assert code == 0
    assert "falls with every channel: it knows of no steps" in out
    record = json.loads(nas("steps", "--target", "pixel", "--json", "--plot", "steps.png")[1])
    assert (record["source"], record["step"], record["curves"][0]["share"]) == ("model", 8, None)


def test_this_machine_has_no_steps_until_they_are_measured(cache):
    assert width_steps("host") == WidthSteps("host", "assumed", ())
    assert width_steps("host").step() == 8
    with pytest.raises(LatencyError, match="unknown target 'hots'"):
        width_steps("hots")


def test_widths_are_measured_once_and_kept_as_they_come(cache, monkeypatch):
    monkeypatch.setattr(measuring, "SWEEPS", SWEEPS[4:5])
    monkeypatch.setattr(measuring, "WIDTHS", (40, 48, 64))
    path = FLOAT.folder / STEPS
    path.parent.mkdir(parents=True)
    repair(path, ",".join(STEP_COLUMNS) + "\n")
    append(path, format_point((SWEEPS[4], 48), 0.125, 0.01) + "depthwise,28,64,0.1")  # torn by a kill
    steps = []
    found = measuring.measure_steps(FLOAT, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(done, 6) for done in range(1, 7)]
    assert found.source == "assumed"  # the other sweeps are still to come
    points = read_points(path)
    assert {width for _, width in points} == {40, 48, 64}
    assert points[SWEEPS[4], 48] == 0.125
    assert 0 < points[SWEEPS[4], 64] < 100


def test_every_width_of_every_sweep_is_measured_as_its_own_ops(cache, monkeypatch):
    """On a machine whose time is the sum of all widths of the ops, padded to 16."""

    def padded_ms(bench, layers):
        return sum(ceil(w / 16) for layer in layers for w in (layer.in_channels, layer.out_channels))

    monkeypatch.setattr(measuring, "open_bench", lambda setup: Bench(setup, FULL, lambda: 0.5, 0.0))
    monkeypatch.setattr(Bench, "op_ms", padded_ms)
    found = measuring.measure_steps(FLOAT)
    assert (found.source, found.step()) == ("measured", 16)
    assert {curve.sweep: curve.ms for curve in found.curves} == {
        sweep: {width: padded_ms(None, sweep.layers(width)) for width in WIDTHS} for sweep in SWEEPS
    }


def test_complete_sweeps_are_read_as_measured(cache):
    path = FLOAT.folder / STEPS
    path.parent.mkdir(parents=True)
    repair(path, ",".join(STEP_COLUMNS) + "\n")
    for sweep in SWEEPS:
        for width in WIDTHS:
            append(path, format_point((sweep, width), ceil(width / 16), 0.0))
    steps = width_steps("host")
    assert (steps.source, steps.step(), steps.step("bottleneck")) == ("measured", 16, 16)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("depthwise,28,x,1.0,0.0", "expected a kind and numbers"),
        ("pooling,28,40,1.0,0.0", "expected a kind of pointwise output"),
        ("depthwise,28,40,nan,0.0", "milliseconds of at least 0"),
        ("depthwise,28", "2 cells; expected 5"),
    ],
)
def test_a_broken_file_of_steps_is_named_with_its_line(cache, line, message):
    path = FLOAT.folder / STEPS
    path.parent.mkdir(parents=True)
    repair(path, ",".join(STEP_COLUMNS) + "\n")
    append(path, line + "\n")
    with pytest.raises(LatencyError, match=rf"steps\.csv:2: .*{message}"):
        width_steps("host")
