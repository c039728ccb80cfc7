"""`nas latency fit`: targets of the user's own from measured whole networks."""

import json
from random import Random

import pytest

from nas.errors import LatencyError
from nas.latency.fit import Sample, cross_validate
from nas.latency.table import read_coefficients
from nas.latency.targets import list_targets, load_target
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


def test_the_coefficients_say_how_many_networks_stand_behind_them(nas, folder):  # noqa: F811
    write_csv(folder, networks(60))
    assert nas("latency", "fit", "--csv", "phone.csv", "--target", "phone", "--out", ".")[0] == 0
    text = (folder / "phone" / "coefficients.csv").read_text()
    assert "network," in text
    assert "fit; in 60 of 60 networks" in text
    assert all(value >= 0 for value in read_coefficients(folder / "phone" / "coefficients.csv").ms_per_unit.values())
