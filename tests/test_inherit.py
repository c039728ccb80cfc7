"""Pruned networks inherit the weights of their parents, wherever a width is read, added or gated."""

from dataclasses import replace
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nas.architecture import Architecture, ConvBlock, LinearBlock, MBConvBlock, PoolBlock, SepConvBlock
from nas.errors import ArchitectureError, NasError
from nas.layers import lower, total_params
from nas.network.build import build
from nas.network.importance import IMPORTANCES, score_filters
from nas.network.inherit import inherit
from nas.network.widths import wire, with_widths
from nas.space import load_reference, load_space, spaces


def lively(architecture, seed=0):
    """Built, with batch norm as a training leaves it: no scale is 1 and no statistics are fresh."""
    network = build(architecture, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
    return network.eval()


def random_pruned(architecture, rng: Random):
    """Cut at random places, to any width from 1 on."""
    widths = wire(architecture).widths
    free = [i for i, width in enumerate(widths) if width.kind != "squeeze"]
    cut = rng.sample(free, rng.randint(1, len(free)))
    return with_widths(architecture, {i: rng.randint(1, widths[i].channels) for i in cut})


def batches(architecture, count=2):
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        images = torch.randn(4, 3, 32, 32, generator=generator)
        yield images, torch.randint(architecture.num_classes, (4,), generator=generator)


@pytest.mark.parametrize("importance", IMPORTANCES)
@pytest.mark.parametrize("name", ["mobilenet_v2_035", "mobilenet_v3_small_075", "mnasnet_small", "mobilenet_v1_025"])
def test_at_full_width_no_output_changes(name, importance):
    architecture = load_reference(name).with_num_classes(10)
    parent = lively(architecture)
    scores = score_filters(parent, architecture, importance, batches(architecture))
    child = inherit(parent, architecture, architecture, scores).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(child(images), parent(images), rtol=0, atol=1e-6)


@given(space=st.sampled_from(spaces()), seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=12)
def test_random_networks_of_every_space_pruned_anywhere_run_and_count_right(space, seed):
    rng = Random(seed)
    points = load_space(space).with_num_classes(5)
    architecture = points.decode(points.sample(rng))
    child = random_pruned(architecture, rng)
    parent = lively(architecture, seed)
    network = inherit(parent, architecture, child, score_filters(parent, architecture, "l2")).eval()
    assert (
        sum(p.numel() for p in network.parameters()) == total_params(lower(child)) <= total_params(lower(architecture))
    )
    with torch.inference_mode():
        assert network(torch.randn(2, 3, 32, 32)).isfinite().all()


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=15)
def test_taking_away_channels_that_carry_nothing_changes_no_output(seed):
    """The proof of all wiring: silence some channels where they are made, cut as many, and nothing may change."""
    rng = Random(seed)
    points = load_space(rng.choice(spaces())).with_num_classes(5)
    architecture = points.decode(points.sample(rng))
    parent = lively(architecture, seed)
    index, child, silent = silence_one_width(parent, architecture, rng)
    scores = list(score_filters(parent, architecture, "l2"))
    scores[index] = torch.ones(len(scores[index])).index_fill(0, silent, 0.0)
    network = inherit(parent, architecture, child, tuple(scores)).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = parent(images)
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def silence_one_width(network, architecture, rng):
    """Index of a width, the network without some of its channels, and these: whoever reads them reads zeros."""
    wiring = wire(architecture)
    index = rng.choice([i for i, w in enumerate(wiring.widths) if w.kind != "squeeze" and w.channels > 1])
    width = wiring.widths[index]
    silent = torch.tensor(rng.sample(range(width.channels), rng.randint(1, width.channels - 1)))
    with torch.no_grad():
        for item in wiring.wires:
            if item.reads != index or item.layer.kind == "depthwise":
                continue
            prefix = f"blocks.{item.layer.block}." if item.layer.block < len(architecture.blocks) else "classifier"
            for name, weight in network.named_parameters():
                if name.startswith(prefix) and weight.ndim > 1 and is_of(name, item.layer.role):
                    weight[:, silent] = 0
    child = with_widths(architecture, {index: width.channels - len(silent)})
    # the squeeze keeps its width, so that only what was silenced goes
    for item in wiring.wires:
        if item.layer.role == "reduce":
            block = child.blocks[item.layer.block]
            child = child.with_block(item.layer.block, replace(block, se_channels=item.layer.out_channels))
    return index, child, silent


def is_of(name: str, role: str) -> bool:
    return role in name.split(".")


def test_blocks_joined_by_sums_share_a_width_and_are_cut_together():
    network = Architecture(
        32,
        (
            ConvBlock(16, 3, 2, "relu"),
            SepConvBlock(16, 3, 1, "relu", skip="identity"),
            MBConvBlock(24, 64, 3, 2, "relu", se_channels=16),
            MBConvBlock(24, 72, 5, 1, "relu", skip="identity"),
            ConvBlock(48, 1, 1, "relu"),
            PoolBlock(),
            LinearBlock(32, "hswish"),
        ),
        num_classes=10,
    )
    widths = wire(network).widths
    assert [str(width) for width in widths] == [
        "bottleneck of blocks 0, 1",
        "expansion of block 2",
        "bottleneck of blocks 2, 3",
        "squeeze of block 2",
        "expansion of block 3",
        "filters of block 4",
        "filters of block 6",
    ]
    cut = with_widths(network, {0: 8, 1: 32, 2: 16, 6: 24})
    assert [getattr(block, "channels", None) for block in cut.blocks] == [8, 8, 16, 16, 48, None, 24]
    assert (cut.blocks[2].mid_channels, cut.blocks[2].se_channels) == (32, 8)
    with pytest.raises(ArchitectureError, match="bottleneck of blocks 0, 1 is 16 wide and can only be cut"):
        with_widths(network, {0: 24})


