"""timm's definitions of networks of the MBConv family, read: block strings, and what its classes are given besides."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nas.architecture import (
    Activation,
    Architecture,
    Block,
    ConvBlock,
    Gate,
    LinearBlock,
    MBConvBlock,
    PoolBlock,
    SepConvBlock,
    fitting_skip,
    round_channels,
)
from nas.errors import ArchitectureError

_ACTS: Final[dict[str, Activation]] = {"re": "relu", "r6": "relu6", "hs": "hswish", "sw": "swish"}
_LAYERS: Final[dict[str, Activation]] = {"relu": "relu", "relu6": "relu6", "hard_swish": "hswish", "swish": "swish"}
_GATES: Final[dict[str | None, Gate]] = {"sigmoid": "sigmoid", "hard_sigmoid": "hsigmoid", None: "sigmoid"}
_KEYS: Final = {
    "class", "arch_def", "num_classes", "in_chans", "stem_size", "num_features", "act_layer", "bn_eps", "gate_layer",
    "resolution", "rd_divisor",
}  # fmt: skip
_REQUIRED: Final = ("class", "arch_def", "num_classes", "stem_size", "num_features")
_CLASSES: Final = ("MobileNetV3", "EfficientNet")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_stages(value: object) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(stage, list | tuple) and all(isinstance(text, str) for text in stage) for stage in value
    )


_FORMS: Final[tuple[tuple[str, Callable[[object], bool], str], ...]] = (
    ("arch_def", _is_stages, "a list of stages, each a list of block strings"),
    *(
        (key, _is_count, "a number of 1 or more, without a fraction")
        for key in ("num_classes", "in_chans", "stem_size", "num_features", "resolution", "rd_divisor")
    ),
    ("bn_eps", lambda value: isinstance(value, float | int), "a number"),
    ("act_layer", lambda value: isinstance(value, str), f"one of {', '.join(_LAYERS)}"),
    ("gate_layer", lambda value: value is None or isinstance(value, str), "sigmoid or hard_sigmoid"),
)


@dataclass(frozen=True, slots=True)
class _Model:
    """What all blocks of a network share."""

    act: Activation
    gate: Gate
    se_from_mid: bool  # the squeeze is a share of the expansion, else of the block's input
    rd_divisor: int


def read_timm(definition: object) -> Architecture:
    """The network that timm's class builds from a definition (docs/export.md).

    `rd_divisor` is what squeezes are rounded to: 8 for timm's own MobileNetV3, else 1.

    Raises:
        ArchitectureError: a key, a block or a class that is not of the MBConv family; the message names it.
    """
    if not isinstance(definition, Mapping) or not all(key in definition for key in _REQUIRED):
        raise ArchitectureError(f"not a definition of timm; expected {', '.join(_REQUIRED)}")
    if unknown := definition.keys() - _KEYS:
        raise ArchitectureError(f"unknown key {sorted(unknown)[0]!r}; expected one of {', '.join(sorted(_KEYS))}")
    if definition["class"] not in _CLASSES:
        raise ArchitectureError(f"class {definition['class']!r}; supported: {', '.join(_CLASSES)}")
    for key, fits, expected in _FORMS:
        if key in definition and not fits(definition[key]):
            raise ArchitectureError(f"{key} {definition[key]!r}; expected {expected}")
    model = _Model(
        _word(_LAYERS, "act_layer", definition.get("act_layer", "relu")),
        _word(_GATES, "gate_layer", definition.get("gate_layer")),
        definition["class"] == "MobileNetV3",
        definition.get("rd_divisor", 1),
    )
    blocks: list[Block] = [ConvBlock(definition["stem_size"], 3, 2, model.act)]
    for stage in definition["arch_def"]:
        for index, text in enumerate(stage):
            blocks += _blocks(text, blocks[-1].channels, model, first=index == 0)  # type: ignore[union-attr]
    if model.se_from_mid:
        blocks += [PoolBlock(), LinearBlock(definition["num_features"], model.act)]
    else:
        blocks += [ConvBlock(definition["num_features"], 1, 1, model.act), PoolBlock()]
    return Architecture(
        definition.get("resolution", 224),
        tuple(blocks),
        num_classes=definition["num_classes"],
        in_channels=definition.get("in_chans", 3),
        bn_eps=definition.get("bn_eps", 1e-5),
    )


def _blocks(text: str, channels: int, model: _Model, *, first: bool) -> Iterator[Block]:
    """The blocks of one string; within a stage only the very first one has a stride."""
    kind, *words = text.split("_")
    options = dict(re.split(r"(?=\d)", word, maxsplit=1) for word in words if re.fullmatch(r"[a-z]+\d.*", word))
    acts = [word[1:] for word in words if word[:1] == "n" and word[1:] in _ACTS]
    act = _ACTS[acts[0]] if acts else model.act
    known = {"noskip", "skip", *(f"n{act}" for act in acts)}
    wrong = [
        word for word in words if word not in known and re.split(r"\d", word)[0] not in ("r", "k", "s", "e", "c", "se")
    ]
    if kind not in ("ds", "dsa", "ir", "cn") or wrong:
        raise ArchitectureError(f"{text!r}: {wrong[0] if wrong else kind!r} is not of the MBConv family")
    try:
        out, kernel, stride = int(options["c"]), int(options["k"]), int(options["s"])
        repeats, expand = int(options["r"]), float(options.get("e", "1"))
        ratio = float(options.get("se", "0"))
        if not (math.isfinite(expand) and math.isfinite(ratio)):
            raise ValueError(text)
    except (KeyError, ValueError):
        raise ArchitectureError(f"{text!r}: expected r, k, s and c with their numbers") from None
    for index in range(repeats):
        step = stride if first and index == 0 else 1
        mid = round_channels(channels * expand)
        squeeze = _squeeze(ratio, mid, channels, kind, model)
        gate: Gate = model.gate if squeeze else "hsigmoid"  # what a block without one says by default
        wanted = "skip" in words if kind == "cn" else "noskip" not in words and kind != "dsa"
        skip = fitting_skip("identity", channels, out, step) if wanted else "none"
        match kind:
            case "cn":
                yield ConvBlock(out, kernel, step, act, skip)
            case "ir":
                yield MBConvBlock(out, mid, kernel, step, act, squeeze, gate, skip)
            case _:
                yield SepConvBlock(out, kernel, step, act, act if kind == "dsa" else "none", squeeze, gate, skip)
        channels = out


def _squeeze(ratio: float, mid: int, channels: int, kind: str, model: _Model) -> int:
    if not ratio:
        return 0
    of = mid if model.se_from_mid and kind == "ir" else channels
    return round(of * ratio) if model.rd_divisor == 1 else round_channels(of * ratio, model.rd_divisor)


def _word(words: Mapping[Any, Any], key: str, word: object) -> Any:
    if word not in words:
        raise ArchitectureError(f"{key} {word!r}; expected one of {', '.join(str(known) for known in words if known)}")
    return words[word]
