"""Networks with weights from elsewhere, and what is refused."""

import json
import os
import pickle
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from nas.architecture import Architecture, ConvBlock, MBConvBlock, PoolBlock
from nas.errors import NasError
from nas.network.build import build
from nas.network.timm_format import timm_definition
from nas.network.timm_strings import read_timm
from nas.sources import TORCHVISION, for_classes, load_source
from nas.space import load_reference
from nas.training.checkpoint import save_weights
from tests.test_inherit import lively

IMAGES = torch.randn(2, 3, 64, 64)


def logits(network):
    with torch.inference_mode():
        return network.eval()(IMAGES)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_networks_come_with_their_weights(name, monkeypatch):
    """Real weights need a download; these are as good for the way that they take."""
    theirs = torchvision.models.get_model(name, weights=None)
    asked = []
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: asked.append((name, weights)) or theirs)
    source = load_source(f"torchvision:{name}")
    assert asked == [(name, "DEFAULT")]
    torch.testing.assert_close(logits(source.network), logits(theirs))


def test_weights_that_cannot_be_downloaded_are_one_line(monkeypatch):
    def fail(name, weights):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models, "get_model", fail)
    with pytest.raises(NasError, match=r"torchvision:mobilenet_v2: its weights cannot be downloaded: no route to host"):
        load_source("torchvision:mobilenet_v2")


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pth_of_torchvision_fills_the_reference_network(wrapped, tmp_path):
    theirs = torchvision.models.mobilenet_v3_small(weights=None)
    path = tmp_path / "v3.pth"
    torch.save({"state_dict": theirs.state_dict(), "epoch": 3} if wrapped else theirs.state_dict(), path)
    source = load_source(f"reference:mobilenet_v3_small,{path}")
    torch.testing.assert_close(logits(source.network), logits(theirs))


def test_a_safetensors_file_of_ours_needs_no_name_and_another_order_no_care(tmp_path):
    architecture = load_reference("mobilenet_v1_025").with_num_classes(10)
    network = lively(architecture)
    save_weights(tmp_path / "net.safetensors", network, {"architecture": architecture.to_json()})
    for text in ("", "reference:mobilenet_v1_025,"):
        source = load_source(f"{text}{tmp_path / 'net.safetensors'}")
        assert source.architecture.with_num_classes(10) == architecture
        torch.testing.assert_close(logits(source.network), logits(network))


def test_a_classifier_for_other_classes_is_fresh_and_all_else_is_kept(tmp_path):
    architecture = load_reference("mobilenet_v1_025")
    source = for_classes(load_source_of(architecture, tmp_path), 10)
    assert source.architecture.num_classes == 10
    assert logits(source.network).shape == (2, 10)
    expected = lively(architecture).state_dict()
    for name, value in source.network.state_dict().items():
        assert name.startswith("classifier") or torch.equal(value, expected[name]), name


def load_source_of(architecture, folder: Path):
    save_weights(folder / "net.safetensors", lively(architecture), {"architecture": architecture.to_json()})
    return load_source(str(folder / "net.safetensors"))


class Hostile:
    """What unpickling it does is what its author wants."""

    def __reduce__(self):
        return os.system, ("touch pwned",)


def definition(**more):
    return {
        "class": "MobileNetV3",
        "arch_def": [["ds_r1_k3_s1_e1_c16"]],
        "num_classes": 10,
        "stem_size": 16,
        "num_features": 64,
        **more,
    }


TIMMS_OWN = [  # mobilenetv3_large_100, as timm's source has it
    ["ds_r1_k3_s1_e1_c16_nre"],
    ["ir_r1_k3_s2_e4_c24_nre", "ir_r1_k3_s1_e3_c24_nre"],
    ["ir_r3_k5_s2_e3_c40_se0.25_nre"],
    ["ir_r1_k3_s2_e6_c80", "ir_r1_k3_s1_e2.5_c80", "ir_r2_k3_s1_e2.3_c80"],
    ["ir_r2_k3_s1_e6_c112_se0.25"],
    ["ir_r3_k5_s2_e6_c160_se0.25"],
    ["cn_r1_k1_s1_c960"],
]


def test_timms_own_definition_with_timms_weights_is_timms_network(tmp_path):
    theirs = timm.create_model("mobilenetv3_large_100", pretrained=False).eval()
    torch.save(theirs.state_dict(), tmp_path / "v3.pth")
    said = definition(
        arch_def=TIMMS_OWN, num_classes=1000, num_features=1280, act_layer="hard_swish", gate_layer="hard_sigmoid",
        rd_divisor=8,
    )  # fmt: skip
    (tmp_path / "v3.json").write_text(json.dumps(said))
    source = load_source(f"timm:{tmp_path / 'v3.json'},{tmp_path / 'v3.pth'}")
    torch.testing.assert_close(logits(source.network), logits(theirs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "mnasnet_a1", "mnasnet_b1"])
