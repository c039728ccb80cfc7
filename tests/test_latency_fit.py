"""`nas latency fit`: targets of the user's own from measured whole networks."""

import csv
import itertools
import json
import math
from pathlib import Path
from random import Random

import pytest

from nas.errors import LatencyError
from nas.latency.fit import Sample, cross_validate, parse_block
from nas.latency.table import read_coefficients
from nas.latency.targets import list_targets, load_target
from nas.layers import lower
from nas.space import load_reference, load_space, references
from tests.test_cli import nas  # noqa: F401 - a fixture

PIXEL1 = load_target("pixel1")
SPACE = load_space("mobilenet_v3")


def networks(count, seed=0):
    rng = Random(seed)
    return [SPACE.decode(SPACE.sample(rng)) for _ in range(count)]


def phone_ms(network, rng):
    """A phone twice as slow as a Pixel 1 plus 3 ms, measured with 1 % of noise."""
    return (2 * PIXEL1.estimate(network).ms + 3) * (1 + rng.gauss(0, 0.01))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def write_csv(folder, architectures):
    rng, lines = Random(1), ["network,ms"]
    for i, network in enumerate(architectures):
        (folder / f"n{i}.json").write_text(network.to_json())
        lines.append(f"n{i}.json,{phone_ms(network, rng):.4f}")
    (folder / "phone.csv").write_text("\n".join(lines) + "\n")


def test_a_fitted_phone_is_found_by_its_name_and_estimates_networks_it_has_not_seen(nas, folder):  # noqa: F811
    write_csv(folder, networks(80))
    code, out, err = nas("latency", "fit", "--csv", "phone.csv", "--target", "phone", "--device", "A phone", "--json")
    assert code == 0, err
    made = json.loads(out)
    assert made["error"]["networks"] == 80
    assert made["error"]["mape"] < 3
    model = load_target("phone")
    for network in networks(30, seed=5):
        assert model.estimate(network).ms == pytest.approx(phone_ms(network, Random(0)), rel=0.08)
    device = next(device for device in list_targets() if device.target == "phone")
    assert (device.device, device.resolution, len(device.errors)) == ("A phone", 224, 80)
    assert device.fit["mape"] == pytest.approx(device.error["mape"], abs=0.01)
    listed = json.loads(nas("latency", "list", "--json")[1])
    assert "phone" in {record["target"] for record in listed}
    assert model.with_coverage(0.95).estimate(network).high_ms > model.estimate(network).high_ms


def test_few_networks_can_still_scale_another_target(nas, folder):  # noqa: F811
    names, rng = references(), Random(1)
    rows = [f"{name},{phone_ms(load_reference(name), rng):.4f}" for name in names]
    (folder / "phone.csv").write_text("network,ms\n" + "\n".join(rows) + "\n")
    code, out, err = nas("latency", "fit", "--csv", "phone.csv", "--target", "phone")
    assert (code, out) == (2, "")
    assert f"{len(names)} networks cannot support" in err
    assert "--like TARGET" in err
    with pytest.raises(LatencyError, match="unknown target 'phone'"):
        load_target("phone")
    code, out, err = nas("latency", "fit", "--csv", "phone.csv", "--target", "phone", "--like", "pixel", "--out", "own")
    assert code == 0, err
    model = load_target("own/phone")
    assert model.device.calibration.offset_ms == pytest.approx(3, abs=1)
    assert model.device.networks[load_reference(names[0]).id] > 0
    for network in networks(10):
        assert model.estimate(network).ms == pytest.approx(phone_ms(network, Random(0)), rel=0.06)


