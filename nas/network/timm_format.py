"""Networks as timm writes them down: block strings, and what its classes are given besides. timm is not needed here."""

from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor

from nas.architecture import Activation, Architecture, ConvBlock, LinearBlock, MBConvBlock, PoolBlock, SepConvBlock
from nas.errors import NasError
from nas.network.build import Network

_ACTS: Final[dict[Activation, str]] = {"relu": "re", "relu6": "r6", "hswish": "hs", "swish": "sw"}
_LAYERS: Final[dict[Activation, str]] = {"relu": "relu", "relu6": "relu6", "hswish": "hard_swish", "swish": "swish"}
_GATES: Final = {"sigmoid": "sigmoid", "hsigmoid": "hard_sigmoid"}
_DIVISOR = 8  # to which timm rounds every width


def timm_definition(architecture: Architecture) -> dict[str, Any]:
    """What timm needs to build the network: `class`, `arch_def`, and the arguments of the class (docs/export.md).

    Each block is a stage of its own, for timm lets only the first one of a stage have a stride.

    Raises:
        NasError: timm's block strings cannot say this network; the message names the block.
    """
    stem, *body = architecture.blocks
    if not isinstance(stem, ConvBlock) or (stem.kernel, stem.stride, stem.skip) != (3, 2, "none"):
        raise NasError("timm: blocks[0]: expected a 3x3 convolution with stride 2, the only stem that timm builds")
    pool = next(index for index, block in enumerate(body) if isinstance(block, PoolBlock))
    spatial, hidden = body[:pool], body[pool + 1 :]
    definition: dict[str, Any] = {
        "class": "MobileNetV3" if hidden else "EfficientNet",
        "num_classes": architecture.num_classes,
        "in_chans": architecture.in_channels,
        "stem_size": _round(0, stem.channels),
        "act_layer": _act(0, stem.act, _LAYERS),
        "bn_eps": architecture.bn_eps,
        "gate_layer": _gate(architecture),
    }
    if hidden:
        (head,) = hidden if len(hidden) == 1 else (None,)
        if not isinstance(head, LinearBlock) or head.act != stem.act:
            raise NasError("timm: expected one hidden linear layer with the stem's activation, or none")
        definition["num_features"] = head.channels
    else:
        last = spatial.pop()
        if not isinstance(last, ConvBlock) or (last.kernel, last.stride, last.skip, last.act) != (
            1, 1, "none", stem.act
        ):  # fmt: skip
            raise NasError(f"timm: blocks[{pool}]: expected a 1x1 convolution with the stem's activation as the head")
        definition["num_features"] = last.channels
    strings, channels = [], stem.channels
    for index, block in enumerate(spatial, start=1):
        strings.append([_string(index, block, channels, se_from_mid=bool(hidden))])
        channels = block.channels  # type: ignore[union-attr] # spatial blocks alone
    return {**definition, "arch_def": strings}


