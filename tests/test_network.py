"""The built module against its list of layers, fvcore and torchvision."""

import copy
import logging
from random import Random

import pytest
import torch
import torchvision
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torch.nn import functional

from nas.architecture import Architecture, ConvBlock, MBConvBlock, PoolBlock, SepConvBlock
from nas.errors import ArchitectureError
from nas.layers import Layer, lower, total_macs, total_params
from nas.network.blocks import convolution
from nas.network.build import build
from nas.network.weights import copy_in_order
from nas.space import load_reference, load_space, references, spaces

TORCHVISION = {
    "mobilenet_v2": ("mobilenet_v2", 3_504_872),
    "mobilenet_v3_large": ("mobilenet_v3_large", 5_483_032),
    "mobilenet_v3_small": ("mobilenet_v3_small", 2_542_856),
    "mnasnet_b1": ("mnasnet1_0", 4_383_312),
}


def counted_macs(network: nn.Module, architecture: Architecture) -> int:
    """fvcore's count of convolutions and linear layers; it has one FLOP for one multiply-accumulate."""
    image = torch.zeros(1, architecture.in_channels, architecture.resolution, architecture.resolution)
    logging.getLogger("fvcore").setLevel(logging.ERROR)  # it warns of ops that it does not count
    ops = FlopCountAnalysis(network.eval(), image).unsupported_ops_warnings(False).by_operator()
    return round(ops["conv"] + ops["linear"])


def random_networks() -> list[tuple[str, Architecture]]:
    """Three of each space."""
    found = []
    for name in spaces():
        space, rng = load_space(name), Random(name)
        found += [(f"{name}-{i}", space.decode(space.sample(rng))) for i in range(3)]
    return found


NETWORKS = [(name, load_reference(name)) for name in references()] + random_networks()


@pytest.mark.parametrize("architecture", [a for _, a in NETWORKS], ids=[name for name, _ in NETWORKS])
def test_built_network_has_the_params_and_macs_of_its_layers(architecture):
    network, layers = build(architecture), lower(architecture)
    assert sum(p.numel() for p in network.parameters()) == total_params(layers)
    assert counted_macs(network, architecture) == total_macs(layers)


@pytest.mark.parametrize("name", TORCHVISION)
def test_published_network_has_exactly_torchvisions_params(name):
    assert sum(p.numel() for p in build(load_reference(name)).parameters()) == TORCHVISION[name][1]


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_weights_give_torchvisions_outputs(name):
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, TORCHVISION[name][0])(weights=None).eval()
    with torch.no_grad():
        for module in theirs.modules():
            if isinstance(module, nn.BatchNorm2d):  # fresh statistics would hide a wrong epsilon or order
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
    ours = build(load_reference(name)).eval()
    copy_in_order(theirs.state_dict(), ours)
    for resolution in (224, 160, 96, 65):
        images = torch.randn(2, 3, resolution, resolution)
        with torch.inference_mode():
            expected = theirs(images)
            assert expected.std() > 1e-3
            torch.testing.assert_close(ours(images), expected, rtol=1e-5, atol=1e-5)


def test_weights_of_another_network_are_refused_with_the_first_difference():
    small, large = build(load_reference("mobilenet_v3_small")), build(load_reference("mobilenet_v3_large"))
    with pytest.raises(ArchitectureError, match=r"weights given for a network of"):
        copy_in_order(small.state_dict(), large)
    one, other = (build(tiny(channels=channels)) for channels in (8, 16))
    with pytest.raises(ArchitectureError, match=r"blocks\.0\.conv\.conv\.weight is \(16, 3, 3, 3\)"):
        copy_in_order(one.state_dict(), other)


def tiny(channels: int = 8, skip: str = "none", stride: int = 1) -> Architecture:
    block = MBConvBlock(channels, 3 * channels, 5, stride, "relu6", se_channels=4, skip=skip)
    return Architecture(32, (ConvBlock(channels, 3, 2, "hswish"), block, PoolBlock()), num_classes=5)