def test_layer_strings_and_names_mix(nas, folder):  # noqa: F811
    rows = [f"c3s2i3o{8 * i} ds3s1i{8 * i}o16 gap,{i}.5" for i in range(1, 9)]
    (folder / "n.csv").write_text("network,ms\nmobilenet_v2,60\n" + "\n".join(rows) + "\n")
    code, _, err = nas("latency", "fit", "--csv", "n.csv", "--target", "odd", "--like", "pixel1", "--json")
    assert code == 0, err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "n.csv:1: header ''; expected network,ms"),
        ("arch,ms\n", "n.csv:1: header 'arch,ms'; expected network,ms"),
        ("network,ms\nmobilenet_v2\n", "n.csv:2: 1 cells; expected 2, a network and milliseconds"),
        ("network,ms\nmobilenet_v2,fast\n", "n.csv:2: ms 'fast'; expected milliseconds above 0"),
        ("network,ms\nmobilenet_v2,0\n", "n.csv:2: ms '0'; expected milliseconds above 0"),
        ("network,ms\nmobilenet_v2,inf\n", "n.csv:2: ms 'inf'; expected"),
        ("network,ms\nmobilenet_v2,nan\n", "n.csv:2: ms 'nan'; expected"),
        ("network,ms\nmobilenet_v2,60\nresnet,1\n", "n.csv:3: unknown network 'resnet'"),
        ("network,ms\nmobilenet_v2,60\nmobilenet_v2,61\n", "n.csv:3: the network of line 2 again; expected one row"),
        ("network,ms\nc3s2i3o32 mb3s1i16m96o24 gap,1\n", "n.csv:2: layer 'mb3s1i16m96o24' behind 32 channels"),
        ("network,ms\nabsent.json,1\n", "absent.json: No such file"),
        ('network,ms\n"mobilenet_v2,1\n', "n.csv:2: unexpected end of data; expected CSV"),
        ("network,ms\nmobilenet_v2,60\n", "1 networks cannot support"),
    ],
)
def test_a_wrong_file_is_one_line_with_file_line_and_expectation(nas, folder, text, message):  # noqa: F811
    (folder / "n.csv").write_text(text)
    code, out, err = nas("latency", "fit", "--csv", "n.csv", "--target", "phone")
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not list(folder.glob("cache/targets/*"))


def test_binary_and_absent_files_are_refused(nas, folder):  # noqa: F811
    (folder / "n.csv").write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in nas("latency", "fit", "--csv", "n.csv", "--target", "phone")[2]
    assert "no.csv: No such file" in nas("latency", "fit", "--csv", "no.csv", "--target", "phone")[2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pixel1", "'pixel1' is taken"),
        ("pixel", "'pixel' is taken"),
        ("host", "'host' is taken"),
        ("host-4t", "'host-4t' is taken"),
        ("../up", "expected a name"),
        ("", "expected a name"),
    ],
)
def test_a_name_that_is_taken_or_no_word_is_refused(nas, folder, name, message):  # noqa: F811
    assert message in nas("latency", "fit", "--csv", "n.csv", "--target", name)[2]


def test_a_target_is_replaced_on_request_alone(nas, folder):  # noqa: F811
    write_csv(folder, networks(9))
    fit = ("latency", "fit", "--csv", "phone.csv", "--target", "phone", "--like", "pixel1")
    assert nas(*fit)[0] == 0
    first = load_target("phone").version
    assert "give --replace, or another --target" in nas(*fit)[2]
    write_csv(folder, networks(12, seed=3))
    assert nas(*fit, "--replace")[0] == 0
    assert load_target("phone").version != first
    assert nas(*fit[:-1], "phone", "--replace")[0] == 0  # like itself


def test_a_network_does_not_shape_its_own_cross_validated_estimate():
    rng = Random(1)
    samples = [Sample(network, phone_ms(network, rng)) for network in networks(60)]
    errors = cross_validate(samples)
    assert max(map(abs, errors)) < 0.15
    samples[7] = Sample(samples[7].architecture, samples[7].ms * 10)
    assert cross_validate(samples)[7] == pytest.approx((1 + errors[7]) / 10 - 1)