def timm_state(network: Network, names: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The network's weights under timm's names; `names` are the shapes of timm's state dict, in its order."""
    pairs = zip(network.state_dict().values(), names.items(), strict=True)
    return {name: value.reshape(shape) for value, (name, shape) in pairs}


def timm_names(network: Network, architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the state dict of timm's module for the network, in the order of ours."""
    found = {}
    for name, value in network.state_dict().items():
        theirs, shape = _renamed(name, architecture), tuple(value.shape)
        found[theirs] = (*shape, 1, 1) if theirs == "conv_head.weight" and len(shape) == 2 else shape
    return found


def _renamed(name: str, architecture: Architecture) -> str:
    """Timm's name of one of our weights."""
    if name.startswith("classifier."):
        return name
    _, number, *rest = name.replace(".body", "").split(".")
    index, block = int(number), architecture.blocks[int(number)]
    last = next(i for i, b in enumerate(architecture.blocks) if isinstance(b, PoolBlock)) - 1
    if isinstance(block, LinearBlock):
        return f"conv_head.{rest[-1]}"
    if index == 0 or (index == last and not isinstance(architecture.blocks[-1], LinearBlock)):
        conv, norm = ("conv_stem", "bn1") if index == 0 else ("conv_head", "bn2")
        return f"{conv if rest[1] == 'conv' else norm}.{rest[-1]}"
    place = f"blocks.{index - 1}.0"
    if rest[0] == "se":
        return f"{place}.se.conv_{'reduce' if rest[1] == 'reduce' else 'expand'}.{rest[-1]}"
    conv, norm = _MODULES[type(block)][rest[0]]
    return f"{place}.{conv if rest[1] == 'conv' else norm}.{rest[-1]}"


_MODULES: Final[dict[type, dict[str, tuple[str, str]]]] = {
    MBConvBlock: {"expand": ("conv_pw", "bn1"), "depthwise": ("conv_dw", "bn2"), "project": ("conv_pwl", "bn3")},
    SepConvBlock: {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")},
    ConvBlock: {"conv": ("conv", "bn1")},
}


def _string(index: int, block: object, channels: int, *, se_from_mid: bool) -> str:
    """One block, as in `ir_r1_k3_s2_e6.0_c24`; `channels` come in."""
    match block:
        case ConvBlock():
            skip = "_skip" if block.skip != "none" else ""
            text = f"cn_r1_k{block.kernel}_s{block.stride}_c{_round(index, block.channels)}{skip}"
        case SepConvBlock():
            if block.project_act not in ("none", block.act):
                raise NasError(f"timm: blocks[{index}]: two activations in one separable block")
            kind = "ds" if block.project_act == "none" else "dsa"
            text = f"{kind}_r1_k{block.kernel}_s{block.stride}_e1_c{_round(index, block.channels)}"
            text += _se(block.se_channels, channels) + _noskip(block, channels, dsa=kind == "dsa")
        case MBConvBlock():
            mid = _round(index, block.mid_channels)
            text = f"ir_r1_k{block.kernel}_s{block.stride}_e{mid / channels!r}_c{_round(index, block.channels)}"
            text += _se(block.se_channels, mid if se_from_mid else channels) + _noskip(block, channels)
        case _:
            raise NasError(f"timm: blocks[{index}]: {type(block).__name__} has no block string")
    if getattr(block, "skip", "none") == "pool":
        raise NasError(f"timm: blocks[{index}]: has no block string for a pooled shortcut")
    return f"{text}_n{_act(index, block.act, _ACTS)}"


def _se(squeeze: int, of: int) -> str:
    return f"_se{squeeze / of!r}" if squeeze else ""


def _noskip(block: SepConvBlock | MBConvBlock, channels: int, *, dsa: bool = False) -> str:
    """Timm adds the input wherever shapes allow, but never in `dsa`."""
    fits = block.stride == 1 and block.channels == channels and not dsa
    if dsa and block.skip != "none":
        raise NasError("timm: has no sum around a separable block that ends in an activation")
    return "_noskip" if fits and block.skip == "none" else ""


def _act(index: int, act: Activation, words: Mapping[Activation, str]) -> str:
    if act not in words:
        raise NasError(f"timm: blocks[{index}]: activation {act!r}; expected one of {', '.join(words)}")
    return words[act]


def _round(index: int, channels: int) -> int:
    if channels % _DIVISOR:
        raise NasError(f"timm: blocks[{index}]: {channels} channels; timm rounds all widths to multiples of {_DIVISOR}")
    return channels


def _gate(architecture: Architecture) -> str | None:
    gates = {
        block.se_gate
        for block in architecture.blocks
        if isinstance(block, SepConvBlock | MBConvBlock) and block.se_channels
    }
    if len(gates) > 1:
        raise NasError(f"timm: gates {', '.join(sorted(gates))} in one network; timm builds one kind")
    return _GATES[gates.pop()] if gates else None
