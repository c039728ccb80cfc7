"""Architecture and its lowering: JSON, ids, validity, and shapes worked out by hand."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.architecture import (
    Architecture,
    ConvBlock,
    LinearBlock,
    MBConvBlock,
    PoolBlock,
    SepConvBlock,
    round_channels,
)
from nas.errors import ArchitectureError
from nas.layers import Layer, lower, lower_block, peak_activation_bytes

TINY = Architecture(
    resolution=8,
    blocks=(
        ConvBlock(4, 3, 2, "hswish"),
        MBConvBlock(4, 8, 3, 1, "relu", se_channels=2, skip="identity"),
        PoolBlock(),
        LinearBlock(6, "hswish"),
    ),
    num_classes=5,
)


@given(st.floats(1, 4096), st.sampled_from([4, 8, 16]))
def test_rounded_channels_are_multiples_and_lose_at_most_a_tenth(channels, divisor):
    rounded = round_channels(channels, divisor)
    assert rounded % divisor == 0
    assert rounded >= 0.9 * channels
    assert rounded <= max(divisor, channels + divisor)


def test_json_round_trips_and_ids_follow_the_content():
    again = Architecture.from_json(TINY.to_json())
    assert again == TINY
    assert again.id == TINY.id
    assert TINY.with_num_classes(6).id != TINY.id
    assert TINY.with_block(0, ConvBlock(4, 5, 2, "hswish")).id != TINY.id
    assert TINY.with_resolution(16).resolution == 16


def test_layers_of_a_small_network_are_as_counted_by_hand():
    layers = lower(TINY)
    assert [layer.role for layer in layers] == [
        "conv", "expand", "depthwise", "squeeze", "reduce", "excite", "scale", "project", "add", "pool", "linear",
        "classifier",
    ]  # fmt: skip
    assert [layer.macs for layer in layers] == [
        4 * 3 * 9 * 16, 8 * 4 * 16, 8 * 9 * 16, 0, 16, 16, 0, 4 * 8 * 16, 0, 0, 24, 30,
    ]  # fmt: skip
    assert [layer.params for layer in layers] == [
        4 * 27 + 8, 32 + 16, 72 + 16, 0, 16 + 2, 16 + 8, 0, 32 + 8, 0, 0, 24 + 6, 30 + 5,
    ]  # fmt: skip


def test_peak_memory_counts_the_waiting_residual():
    layers = lower(TINY)
    stem = 3 * 64 + 4 * 16
    depthwise = 4 * 16 + 8 * 16 + 8 * 16  # the block's input waits for the sum
    assert peak_activation_bytes(layers) == 4 * max(stem, depthwise)
    without_skip = TINY.with_block(1, MBConvBlock(4, 8, 3, 1, "relu", se_channels=2))
    assert peak_activation_bytes(lower(without_skip)) == 4 * max(stem, 2 * 8 * 16 + 0)


def test_equal_ops_in_different_places_are_one_latency_key():
    block = MBConvBlock(16, 64, 3, 1, "relu", skip="identity")
    assert set(lower_block(block, 16, 28, index=2)) == set(lower_block(block, 16, 28, index=9))


def test_a_layer_is_described_in_one_short_line():
    assert str(Layer("conv", 16, 64, 112, act="relu")) == "conv 16->64 k1 s1 @112 relu"


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ((ConvBlock(8, 3, 2, "relu"),), "0 pooling blocks"),
        ((PoolBlock(),), "behind a convolution"),
        ((ConvBlock(8, 3, 2, "relu"), PoolBlock(), ConvBlock(8, 3, 2, "relu")), "wrong side of the pooling"),
        ((LinearBlock(8, "relu"), ConvBlock(8, 3, 2, "relu"), PoolBlock()), r"blocks\[0\]: linear"),
        ((ConvBlock(0, 3, 2, "relu"), PoolBlock()), r"blocks\[0\]\.channels is 0"),
        ((ConvBlock(8, 4, 2, "relu"), PoolBlock()), "expected an odd number"),
        ((ConvBlock(8, 3, 2, "gelu"), PoolBlock()), "'gelu'; expected one of none, relu"),
        ((ConvBlock(8, 3, 2, "relu", skip="identity"), PoolBlock()), "cannot join 3 channels to 8"),
        ((SepConvBlock(8, 3, 1, "relu", se_channels=-1), PoolBlock()), r"se_channels is -1"),
    ],
)
def test_impossible_networks_are_refused(blocks, message):
    with pytest.raises(ArchitectureError, match=message):
        Architecture(32, blocks)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": "big"}, "resolution is 'big'"),
        ({"resolution": True}, "resolution is True"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"blocks": 3}, "blocks is not a list"),
        ({"blocks": [{"op": []}]}, r"blocks\[0\]: op must be one of"),
        ({"blocks": [{"op": "conv2"}]}, r"blocks\[0\]: op must be one of"),
        ({"blocks": [{"op": "conv", "channels": 3}]}, r"blocks\[0\]: missing act, kernel, stride"),
        ({"bn_eps": 2.0}, "bn_eps is 2.0"),
    ],
)
def test_wrong_json_names_the_place(change, message):
    data = json.loads(TINY.to_json()) | change
    with pytest.raises(ArchitectureError, match=message):
        Architecture.from_dict(data)
    with pytest.raises(ArchitectureError, match="not an architecture in JSON"):
        Architecture.from_json("{")