@pytest.mark.parametrize(
    ("skip", "stride", "expected"),
    [
        ("identity", 1, lambda x: x),
        ("pool", 1, lambda x: torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)),
        ("pool", 2, lambda x: torch.nn.functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)),
    ],
)
def test_block_without_a_body_passes_on_its_shortcut(skip, stride, expected):
    block = build(tiny(skip=skip, stride=stride)).eval().blocks[1]
    nn.init.zeros_(block.last.norm.weight)
    x = torch.randn(2, 8, 15, 15)
    torch.testing.assert_close(block(x), expected(x))


def test_fresh_residual_block_is_its_shortcut_unless_an_activation_ends_it():
    x = torch.rand(2, 8, 16, 16)
    linear = build(tiny(skip="identity")).blocks[1]
    torch.testing.assert_close(linear(x), x)
    rectified = build(
        Architecture(32, (ConvBlock(8, 3, 1, "relu"), ConvBlock(8, 3, 1, "relu", "identity"), PoolBlock()))
    )
    assert not torch.equal(rectified.blocks[1](x), x)


def test_squeeze_and_excite_scales_each_channel_by_its_own_gate():
    gate = build(tiny()).blocks[1].se
    nn.init.zeros_(gate.excite.weight)
    with torch.no_grad():
        gate.excite.bias.copy_(torch.linspace(-3, 3, 24))  # hard sigmoid: x / 6 + 1/2
    x = torch.randn(2, 24, 4, 4)
    torch.testing.assert_close(gate(x), x * torch.linspace(0, 1, 24).view(1, 24, 1, 1))


def test_pointwise_convolution_of_a_separable_block_may_have_an_activation():
    block = SepConvBlock(16, 3, 2, "relu", project_act="relu")
    body = build(Architecture(32, (ConvBlock(8, 3, 2, "relu"), block, PoolBlock()))).blocks[1]
    assert body(torch.randn(2, 8, 16, 16)).min() == 0


def test_seed_alone_decides_the_weights():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, same, other = build(tiny(), seed=7), build(tiny(), seed=7), build(tiny(), seed=8)
    assert torch.equal(torch.get_rng_state(), before)
    for (name, a), b, c in zip(
        one.state_dict().items(), same.state_dict().values(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
        assert not name.endswith("conv.weight") or not torch.equal(a, c), name


def test_network_takes_images_of_other_sizes_than_it_was_designed_for():
    network = build(load_reference("mobilenet_v3_small").with_num_classes(10)).eval()
    for resolution in (32, 64, 101):
        assert network(torch.zeros(1, 3, resolution, resolution)).shape == (1, 10)


@pytest.mark.parametrize("kind", ["conv", "depthwise"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_a_kernel_without_its_unmet_rim_has_the_same_outputs_and_gradients(kernel, stride, kind):
    trained = convolution(Layer(kind, 6, 6, 8, kernel, stride, bias=True)).double()
    whole = copy.deepcopy(trained).eval()
    for size in ((1, 1), (2, 2), (3, 3), (4, 4), (8, 8), (1, 5), (3, 1), (4, 2)):
        x = torch.randn(2, 6, *size, dtype=torch.double, requires_grad=True)
        outputs = [module(x) for module in (trained, whole)]
        torch.testing.assert_close(*outputs)
        gradients = [
            torch.autograd.grad(out.square().sum(), [x, *module.parameters()])
            for out, module in zip(outputs, (trained, whole), strict=True)
        ]
        torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("size", "training", "used"), [(1, True, 1), (2, True, 3), (4, True, 7), (2, False, 7)])
def test_a_small_map_is_trained_with_the_part_of_a_kernel_that_it_meets(size, training, used, monkeypatch):
    convolved, conv2d = [], functional.conv2d

    def seen(x, weight, *others, **more):
        convolved.append(tuple(weight.shape[2:]))
        return conv2d(x, weight, *others, **more)

    monkeypatch.setattr(functional, "conv2d", seen)
    module = convolution(Layer("depthwise", 6, 6, size, 7)).train(training)
    assert module(torch.randn(2, 6, size, size)).shape == (2, 6, size, size)
    assert convolved == [(used, used)]


def test_torch_fx_traces_a_network_that_is_not_in_training():
    network = build(tiny()).eval()
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(torch.fx.symbolic_trace(network)(x), network(x))
