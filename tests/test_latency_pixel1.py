"""The Pixel 1 model against the figures it is fitted to, judged on and must cover."""

from dataclasses import asdict, replace
from random import Random

import pytest

from benchmarks.latency import DATA, FILES, PAPER, Pixel1, fit_pixel1, hswish_samples
from nas.architecture import MBConvBlock
from nas.errors import LatencyError, MissingOpError
from nas.latency.calibration import calibrate, leave_one_out
from nas.latency.fit import parse_network, read_samples
from nas.latency.score import error_summary
from nas.latency.table import read_coefficients
from nas.latency.targets import list_targets, load_folder, load_target
from nas.layers import lower, total_macs
from nas.resources import data_dir
from nas.space import load_reference, load_space, references, spaces

FOLDER = data_dir("latency_models") / "pixel1"
FULL_WIDTH = (
    "proxylessnas_mobile",
    "mnasnet_a1",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mnasnet_small",
    "mobilenet_v3_small",
)

needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the folder ../shared/data with the random networks is absent"
)


@pytest.fixture(scope="module")
def model():
    return load_target("pixel1")


@pytest.fixture(scope="module")
def refit() -> Pixel1:
    return fit_pixel1()


def pixel1_device():
    return next(device for device in list_targets() if device.target == "pixel1")


def test_pixel_is_another_name_of_pixel1(model):
    alias = load_target("pixel")
    assert (alias.target, alias.version) == ("pixel1", model.version)


@pytest.mark.parametrize("name", FULL_WIDTH)
def test_full_width_networks_are_within_8_percent_of_the_paper(model, name):
    assert model.estimate(load_reference(name)).ms == pytest.approx(PAPER[name], rel=0.08)


def test_full_width_networks_are_in_the_order_of_the_paper(model):
    estimated = [model.estimate(load_reference(name)).ms for name in FULL_WIDTH]
    assert estimated == sorted(estimated, reverse=True)


@pytest.mark.parametrize("name", PAPER)
def test_the_interval_holds_every_network_of_the_paper(model, name):
    latency = model.estimate(load_reference(name))
    assert latency.low_ms <= PAPER[name] <= latency.high_ms


def test_recorded_error_of_the_paper_networks_meets_the_bar_and_is_what_leaving_out_gives():
    device = pixel1_device()
    model = load_folder(FOLDER)
    assert dict(device.networks) == PAPER
    assert device.error["mape"] <= 7
    assert device.error["worst"] <= 17
    sums = [model.sum_ms(load_reference(name)) for name in PAPER]
    assert device.error == error_summary(leave_one_out(sums, list(PAPER.values())))
    assert device.calibration.scale == pytest.approx(calibrate(sums, list(PAPER.values())).scale, abs=1e-4)


@needs_data
def test_networks_that_the_fit_has_not_seen_are_estimated_well(refit):
    assert refit.fit.networks >= 290
    assert refit.fit.mape <= 2.5
    assert refit.fit.within_10 >= 99
    assert refit.fit.spearman >= 0.995


@needs_data
def test_the_shipped_files_are_what_the_fit_gives(refit):
    assert read_coefficients(FOLDER / "coefficients.csv").ms_per_unit == pytest.approx(refit.coefficients, abs=2e-3)
    device = pixel1_device()
    assert device.fit == pytest.approx(asdict(refit.fit), abs=2e-3)
    assert device.error == pytest.approx(error_summary(refit.errors), abs=0.02)
    assert device.calibration.scale == pytest.approx(refit.calibration.scale, abs=1e-4)
    assert device.interval == pytest.approx(refit.interval, abs=1e-4)


@needs_data
@pytest.mark.parametrize("name", FILES)
def test_parsed_layer_strings_have_the_published_madds(name):
    lines = (DATA / f"{name}.csv").read_text().splitlines()[2:]
    for line in lines[::25]:
        _, madds, _, text = line.split(",")
        assert total_macs(lower(parse_network(text))) / 1e6 == pytest.approx(float(madds), abs=0.06)


def test_a_layer_string_that_does_not_fit_is_named():
    with pytest.raises(LatencyError, match="layer 'mb3s1i24m96o24' behind 32 channels"):
        parse_network("c3s2i3o32 mb3s1i24m96o24 gap")


def test_samples_of_an_absent_file_are_one_clear_error(tmp_path):
    with pytest.raises(LatencyError, match=r"nothing\.csv: No such file"):
        read_samples(tmp_path / "nothing.csv")


def test_a_fit_without_the_data_says_what_is_absent(tmp_path):
    with pytest.raises(LatencyError, match=r"nothing: absent; expected the random_\* files"):
        fit_pixel1(tmp_path / "nothing")


def test_activation_costs_what_the_paper_measured(model):
    relu, published, everywhere = (model.estimate(sample.architecture).ms for sample in hswish_samples())
    assert published - relu == pytest.approx(51.4 - 50.5, abs=0.5)
    assert everywhere - relu == pytest.approx(53.5 - 50.5, abs=0.5)


@pytest.mark.parametrize("name", spaces())
def test_every_op_of_every_space_has_a_cost(name):
    coefficients = read_coefficients(FOLDER / "coefficients.csv")
    for layer in load_space(name).layers():
        cost = coefficients.op_ms(layer)
        assert cost is not None, layer
        assert cost >= 0, layer


@pytest.mark.parametrize("name", references())
def test_smaller_images_take_less_time(model, name):
    network = load_reference(name)
    times = [model.estimate(network.with_resolution(size)).ms for size in (96, 128, 160, 192, 224)]
    assert times == sorted(times)
    assert times[0] > 0


def test_wider_and_larger_kernels_take_more_time(model):
    space, rng = load_space("mobilenet_v3"), Random(0)
    for _ in range(20):
        network = space.decode(space.sample(rng))
        base = model.estimate(network).ms
        for index, block in enumerate(network.blocks):
            if isinstance(block, MBConvBlock):
                wider = replace(block, mid_channels=block.mid_channels + 8)
                assert model.estimate(network.with_block(index, wider)).ms > base
                larger = replace(block, kernel=7)
                assert model.estimate(network.with_block(index, larger)).ms >= base


def test_an_op_without_evidence_is_an_error_and_no_guess(model):
    network = load_reference("mobilenet_v2")
    index = next(i for i, block in enumerate(network.blocks) if isinstance(block, MBConvBlock))
    odd = network.with_block(index, replace(network.blocks[index], kernel=9))
    with pytest.raises(MissingOpError, match=r"pixel1 has no latency of 1 op: depthwise 96 k9 s2 @112.*--target host"):
        model.estimate(odd)