def test_another_reading_of_a_block_is_not_fitted_before_it_is_judged(nas, folder):  # noqa: F811
    rng = Random(1)
    once = [Sample(network, phone_ms(network, rng)) for network in networks(30)]
    assert cross_validate([sample for sample in once for _ in range(2)]) == pytest.approx(
        [error for error in cross_validate(once) for _ in range(2)], abs=1e-3
    )
    lines = ["block,size,ms", *["mb3s1i24m72o24,56,1.5", "mb5s1i40m240o40,28,1.9"] * 40]
    (folder / "blocks.csv").write_text("\n".join(lines) + "\n")
    code, _, err = nas("latency", "fit", "--blocks", "blocks.csv", "--target", "phone", "--out", ".")
    assert (code, "80 blocks, 2 of them different, cannot support" in err) == (2, True)


def test_the_coefficients_say_how_many_networks_stand_behind_them(nas, folder):  # noqa: F811
    write_csv(folder, networks(60))
    assert nas("latency", "fit", "--csv", "phone.csv", "--target", "phone", "--out", ".")[0] == 0
    text = (folder / "phone" / "coefficients.csv").read_text()
    assert "network," in text
    assert "fit; in 60 of 60 networks" in text
    assert all(value >= 0 for value in read_coefficients(folder / "phone" / "coefficients.csv").ms_per_unit.values())


PIXEL1_DATA = Path(__file__).parents[2] / "shared/data/pixel1"


def tunas_blocks():
    """The residual blocks of the TuNAS tables, in the format of `--blocks`."""
    lines = (PIXEL1_DATA / "blocks_tunas.csv").read_text().splitlines()[1:]
    for row in csv.DictReader(lines):
        c, tail = row["c"], "se" * (row["se"] not in {"0", "0.0"}) + "hs" * (row["act"] == "h_swish")
        mid = f"m{row['mid']}" if row["type"] == "mbconv" else ""
        op = "mb" if row["type"] == "mbconv" else "ds"
        yield f"{op}{row['kernel']}s1i{c}{mid}o{c}{tail},{row['hw']},{row['ms_mean']}"


def single_path_blocks():
    """The blocks of Single-Path NAS, in the same format."""
    lines = (PIXEL1_DATA / "blocks_single_path_nas.csv").read_text().splitlines()[1:]
    for row in csv.DictReader(lines):
        mid = int(row["in_c"]) * int(row["expand"])
        op = f"ds{row['kernel']}s{row['stride']}i{row['in_c']}" if row["expand"] == "1" else None
        op = op or f"mb{row['kernel']}s{row['stride']}i{row['in_c']}m{mid}"
        yield f"{op}o{row['out_c']},{row['in_hw']},{row['ms']}"


@pytest.mark.skipif(not PIXEL1_DATA.is_dir(), reason="../shared/data/pixel1 is absent")
@pytest.mark.parametrize(
    ("blocks", "count", "mean", "within_10"), [(single_path_blocks, 88, 3.5, 95), (tunas_blocks, 1344, 13, 45)]
)
def test_a_target_is_fitted_to_published_blocks_and_says_how_well(nas, folder, blocks, count, mean, within_10):  # noqa: F811
    """The bounds are a little above what docs/latency.md reports."""
    (folder / "blocks.csv").write_text("block,size,ms\n" + "\n".join(blocks()) + "\n")
    code, out, err = nas("latency", "fit", "--blocks", "blocks.csv", "--target", "phone", "--json")
    assert code == 0, err
    error = json.loads(out)["error"]
    assert error["networks"] == count
    assert error["mape"] < mean
    assert error["within_10"] > within_10
    device = load_target("phone").device
    assert device.provenance[-1]["note"] == "the error is that of blocks alone; that of whole networks is not known"
    assert device.interval == pytest.approx(sorted(map(abs, device.errors))[math.ceil((count + 1) * 0.9) - 1], abs=1e-4)


