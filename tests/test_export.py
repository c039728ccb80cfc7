"""Exported files: ONNX against torch, int8 against float, timm against us, and what is refused."""

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import timm.models._efficientnet_builder as timm_builder
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file
from timm.layers import get_act_layer
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models.efficientnet import EfficientNet
from timm.models.mobilenetv3 import MobileNetV3
from torch import nn

from nas.architecture import Architecture, ConvBlock, MBConvBlock, PoolBlock
from nas.cli.main import nas
from nas.errors import NasError
from nas.export.files import Trained, export
from nas.export.fold import folded
from nas.export.runtime import largest_difference
from nas.latency.graph import OPSET, trained_graph
from nas.layers import lower
from nas.network.build import build
from nas.network.importance import score_filters
from nas.network.inherit import inherit
from nas.space import load_reference, load_space, references, spaces
from nas.training.checkpoint import read_network
from nas.training.data import load_data
from nas.training.loop import Recipe, measure, train
from tests.test_inherit import lively, random_pruned

DIGITS = load_data("digits")
EXPORT_DOC = (Path(__file__).parents[1] / "docs" / "export.md").read_text(encoding="utf-8")
SMALL = Architecture(
    32,
    (
        ConvBlock(16, 3, 2, "hswish"),
        MBConvBlock(16, 48, 3, 1, "relu", se_channels=8, skip="identity"),
        MBConvBlock(24, 64, 5, 2, "hswish", se_channels=16),
        ConvBlock(64, 1, 1, "hswish"),
        PoolBlock(),
    ),
    num_classes=10,
)


def run(model: bytes, images: np.ndarray) -> np.ndarray:
    return ort.InferenceSession(model).run(None, {"images": images})[0]


def difference(architecture, network, images=2) -> float:
    """Relative to the largest logit, at the network's resolution."""
    x = torch.randn(images, 3, architecture.resolution, architecture.resolution)
    with torch.inference_mode():
        expected = network(x).numpy()
    found = run(trained_graph(lower(architecture), folded(network, architecture)), x.numpy())
    return float(np.abs(found - expected).max() / max(1, np.abs(expected).max()))


@pytest.mark.parametrize("name", references())
def test_every_reference_network_computes_in_onnx_runtime_what_it_does_in_torch(name):
    architecture = load_reference(name).with_resolution(96)
    assert difference(architecture, lively(architecture)) <= 1e-4


@given(space=st.sampled_from(spaces()), seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=8)
def test_random_pruned_networks_of_every_space_export_right(space, seed):
    rng = Random(seed)
    points = load_space(space).with_num_classes(5)
    architecture = points.decode(points.sample(rng)).with_resolution(48)
    child = random_pruned(architecture, rng)
    parent = lively(architecture, seed)
    network = inherit(parent, architecture, child, score_filters(parent, architecture, "l2")).eval()
    assert difference(child, network) <= 1e-4


def test_the_file_takes_any_number_of_images_and_has_activations_as_single_ops():
    network = lively(SMALL)
    model = onnx.load_from_string(trained_graph(lower(SMALL), folded(network, SMALL)))
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == OPSET
    (entry,) = model.graph.input
    assert entry.name == "images"
    assert entry.type.tensor_type.shape.dim[0].dim_param == "batch"
    ops = [node.op_type for node in model.graph.node]
    assert ops.count("HardSwish") == 1 + 2 + 1
    assert ops.count("HardSigmoid") == 2
    for count in (1, 7):
        assert run(model.SerializeToString(), np.zeros((count, 3, 32, 32), np.float32)).shape == (count, 10)


@pytest.fixture(scope="module")
def trained() -> Trained:
    """A network that reads digits."""
    network = build(SMALL)
    data = DIGITS.limited(val_images=200)
    outcome = train(network, data, Recipe(4, 32, lr=0.1), lambda epoch, metrics: False)
    assert outcome.metrics["accuracy"] > 0.85
    return Trained("small", SMALL, network, 32, data, outcome.metrics, {"trial": 7})


def test_onnx_is_checked_on_real_images_and_described(trained, tmp_path):
    record = export(trained, "onnx", tmp_path, check=True)
    assert 0 < record["check"]["max_difference"] <= 1e-4
    assert json.loads((tmp_path / "model.json").read_text()) == record
    assert record["output"]["class_names"] == list("0123456789")
    assert record["metrics"]["accuracy"] == trained.metrics["accuracy"]
    assert record["provenance"]["trial"] == 7
    assert Architecture.from_dict(record["architecture"]) == SMALL
    assert record["opset"] == OPSET


def test_the_example_of_the_docs_reads_a_digit(trained, tmp_path, monkeypatch, capsys):
    (example,) = [code for code in re.findall(r"```python\n(.+?)```", EXPORT_DOC, re.DOTALL) if "ort." in code]
    assert len(example.strip().splitlines()) <= 12
    export(trained, "onnx", tmp_path)
    monkeypatch.chdir(tmp_path)
    right = 0
    for place in range(20):
        pixels = trained.data.test.read(np.array([place]))[0]
        Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR).save("image.png")
        exec(example, {})
        right += capsys.readouterr().out.strip() == str(trained.data.test.labels[place])
    assert right >= 15


