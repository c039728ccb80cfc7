"""Latency tables as files: what is read, what is refused, what an estimate adds up to."""

from dataclasses import replace
from pathlib import Path

import pytest

from nas.architecture import Architecture, ConvBlock, MBConvBlock, PoolBlock
from nas.errors import LatencyError, MissingOpError
from nas.latency.calibration import Calibration, calibrate, half_width, leave_one_out
from nas.latency.device import read_device, write_device
from nas.latency.table import Row, Table, as_deployed, format_row, read_coefficients, read_table
from nas.latency.targets import load_folder, load_target
from nas.layers import Layer, lower
from nas.resources import data_dir

PIXEL1 = data_dir("latency_models") / "pixel1"
HEADER = "kind,in_channels,out_channels,size,kernel,stride,act,ms,spread\n"

TINY = Architecture(
    32,
    (
        ConvBlock(8, 3, 2, "hswish"),
        MBConvBlock(8, 24, 3, 1, "relu", se_channels=8, skip="identity"),
        MBConvBlock(8, 24, 3, 1, "relu", se_channels=8, skip="identity"),
        PoolBlock(),
    ),
    num_classes=10,
)


def table_folder(folder: Path, rows: dict[Layer, float]) -> Path:
    """A device whose ops cost what `rows` says, calibrated to twice their sum and 1 ms."""
    folder.mkdir()
    device = replace(read_device(PIXEL1 / "device.yaml"), calibration=Calibration(2.0, 1.0), interval=0.1)
    write_device(device, folder / "device.yaml")
    text = HEADER + "".join(format_row(Row(as_deployed(layer), ms, 0.01)) for layer, ms in rows.items())
    (folder / "table.csv").write_text(text)
    return folder


def test_an_estimate_is_the_calibrated_sum_of_the_ops(tmp_path):
    layers = lower(TINY)
    costs = {layer: 2.0**-i for i, layer in enumerate(dict.fromkeys(layers))}
    model = load_folder(table_folder(tmp_path / "phone", costs))
    by_hand = 0.0
    for layer in layers:  # the second block costs what the first did
        by_hand += costs[layer]
    latency = model.estimate(TINY)
    assert latency.ms == pytest.approx(2 * by_hand + 1, rel=1e-5)
    assert (latency.low_ms, latency.high_ms) == pytest.approx((0.9 * latency.ms, 1.1 * latency.ms))
    assert model.target == "phone"


def test_a_missing_op_is_named_with_the_command_that_measures_it(tmp_path):
    costs = dict.fromkeys(lower(TINY), 1.0)
    gone = next(layer for layer in costs if layer.kind == "depthwise")
    del costs[gone]
    model = load_folder(table_folder(tmp_path / "host", costs))
    with pytest.raises(MissingOpError, match=r"depthwise 24 k3 s1 @16 relu.*nas latency measure --target host ARCH"):
        model.estimate(TINY)


def test_the_version_follows_the_content(tmp_path):
    costs = dict.fromkeys(lower(TINY), 1.0)
    folder = table_folder(tmp_path / "phone", costs)
    first = load_folder(folder).version
    assert load_folder(folder).version == first
    with (folder / "table.csv").open("a") as file:
        file.write(format_row(Row(Layer("add", 4, 4, 4), 1.0, 0.0)))
    assert load_folder(folder).version != first


def test_rows_survive_the_file(tmp_path):
    rows = [Row(as_deployed(layer), 0.125, 0.5) for layer in dict.fromkeys(lower(TINY))]
    (tmp_path / "table.csv").write_text(HEADER + "".join(map(format_row, rows)))
    assert read_table(tmp_path / "table.csv") == Table({row.layer: row for row in rows})