def block_ms(block, size):
    """What the phone of `phone_ms` takes for a block, 1 ms of it for the call."""
    return 2 * PIXEL1.ops_ms(parse_block(block, size)) * PIXEL1.device.calibration.scale + 1


def many_blocks():
    for kernel, stride, size in itertools.product((3, 5, 7), (1, 2), (112, 28, 14)):
        for inner, mid, outer in ((16, 48, 24), (40, 120, 40), (80, 480, 112)):
            for tail in ("", "hs", "se"):
                yield f"mb{kernel}s{stride}i{inner}m{mid}o{outer}{tail}", size
    yield from ((f"c3s{stride}i3o{width}", 224) for stride in (1, 2) for width in (16, 24, 32))


def test_blocks_teach_what_whole_networks_take(nas, folder):  # noqa: F811
    rows = [f"{block},{size},{block_ms(block, size):.6f}" for block, size in many_blocks()]
    (folder / "blocks.csv").write_text("block,size,ms\n" + "\n".join(rows) + "\n")
    code, out, _ = nas("latency", "fit", "--blocks", "blocks.csv", "--target", "phone")
    assert code == 0
    assert "0 networks and 168 blocks, mean error 0.0 %" in out
    assert "that of whole networks is not known" in out
    model = load_target("phone")
    for network in networks(10, seed=5):
        ops_ms = PIXEL1.ops_ms(lower(network)) * PIXEL1.device.calibration.scale
        assert model.estimate(network).ms == pytest.approx(2 * ops_ms + 1, rel=0.001)


def test_networks_beside_blocks_are_what_the_error_speaks_of(nas, folder):  # noqa: F811
    write_csv(folder, networks(12))
    rows = [f"{block},{size},{block_ms(block, size):.6f}" for block, size in many_blocks()]
    (folder / "blocks.csv").write_text("block,size,ms\n" + "\n".join(rows) + "\n")
    fit = ("latency", "fit", "--target", "phone", "--csv", "phone.csv")
    assert "12 networks cannot support" in nas(*fit)[2]
    code, out, err = nas(*fit, "--blocks", "blocks.csv", "--json")
    assert code == 0, err
    assert json.loads(out)["error"]["networks"] == 12
    assert json.loads(out)["error"]["mape"] < 5
    assert load_target("phone").device.provenance[-1]["note"] == "the error is that of whole networks"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("block,ms\n", "blocks.csv:1: header 'block,ms'; expected block,size,ms"),
        ("block,size,ms\nmb3s1i16m96o24,56\n", "blocks.csv:2: 2 cells; expected 3, a block, the size of its input"),
        ("block,size,ms\nmb3,56,1\n", "blocks.csv:2: block 'mb3'; expected for example mb3s1i16m96o24"),
        ("block,size,ms\nmb3s1i16m96o24,0,1\n", "blocks.csv:2: size '0'; expected the height and width"),
        ("block,size,ms\nmb3s1i16m96o24,56,-1\n", "blocks.csv:2: ms '-1'; expected milliseconds above 0"),
        ("block,size,ms\nmb3s1i16m96o24,56,1\n", "0 networks and 1 blocks cannot support"),
    ],
)
def test_a_wrong_file_of_blocks_is_one_line(nas, folder, text, message):  # noqa: F811
    (folder / "blocks.csv").write_text(text)
    code, _, err = nas("latency", "fit", "--blocks", "blocks.csv", "--target", "phone")
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_what_is_fitted_to_must_be_given(nas, folder):  # noqa: F811
    fit = ("latency", "fit", "--target", "phone")
    assert "--csv is missing; expected measured networks, or --blocks" in nas(*fit)[2]
    assert "--csv is missing; expected measured networks for --like" in nas(*fit, "--like", "pixel")[2]
    assert "do not go together" in nas(*fit, "--like", "pixel", "--csv", "a", "--blocks", "b")[2]
