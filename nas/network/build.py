"""`build()`: the list of layers as a PyTorch module."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import groupby
from typing import final

import torch
from torch import Tensor, nn

from nas.architecture import Architecture
from nas.layers import Layer, lower
from nas.network.blocks import ConvNormAct, GlobalPool, LinearAct, Residual, SqueezeExcite, average_pool


@final
class Network(nn.Module):
    """The blocks of an architecture and its classifier.

    Parameters are named by place and role, as in `blocks.3.body.expand.conv.weight`, and stand in the order
    in which the layers run.
    """

    def __init__(self, blocks: Sequence[nn.Module], classifier: Layer) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(classifier.in_channels, classifier.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, num_classes)."""
        logits: Tensor = self.classifier(self.blocks(x))
        return logits


def build(architecture: Architecture, *, seed: int = 0) -> Network:
    """The network with fresh weights drawn from `seed`, on the CPU, in training mode.

    It takes square images of any size; torch's global random state is neither read nor changed.
    """
    network = blank(architecture)
    initialise(network, torch.Generator().manual_seed(seed))
    return network


def blank(architecture: Architecture) -> Network:
    """The network with arbitrary weights, on the CPU, in training mode: for weights that are at hand."""
    return assemble(architecture).to_empty(device="cpu")


def assemble(architecture: Architecture) -> Network:
    """The network without values: on "meta", where its modules draw no weights that would only be replaced."""
    *layers, classifier = lower(architecture)
    with torch.device("meta"):
        blocks = [
            block_module(list(group), architecture.bn_eps) for _, group in groupby(layers, lambda layer: layer.block)
        ]
        return Network(blocks, classifier)


def module_name(layer: Layer, architecture: Architecture) -> str:
    """Where the parameters of a layer of the architecture stand in its `Network`."""
    if layer.role == "classifier":
        return "classifier"
    inside = ".body" if getattr(architecture.blocks[layer.block], "skip", "none") != "none" else ""
    se = ".se" if layer.role in ("reduce", "excite") else ""
    return f"blocks.{layer.block}{inside}{se}.{layer.role}"


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights anew and reset batch norm.

    Convolutions: He's normal by fan-out (1502.01852); linear layers: normal with deviation 0.01; biases zero, as
    torchvision does for MobileNets. A residual block begins as its shortcut alone (1706.02677, section 5.1): after
    a few epochs such networks were seen to be well ahead.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    for module in network.modules():
        # behind a ReLU no gradient would ever reach a scale of zero
        if isinstance(module, Residual) and isinstance(module.last.act, nn.Identity):
            nn.init.zeros_(module.last.norm.weight)


def block_module(layers: Sequence[Layer], bn_eps: float) -> nn.Module:
    """The module of one block's layers, on torch's default device."""
    match layers[0].role:
        case "pool":
            return GlobalPool()
        case "linear":
            return LinearAct(layers[0])
        case _:
            return _spatial_block(layers, bn_eps)


def _spatial_block(layers: Sequence[Layer], bn_eps: float) -> nn.Module:
    roles = {layer.role: layer for layer in layers}
    body: OrderedDict[str, nn.Module] = OrderedDict()
    for layer in layers:
        match layer.role:
            case "conv" | "expand" | "depthwise" | "project":
                body[layer.role] = ConvNormAct(layer, bn_eps)
            case "squeeze":
                body["se"] = SqueezeExcite(roles["reduce"], roles["excite"])
    residual = nn.Sequential(body)
    if "add" not in roles:
        return residual
    return Residual(residual, average_pool(roles["shortcut"]) if "shortcut" in roles else nn.Identity())