def test_batch_norm_does_not_change_the_op():
    with_norm, with_bias = Layer("conv", 8, 8, 4, norm=True), Layer("conv", 8, 8, 4, bias=True)
    assert as_deployed(with_norm) == as_deployed(with_bias)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty; expected the header kind,in_channels"),
        ("kind,ms\n", "table.csv:1: header 'kind,ms'; expected kind,in_channels"),
        (HEADER + "conv,8,8,4,3\n", "table.csv:2: 5 cells; expected 9"),
        (HEADER + "conv,8,8,4,3,1,relu,abc,0\n", "table.csv:2: ms 'abc'; expected a number"),
        (HEADER + "conv,8,8,4,3,1,relu,-1,0\n", "table.csv:2: ms '-1'; expected a number of at least 0"),
        (HEADER + "conv,8,8,4,3,1,relu,nan,0\n", "table.csv:2: ms 'nan'"),
        (HEADER + "conv,8.5,8,4,3,1,relu,1,0\n", "table.csv:2: in_channels '8.5'; expected a whole number"),
        (HEADER + "lstm,8,8,4,3,1,relu,1,0\n", "table.csv:2: kind 'lstm'; expected one of conv"),
        (HEADER + "conv,8,8,4,3,1,gelu,1,0\n", "table.csv:2: act 'gelu'; expected one of none"),
        (HEADER + "add,8,8,4,1,1,none,1,0\n" * 2, "table.csv:3: add 8 k1 s1 @4 is listed twice"),
        (HEADER + '"conv,8\n', "table.csv:2: .*expected CSV"),
        ("\0\1\2", "expected"),
    ],
)
def test_a_corrupt_table_is_refused_with_file_line_and_expectation(tmp_path, text, message):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(LatencyError, match=message):
        read_table(path)


def test_a_table_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LatencyError, match=r"table\.csv: not a text file"):
        read_table(path)


def test_a_coefficient_given_twice_is_refused(tmp_path):
    path = tmp_path / "coefficients.csv"
    path.write_text("feature,ms_per_million,evidence\nadd_values,1,fit\nadd_values,2,fit\n")
    with pytest.raises(LatencyError, match=r"coefficients\.csv:3: add_values is listed twice"):
        read_coefficients(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("core: ", "cores: ", "unknown key 'cores'; expected one of"),
        ("threads: 1", "threads: one", "threads: 'one'; expected a whole number"),
        ("scale: ", "scale: -", "calibration.scale: -.*expected a number of at least 0"),
        ("device: Google Pixel 1", "device: [1]", "device: .*expected text"),
        ("device: Google Pixel 1", "device: !!python/object/apply:os.getcwd []", "not plain YAML"),
        ("interval:\n", "interval: 3\nother:\n", "unknown key 'other'"),
        ("aliases:\n- pixel\n", "aliases: pixel\n", "aliases: 'pixel'; expected a list"),
    ],
)
def test_a_wrong_device_file_is_refused_with_file_and_key(tmp_path, old, new, message):
    text = (PIXEL1 / "device.yaml").read_text()
    assert old in text
    path = tmp_path / "device.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(LatencyError, match=rf"device\.yaml: .*{message}"):
        read_device(path)


@pytest.mark.parametrize("content", [b"", b"\xff\x00\x01", b"- a\n- b\n", b"a: [\n"])
def test_an_empty_or_binary_device_file_is_one_clear_error(tmp_path, content):
    path = tmp_path / "device.yaml"
    path.write_bytes(content)
    with pytest.raises(LatencyError, match=r"device\.yaml: ") as caught:
        read_device(path)
    assert "\n" not in str(caught.value)


def test_a_device_survives_the_file(tmp_path):
    device = replace(read_device(PIXEL1 / "device.yaml"), target=tmp_path.name, fit=None, resolution=None)
    write_device(device, tmp_path / "device.yaml")
    assert read_device(tmp_path / "device.yaml") == device


def test_an_unknown_target_lists_the_known_ones():
    with pytest.raises(LatencyError, match=r"unknown target 'pixel9'; expected one of pixel1.*pixel, host"):
        load_target("pixel9")


def test_host_without_measurements_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    with pytest.raises(LatencyError, match="nas latency measure --target host"):
        load_target("host")


def test_calibration_finds_the_scale_and_offset_that_made_the_figures():
    sums = [1.0, 2.0, 5.0, 9.0]
    found = calibrate(sums, [0.5 * s + 3 for s in sums])
    assert (found.scale, found.offset_ms) == pytest.approx((0.5, 3.0))


def test_calibration_never_takes_time_off_every_network():
    sums = [1.0, 2.0, 5.0, 9.0]
    found = calibrate(sums, [2 * s - 0.5 for s in sums])
    assert found.offset_ms == 0
    assert found.scale > 0


def test_a_network_that_is_left_out_does_not_shape_its_own_estimate():
    sums, measured = [1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 6.0, 80.0]
    assert leave_one_out(sums, measured)[3] == pytest.approx(8 / 80 - 1)


def test_nine_errors_bound_a_tenth_in_nine_cases_of_ten():
    errors = [0.01, -0.09, 0.02, 0.03, -0.04, 0.05, 0.06, 0.07, 0.08]
    assert half_width(errors) == 0.09
    with pytest.raises(LatencyError, match="8 networks cannot support an interval of 90%"):
        half_width(errors[:8])