def test_the_example_of_the_docs_builds_timms_network(tmp_path, monkeypatch):
    (example,) = [code for code in re.findall(r"```python\n(.+?)```", EXPORT_DOC, re.DOTALL) if "timm" in code]
    network = lively(SMALL)
    export(Trained("small", SMALL, network, 32), "timm", tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(example, names)
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(names["network"].eval()(images), network(images), rtol=1e-4, atol=1e-4)


def test_a_file_that_differs_from_torch_is_refused(trained, tmp_path):
    export(trained, "onnx", tmp_path)
    with pytest.raises(NasError, match=r"model.onnx: differs from torch by .*; expected at most 0.0001"):
        largest_difference(tmp_path / "model.onnx", build(SMALL, seed=5), trained.data, 32)


def test_a_file_that_computes_no_numbers_is_refused(trained, tmp_path):
    network = build(SMALL)
    network.classifier.bias.data.fill_(torch.nan)
    with pytest.raises(NasError, match=r"model.onnx: differs from torch by nan; expected"):
        export(replace(trained, network=network), "onnx", tmp_path / "new", check=True)
    assert not list((tmp_path / "new").iterdir())
    export(trained, "onnx", tmp_path, check=True)
    former = (tmp_path / "model.onnx").read_bytes()
    with pytest.raises(NasError, match="differs from torch by nan"):
        export(replace(trained, network=network), "onnx-int8", tmp_path, check=True)
    assert (tmp_path / "model.onnx").read_bytes() == former


def test_int8_keeps_the_accuracy_and_both_are_timed_side_by_side(trained, tmp_path):
    record = export(trained, "onnx-int8", tmp_path, check=True)
    compared = record["compared"]
    accuracy = measure(trained.network, trained.data, trained.data.test, 32)["accuracy"]
    assert compared["float32"]["test_accuracy"] == pytest.approx(accuracy, abs=1e-9)
    assert compared["int8"]["test_accuracy"] >= accuracy - 0.05
    assert min(compared[name]["ms"] for name in compared) > 0
    stored = onnx.load(tmp_path / "model.int8.onnx")
    assert {t.data_type for t in stored.graph.initializer} >= {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
    names = {"model.onnx", "model.json", "model.int8.onnx", "model.int8.json"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_weights_are_read_again_as_they_were(trained, tmp_path):
    export(trained, "state-dict", tmp_path)
    architecture, network = read_network(tmp_path / "model.safetensors")
    assert architecture == SMALL
    for name, value in trained.network.state_dict().items():
        assert torch.equal(network.state_dict()[name], value)


def built_by_timm(definition) -> nn.Module:
    """As docs/export.md says."""
    classes = {"MobileNetV3": MobileNetV3, "EfficientNet": EfficientNet}
    gate = definition["gate_layer"] or "sigmoid"
    return classes[definition["class"]](
        block_args=timm_builder.decode_arch_def(definition["arch_def"]),
        num_classes=definition["num_classes"],
        in_chans=definition["in_chans"],
        stem_size=definition["stem_size"],
        fix_stem=True,
        num_features=definition["num_features"],
        act_layer=get_act_layer(definition["act_layer"]),
        norm_layer=partial(nn.BatchNorm2d, eps=definition["bn_eps"]),
        se_layer=partial(SqueezeExcite, gate_layer=gate, force_act_layer=nn.ReLU),
    ).eval()


@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "mnasnet_a1", "mnasnet_b1", "pruned"]
)
def test_timm_builds_the_same_network_from_the_string_and_takes_its_weights(name, tmp_path):
    architecture = SMALL if name == "pruned" else load_reference(name).with_num_classes(10)
    network = lively(architecture)
    record = export(Trained(name, architecture, network, 64), "timm", tmp_path)
    theirs = built_by_timm(json.loads((tmp_path / "model.timm.json").read_text())["timm"])
    assert record["timm"]["arch_def"]
    theirs.load_state_dict(load_file(tmp_path / "model.timm.safetensors"))
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(theirs(images), network(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: a.with_block(1, replace(a.blocks[1], mid_channels=44)),
            r"timm: blocks\[1\]: 44 channels; timm rounds",
        ),
        (lambda a: a.with_block(0, ConvBlock(16, 5, 2, "relu")), "expected a 3x3 convolution with stride 2"),
        (lambda a: a.with_block(1, replace(a.blocks[1], skip="pool")), "no block string for a pooled shortcut"),
        (lambda a: a.with_block(1, replace(a.blocks[1], se_gate="sigmoid")), "gates hsigmoid, sigmoid in one network"),
        (lambda a: a.with_block(3, ConvBlock(64, 3, 1, "hswish")), "expected a 1x1 convolution"),
    ],
)
def test_what_timm_cannot_say_is_refused_with_its_place(change, message, tmp_path):
    architecture = change(SMALL)
    with pytest.raises(NasError, match=message):
        export(Trained("x", architecture, build(architecture), 32), "timm", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("mobilenet_v2 --format onnx", "mobilenet_v2 has no weights; give reference:NAME,WEIGHTS, or --untrained"),
        ("mobilenet_v1_025 --format onnx-int8 --untrained --out out", "onnx-int8 needs images"),
        (
            "mobilenet_v2 --format onnx --untrained --data digits",
            "digits has 10 classes, mobilenet_v2 tells",
        ),
        ("mobilenet_v2 --format timm --untrained --check", "there is nothing to compare in timm"),
        ("nothing.safetensors --format onnx", "nothing.safetensors: "),
    ],
)
def test_a_mistake_is_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NasError, match=message):
        CliRunner().invoke(nas, ["export", *arguments.split()], catch_exceptions=False)