def test_what_is_written_for_timm_is_read_as_the_same_network(name):
    architecture = load_reference(name)
    assert read_timm(timm_definition(architecture)).to_dict()["blocks"] == architecture.to_dict()["blocks"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            definition(arch_def=[["mqa_r1_k3_h4_s1_d64_c16"]]),
            "'mqa_r1_k3_h4_s1_d64_c16': .* is not of the MBConv",
        ),
        (definition(arch_def=[["ir_r1_k3_s1_c16_cc4"]]), "'cc4' is not of the MBConv family"),
        (definition(arch_def=[["ir_r1_k3_s1"]]), "expected r, k, s and c"),
        ({**definition(), "class": "ResNet"}, "class 'ResNet'; supported: MobileNetV3, EfficientNet"),
        (definition(depth=3), "unknown key 'depth'"),
        (definition(act_layer="gelu"), "'gelu'; expected one of relu"),
        ([], "not a definition of timm"),
    ],
)
def test_a_definition_of_another_family_is_refused(said, message, tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(said))
    with pytest.raises(NasError, match=rf"x.json: .*{message}"):
        load_source(f"timm:{tmp_path / 'x.json'}")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_hostile_pickle_is_refused_and_does_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Hostile()}, tmp_path / "new.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Hostile()))
    for name in ("new.pth", "old.pth"):
        with pytest.raises(NasError, match=rf"{name}: refused: it is damaged or holds more than weights"):
            load_source(f"reference:mobilenet_v2,{tmp_path / name}")
    assert not (tmp_path / "pwned").exists()


def other_weights(folder: Path) -> Path:
    path = folder / "other.safetensors"
    save_file(torchvision.models.mobilenet_v3_small(weights=None).state_dict(), path)
    return path


def a_list(folder: Path) -> Path:
    torch.save([1, 2], folder / "list.pth")
    return folder / "list.pth"


def noise(folder: Path) -> Path:
    (folder / "noise.pth").write_bytes(b"no weights at all")
    return folder / "noise.pth"


def headless(folder: Path) -> Path:
    network = build(Architecture(32, (ConvBlock(8, 3, 2, "relu"), PoolBlock())))
    save_file({f"x.{name}": value for name, value in network.state_dict().items()}, folder / "plain.safetensors")
    return folder / "plain.safetensors"


@pytest.mark.parametrize(
    ("text", "make", "message"),
    [
        ("reference:mobilenet_v2,{}", other_weights, r"other.safetensors: the weights of another network: \d+ weights"),
        ("reference:mobilenet_v2,{}", a_list, r"list.pth: holds list; expected a state dict of tensors"),
        ("reference:mobilenet_v2,{}", noise, r"noise.pth: "),
        ("reference:mobilenet_v2,{}", lambda folder: folder / "absent.pth", r"absent.pth: No such file"),
        ("reference:mobilenet_v2,{}", lambda folder: folder / "a.bin", r"a.bin: not a file of weights; expected"),
        ("{}", headless, r"plain.safetensors: its header names no architecture"),
        ("reference:resnet,{}", noise, "unknown network 'resnet'; expected one of"),
        (
            "torchvision:resnet50",
            noise,
            "cannot begin with 'torchvision:resnet50'; supported: trial:ID",
        ),
        ("resnet50", noise, "cannot begin with 'resnet50'; supported: trial:ID"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(text, make, message, tmp_path):
    with pytest.raises(NasError, match=message) as caught:
        load_source(text.format(make(tmp_path)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("arch_def", None, "arch_def None; expected a list of stages"),
        ("arch_def", [[3]], "arch_def .* each a list of block strings"),
        ("stem_size", "32", "stem_size '32'; expected a number"),
        ("act_layer", [], "act_layer .*; expected one of"),
        ("gate_layer", 3, "gate_layer 3; expected sigmoid"),
        ("rd_divisor", "8", "rd_divisor '8'; expected a number"),
        ("bn_eps", "0.001", "bn_eps '0.001'; expected a number"),
        ("arch_def", [["ir_r1_k3_s2_e9e999_c24"]], "expected r, k, s and c with their numbers"),
        ("arch_def", [["ir_r1_k3_s2_e3_c24_se9e999"]], "expected r, k, s and c with their numbers"),
    ],
)
def test_a_malformed_timm_definition_is_one_line(key, value, message):
    definition = timm_definition(load_reference("mobilenet_v3_small"))
    with pytest.raises(NasError, match=message):
        read_timm({**definition, key: value})


def test_the_first_string_of_a_stage_alone_has_a_stride():
    text = "ir_r2_k3_s2_e3_c24"
    definition = timm_definition(load_reference("mobilenet_v3_small"))
    found = read_timm({**definition, "arch_def": [[text, text]]})
    assert [block.stride for block in found.blocks if isinstance(block, MBConvBlock)] == [2, 1, 1, 1]
