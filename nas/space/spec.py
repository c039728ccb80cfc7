"""`SpaceSpec`: a search space as its YAML file says it; a scalar is fixed, a list is a choice."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from nas.architecture import Activation, Gate, Skip
from nas.errors import SpecError
from nas.yaml_file import load_yaml, require_keys

Scalar = int | float | str
Options = Mapping[str, tuple[Scalar, ...]]
"""For each key its choices, one if it is fixed."""

_ACTS = get_args(Activation)
_WORDS: dict[str, tuple[str, ...]] = {
    "op": ("conv", "sepconv", "mbconv"),
    "act": _ACTS,
    "project_act": _ACTS,
    "se_from": ("expanded", "input"),
    "se_gate": get_args(Gate),
    "skip": get_args(Skip),
    "type": ("classic", "pooled", "plain"),
}
_COUNTS = frozenset({"resolution", "channels", "kernel", "stride", "mid_channels", "conv_channels"})
_FACTORS = frozenset({"width", "expand"})

_STAGE_DEFAULTS: dict[str, Scalar] = {
    "op": "mbconv",
    "depth": 1,
    "width": 1,
    "kernel": 3,
    "stride": 1,
    "expand": 1,
    "se": "none",
    "se_from": "expanded",
    "se_gate": "hsigmoid",
    "act": "relu",
    "project_act": "none",
    "skip": "identity",
}
_HEAD_DEFAULTS: dict[str, Scalar] = {"type": "classic", "act": "relu"}
_STAGE_ORDER = (  # of the genes of a stage, whatever the order in the file
    "op", "depth", "channels", "width", "stride", "kernel", "expand", "mid_channels",
    "se", "se_from", "se_gate", "act", "project_act", "skip",
)  # fmt: skip
_STAGE_KEYS = frozenset({*_STAGE_ORDER, "per_layer"})
_HEAD_KEYS = frozenset({"type", "channels", "conv_channels", "expand", "act"})
_PER_LAYER_KEYS = frozenset({"op", "kernel", "expand", "mid_channels", "se", "act", "skip"})
_SPACE_KEYS = frozenset(
    {"name", "description", "resolution", "width", "bn_eps", "defaults", "stages", "head", "published"}
)
_PUBLISHED_KEYS = frozenset({"source", "top1", "madds_m", "params_m", "latency_ms", "note"})


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A run of layers that share a width; the first has the stride. Each layer makes the `per_layer` choices itself."""

    options: Options
    per_layer: frozenset[str]

    @property
    def max_depth(self) -> int:
        """The most layers that the stage can have."""
        return max(int(depth) for depth in self.options["depth"])


@dataclass(frozen=True, slots=True)
class Published:
    """What a paper or its code says of a network: top-1 in percent, MAdds and params in millions, latency by device."""

    source: str
    top1: float | None = None
    madds_m: float | None = None
    params_m: float | None = None
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class SpaceSpec:
    """The content of one file of `search_spaces/`, checked."""

    name: str
    description: str
    resolution: tuple[Scalar, ...]
    width: tuple[Scalar, ...]  # multiplies all channels (MobileNetV1, section 3.3)
    bn_eps: float
    stages: tuple[StageSpec, ...]
    head: Options
    published: tuple[Published, ...] = ()


def load_spec(path: Path) -> SpaceSpec:
    """The space that the file describes.

    Raises:
        SpecError: with file, place, finding and expectation.
    """
    data = require_keys(str(path), load_yaml(path), _SPACE_KEYS, frozenset({"name", "resolution", "stages", "head"}))
    defaults = require_keys(f"{path}: defaults", data.get("defaults", {}), _STAGE_KEYS)
    stages = data["stages"]
    if not isinstance(stages, list) or not stages:
        raise SpecError(f"{path}: stages: expected a list of stages")
    bn_eps = data.get("bn_eps", 1e-3)
    if not isinstance(bn_eps, float) or not 0 < bn_eps < 1:
        raise SpecError(f"{path}: bn_eps: found {bn_eps!r}; expected a number between 0 and 1, such as 1.0e-3")
    return SpaceSpec(
        name=_text(path, "name", data["name"]),
        description=_text(path, "description", data.get("description", "")),
        resolution=_choices(f"{path}: resolution", "resolution", data["resolution"]),
        width=_choices(f"{path}: width", "width", data.get("width", 1)),
        bn_eps=bn_eps,
        stages=tuple(_stage(f"{path}: stages[{s}]", stage, defaults) for s, stage in enumerate(stages)),
        head=_head(f"{path}: head", data["head"]),
        published=tuple(
            _published(f"{path}: published[{i}]", entry)
            for i, entry in enumerate(_list(path, data.get("published", [])))
        ),
    )


