"""Ops that a table has not seen: measured where that is possible, else interpolated and counted, or refused."""

import json
from pathlib import Path

import pytest

from nas.architecture import Architecture, ConvBlock, LinearBlock, MBConvBlock, PoolBlock
from nas.errors import LatencyError, MissingOpError
from nas.latency.bench import FULL, QUICK
from nas.latency.host import FLOAT
from nas.latency.measure import fill_host_table
from nas.latency.model import OpSumModel
from nas.latency.on_miss import MeasuringModel, load_model
from nas.latency.table import TABLE, as_deployed, read_table
from nas.latency.targets import load_target
from nas.layers import lower
from tests.test_cli import nas  # noqa: F401 - a fixture


def network(width, mid=32):
    blocks = (
        ConvBlock(width, 3, 2, "relu"),
        MBConvBlock(width, mid, 3, 1, "relu"),
        PoolBlock(),
        LinearBlock(8, "relu"),
    )
    return Architecture(32, blocks, num_classes=4)


KNOWN = [network(8 * i, 16 * i) for i in range(2, 11)]
FREE = network(36, 72)  # widths between those of the table


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(folder))
        fill_host_table([], architectures=KNOWN, effort=QUICK)
    return folder


@pytest.fixture
def host(cache, monkeypatch):
    """The table with the ops of `KNOWN`, and again without what a test adds."""
    monkeypatch.setenv("NAS_CACHE", str(cache))
    path = FLOAT.folder / TABLE
    kept = path.read_bytes()
    yield path
    path.write_bytes(kept)


def test_an_op_that_was_not_measured_is_measured_once_and_estimated_without_doubt(host):
    before = len(read_table(host).rows)
    steps = []
    model = load_model("host", progress=lambda done, total: steps.append((done, total)))
    assert isinstance(model, MeasuringModel)
    guess = load_model("host", "interpolate").estimate(FREE)
    found = model.estimate(FREE)
    count = len(guess.interpolated)
    assert count > 0
    assert not found.interpolated
    assert (found.high_ms - found.low_ms) / found.ms < (guess.high_ms - guess.low_ms) / guess.ms
    readings = count * FULL.op_passes
    assert steps == [(i, readings) for i in range(1, readings + 1)]
    assert len(read_table(host).rows) == before + count
    assert model.estimate(FREE) == found == load_model("host", "interpolate").estimate(FREE)
    assert len(steps) == readings


def test_a_version_outlives_what_is_measured_on_a_miss(host):
    """A study keeps to one version of its table, and goes on after somebody else's miss."""
    model = load_model("host")
    version, known = model.version, model.estimate(KNOWN[0])
    model.estimate(FREE)
    assert model.version == load_model("host").version == version
    assert load_model("host").estimate(KNOWN[0]) == known


def test_what_is_interpolated_does_not_change_with_what_others_measure(host):
    """The proposals of an adaptation follow from these estimates: with others, a stopped one could not go on."""
    near = network(35, 70)
    before = [load_target("host", as_calibrated=True).estimate(one) for one in (FREE, near)]
    load_model("host").estimate(FREE)
    assert [load_target("host", as_calibrated=True).estimate(one) for one in (FREE, near)] == before
    assert load_target("host").estimate(FREE).interpolated == ()
    assert load_target("host").estimate(near) != before[1]


def test_many_networks_are_prepared_in_one_go(host):
    model = load_model("host")
    assert model.prepare(KNOWN) == 0
    assert model.prepare([network(36, 72), network(44, 72)]) == len(read_table(host).rows) - rows_of(KNOWN)
    assert model.prepare([network(36, 72), network(44, 72)]) == 0


def rows_of(networks):
    return len({as_deployed(layer) for network in networks for layer in lower(network)})


def test_a_wider_interval_stays_wider_after_a_miss(host):
    narrow, wide = load_model("host").with_coverage(0.5), load_model("host").with_coverage(0.89)
    assert wide.prepare([FREE]) > 0
    first, second = narrow.estimate(FREE), wide.estimate(FREE)
    assert first.ms == second.ms
    assert second.high_ms >= first.high_ms
    assert wide.model.device.coverage == 0.89


def test_a_strict_model_names_what_it_lacks(host):
    model = load_model("host", "error")
    assert model.estimate(KNOWN[3]) == load_model("host").estimate(KNOWN[3])
    with pytest.raises(MissingOpError, match=r"host has no latency of \d ops: conv 3->36 .*nas latency measure"):
        model.with_coverage(0.5).estimate(FREE)


def test_what_cannot_be_measured_here_interpolates():
    assert isinstance(load_model("pixel"), OpSumModel)
    with pytest.raises(LatencyError, match="unknown target"):
        load_model("nothing")


def test_commands_say_how_many_ops_are_interpolated(host, nas):  # noqa: F811
    Path("free.json").write_text(FREE.to_json())
    shown = json.loads(nas("show", "free.json", "--target", "host", "--json")[1])["latency"]["interpolated"]
    assert shown > 0
    assert (
        f"{shown} ops interpolated, which nas latency estimate measures"
        in nas("show", "free.json", "--target", "host")[1]
    )
    estimate = ("latency", "estimate", "free.json", "--target", "host", "--json")
    _, out, err = nas(*estimate, "--on-miss", "interpolate")
    assert json.loads(out)[0]["interpolated"] == shown
    assert f"free on host: {shown} ops interpolated" in err
    code, _, err = nas(*estimate, "--on-miss", "error")
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert json.loads(nas(*estimate)[1])[0]["interpolated"] == 0