def test_a_width_of_the_images_cannot_be_cut():
    network = Architecture(32, (ConvBlock(3, 3, 1, "relu", "identity"), ConvBlock(8, 3, 2, "relu"), PoolBlock()))
    assert [width.places for width in wire(network).widths] == [((1, "channels"),)]


@pytest.mark.parametrize("importance", IMPORTANCES)
def test_a_filter_that_does_nothing_goes_first(importance):
    architecture = load_reference("mobilenet_v2_035").with_num_classes(10)
    parent = lively(architecture)
    expand = parent.blocks[3].body.expand
    with torch.no_grad():
        for parameter in (expand.conv.weight, expand.norm.weight, expand.norm.bias):
            parameter[7] = 0
        parent.blocks[3].body.depthwise.norm.weight[7] = 0
        parent.blocks[3].body.depthwise.norm.bias[7] = 0
    index = next(i for i, w in enumerate(wire(architecture).widths) if str(w) == "expansion of block 3")
    scores = score_filters(parent, architecture, importance, batches(architecture))[index]
    assert scores[7] == 0 == scores.min() < scores.max()


def test_equal_blocks_on_one_width_count_each():
    block = SepConvBlock(8, 3, 1, "relu", skip="identity")
    network = Architecture(32, (ConvBlock(8, 3, 2, "relu"), block, block, PoolBlock()))
    parent = lively(network)
    weights = [
        module.weight for name, module in parent.named_modules() if name.endswith(("project.conv", ".conv.conv"))
    ]
    assert len(weights) == 3
    expected = sum(weight.detach().flatten(1).square().sum(1) for weight in weights)
    torch.testing.assert_close(score_filters(parent, network, "l2")[0], expected)


def test_taylor_is_half_the_mean_squared_slope_of_gates_on_the_network_as_it_is():
    network = Architecture(32, (ConvBlock(8, 3, 2, "relu"), ConvBlock(16, 3, 2, "hswish"), PoolBlock()))
    parent = lively(network)
    before = {name: value.clone() for name, value in parent.state_dict().items()}
    seen = list(batches(network))
    found = score_filters(parent, network, "taylor", seen)
    assert all(torch.equal(value, before[name]) for name, value in parent.state_dict().items())
    squares = [[], []]
    for images, labels in seen:
        gates = [torch.ones(len(images), width, 1, 1, requires_grad=True) for width in (8, 16)]
        x = images
        parent.eval()
        for block, gate in zip(parent.blocks[:2], gates, strict=True):
            x = block(x) * gate
        logits = parent.classifier(parent.blocks[2:](x))
        torch.nn.functional.cross_entropy(logits, labels, reduction="sum").backward()
        for square, gate in zip(squares, gates, strict=True):
            square.append(gate.grad.flatten(1).square())
    for score, square in zip(found, squares, strict=True):
        torch.testing.assert_close(score, torch.cat(square).mean(0) / 2, rtol=1e-3, atol=1e-7)


def test_taylor_asks_for_images_and_an_unknown_importance_for_a_known_one():
    architecture = load_reference("mobilenet_v1_025").with_num_classes(10)
    with pytest.raises(NasError, match="taylor needs batches"):
        score_filters(build(architecture), architecture, "taylor")
    with pytest.raises(NasError, match="unknown importance 'l1'; expected one of l2, bn_scale, taylor"):
        score_filters(build(architecture), architecture, "l1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.with_num_classes(7), "num_classes is 7; expected 10"),
        (lambda a: replace(a, blocks=a.blocks[1:]), "blocks; expected"),
        (
            lambda a: a.with_block(2, replace(a.blocks[2], kernel=5)),
            r"blocks\[2\].kernel is 5; expected the parent's 3",
        ),
        (
            lambda a: a.with_block(2, replace(a.blocks[2], mid_channels=1000)),
            r"blocks\[2\].mid_channels is 1000; expected the parent's 48, or less",
        ),
        (
            lambda a: a.with_block(0, ConvBlock(16, 3, 2, "relu")),
            r"blocks\[0\].act is relu; expected the parent's relu6",
        ),
    ],
)
def test_a_child_that_is_not_its_parent_with_widths_cut_is_refused(change, message):
    architecture = load_reference("mobilenet_v2_035").with_num_classes(10)
    parent = build(architecture)
    with pytest.raises(ArchitectureError, match=message):
        inherit(parent, architecture, change(architecture), score_filters(parent, architecture, "l2"))


@pytest.mark.parametrize("name", ["mnasnet", "mobilenet_v3"])
def test_a_squeeze_whose_width_is_not_cut_stays_as_it_is(name):
    """Those of mnasnet are a share of the block's input: 26, 34 ..., no multiples of 8."""
    space, rng = load_space(name), Random(0)
    for _ in range(50):
        network = space.decode(space.sample(rng))
        assert with_widths(network, {}) == network