def _stage(place: str, data: object, defaults: dict[str, Any]) -> StageSpec:
    own = require_keys(place, data, _STAGE_KEYS)
    merged = {**_STAGE_DEFAULTS, **defaults, **own}
    if "channels" not in merged:
        raise SpecError(f"{place}: missing channels")
    names = merged.pop("per_layer", [])
    if not isinstance(names, list) or not _PER_LAYER_KEYS.issuperset(map(str, names)):
        raise SpecError(f"{place}.per_layer: found {names!r}; expected a list of {', '.join(sorted(_PER_LAYER_KEYS))}")
    options = {key: _choices(f"{place}.{key}", key, merged[key]) for key in _STAGE_ORDER if key in merged}
    if any(option % 2 == 0 for option in options["kernel"] if isinstance(option, int)):
        raise SpecError(f"{place}.kernel: found {merged['kernel']!r}; expected odd numbers")
    return StageSpec(options, frozenset(names))


def _head(place: str, data: object) -> Options:
    merged = {**_HEAD_DEFAULTS, **require_keys(place, data, _HEAD_KEYS)}
    options = {key: _choices(f"{place}.{key}", key, value) for key, value in merged.items()}
    if options["type"] != ("plain",) and "channels" not in options:
        raise SpecError(f"{place}: missing channels")
    if "pooled" in options["type"] and not options.keys() & {"conv_channels", "expand"}:
        raise SpecError(f"{place}: a pooled head needs conv_channels, or expand (times the last stage's channels)")
    return options


def _published(place: str, data: object) -> Published:
    entry = require_keys(place, data, _PUBLISHED_KEYS, frozenset({"source"}))
    for key in ("top1", "madds_m", "params_m"):
        if not isinstance(entry.get(key, 0), int | float):
            raise SpecError(f"{place}.{key}: found {entry[key]!r}; expected a number")
    latency = entry.get("latency_ms", {})
    if not isinstance(latency, dict) or not all(isinstance(ms, int | float) for ms in latency.values()):
        raise SpecError(f"{place}.latency_ms: found {latency!r}; expected milliseconds by device")
    return Published(**{**entry, "latency_ms": latency})


def _choices(place: str, key: str, value: object) -> tuple[Scalar, ...]:
    """The choices that `value` stands for: a list's members, or the scalar alone."""
    options = value if isinstance(value, list) else [value]
    if not options:
        raise SpecError(f"{place}: an empty list; expected at least one choice")
    for option in options:
        if expected := _expected(key, option):
            raise SpecError(f"{place}: found {option!r}; expected {expected}")
    if len(set(options)) < len(options):
        raise SpecError(f"{place}: found {value!r}; a choice is given twice")
    return tuple(options)


def _expected(key: str, option: object) -> str | None:
    """What `option` should have been, or None if it is right."""
    is_number = isinstance(option, int | float) and not isinstance(option, bool)
    if key in _WORDS:
        return None if option in _WORDS[key] else f"one of {', '.join(_WORDS[key])}"
    if key in _COUNTS:
        return None if type(option) is int and 0 < option <= 1 << 16 else "a whole number above 0"
    if key == "depth":
        return None if type(option) is int and 0 <= option <= 1 << 8 else "a number of layers, 0 or more"
    if key == "se":
        good = option == "none" or (isinstance(option, int | float) and is_number and 0 < option <= 1)
        return None if good else "none, or the share of the channels that the squeeze keeps, such as 0.25"
    assert key in _FACTORS, key
    return None if isinstance(option, int | float) and is_number and 0 < option <= 64 else "a factor above 0"


def _text(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise SpecError(f"{path}: {key}: found {value!r}; expected text")
    return value


def _list(path: Path, value: object) -> list[object]:
    if not isinstance(value, list):
        raise SpecError(f"{path}: published: expected a list")
    return value
