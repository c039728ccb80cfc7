"""`Device`: what is known about a latency table as a whole, read from and written to its `device.yaml`."""

from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from nas.errors import LatencyError, SpecError
from nas.latency.calibration import Calibration
from nas.yaml_file import load_yaml, require_keys


@dataclass(frozen=True)
class Device:
    """A device as it was measured: another runtime, version, core or dtype is another device.

    `fit` is the error of fitted coefficients on whole networks that they have not seen, before calibration; None where
    nothing was fitted. `error` is that of estimates, each network left out of the calibration or, after
    `nas latency validate`, unknown to the table; percent.
    `networks` are the milliseconds of the networks that the calibration stands on. `interval` is the relative
    half-width within which a new network's latency lies with probability `coverage`. `errors` are the relative errors
    (estimated / measured - 1) behind it, network by network, for other coverages; empty if they were not recorded.
    """

    target: str
    device: str
    aliases: tuple[str, ...]
    runtime: str
    runtime_version: str
    threads: int
    core: str
    dtype: str
    resolution: int | None  # of the networks behind the table; None: any
    date: str
    provenance: tuple[Mapping[str, str], ...]
    fit: Mapping[str, float] | None
    error: Mapping[str, float]
    calibration: Calibration
    networks: Mapping[str, float]
    coverage: float
    interval: float
    errors: tuple[float, ...] = ()
    rows: int | None = None  # of table.csv, the first ones, that the calibration knew; None: all, or not recorded


_TEXTS = ("device", "runtime", "runtime_version", "core", "dtype", "date")
_NESTED = {"aliases", "threads", "resolution", "provenance", "fit", "error", "calibration", "interval"}


def read_device(path: Path) -> Device:
    """The device of a `device.yaml`; its target is the name of the folder.

    Raises:
        LatencyError: an unknown or missing key or a value of the wrong type, with file and key.
    """
    try:
        data = load_yaml(path)
        known = frozenset({*_TEXTS, *_NESTED})
        data = require_keys(str(path), data, known, known)
        calibration = _part(path, data, "calibration", {"scale", "offset_ms", "networks"}, optional={"rows"})
        interval = _part(path, data, "interval", {"coverage", "relative"}, optional={"errors"})
    except SpecError as error:
        raise LatencyError(str(error)) from None
    return Device(
        target=path.parent.name,
        **{key: _text(path, key, data[key]) for key in _TEXTS},
        aliases=tuple(_text(path, "aliases", alias) for alias in _list(path, "aliases", data["aliases"])),
        threads=_count(path, "threads", data["threads"]),
        resolution=None if data["resolution"] is None else _count(path, "resolution", data["resolution"]),
        provenance=tuple(_texts(path, "provenance", item) for item in _list(path, "provenance", data["provenance"])),
        fit=None if data["fit"] is None else _numbers(path, "fit", data["fit"], least=-1.0),
        error=_numbers(path, "error", data["error"], least=-1.0),
        calibration=Calibration(
            _number(path, "calibration.scale", calibration["scale"]),
            _number(path, "calibration.offset_ms", calibration["offset_ms"]),
        ),
        networks=_numbers(path, "calibration.networks", calibration["networks"]),
        coverage=_number(path, "interval.coverage", interval["coverage"]),
        interval=_number(path, "interval.relative", interval["relative"]),
        rows=None if (rows := calibration.get("rows")) is None else _count(path, "calibration.rows", rows),
        errors=tuple(_error(path, error) for error in _list(path, "interval.errors", interval.get("errors", []))),
    )


def write_device(device: Device, path: Path) -> None:
    """Write `device.yaml` so that a reader sees the old file or the new one, never half of it.

    Raises:
        LatencyError: the file cannot be written.
    """
    data = {field.name: getattr(device, field.name) for field in fields(device)}
    data = {key: data[key] for key in data if key in (*_TEXTS, *_NESTED)}
    data["aliases"] = list(device.aliases)
    data["provenance"] = [dict(item) for item in device.provenance]
    data["calibration"] = {**asdict(device.calibration), "networks": dict(device.networks)}
    data["interval"] = {"coverage": device.coverage, "relative": device.interval}
    if device.rows is not None:
        data["calibration"]["rows"] = device.rows
    if device.errors:
        data["interval"]["errors"] = [round(error, 5) for error in device.errors]
    draft = path.with_suffix(".new")
    try:
        draft.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise LatencyError(f"{path}: {error.strerror}") from None


def _part(
    path: Path, data: Mapping[str, Any], key: str, names: Set[str], *, optional: Set[str] = frozenset()
) -> dict[str, Any]:
    return require_keys(f"{path}: {key}", data[key], frozenset(names | optional), frozenset(names))


def _text(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise LatencyError(f"{path}: {key}: {value!r}; expected text in quotes")
    return value


def _count(path: Path, key: str, value: object) -> int:
    if type(value) is not int or value < 1:
        raise LatencyError(f"{path}: {key}: {value!r}; expected a whole number of at least 1")
    return value


def _number(path: Path, key: str, value: object, least: float = 0.0) -> float:
    if type(value) not in (int, float) or not least <= value < float("inf"):  # type: ignore[operator]
        raise LatencyError(f"{path}: {key}: {value!r}; expected a number of at least {least:g}")
    return float(value)  # type: ignore[arg-type]


def _error(path: Path, value: object) -> float:
    if type(value) not in (int, float) or not -1 < value < float("inf"):  # type: ignore[operator]
        raise LatencyError(f"{path}: interval.errors: {value!r}; expected relative errors, numbers above -1")
    return float(value)  # type: ignore[arg-type]


def _numbers(path: Path, key: str, value: object, least: float = 0.0) -> dict[str, float]:
    if not isinstance(value, dict):
        raise LatencyError(f"{path}: {key}: {value!r}; expected names and numbers")
    return {name: _number(path, f"{key}.{name}", number, least) for name, number in value.items()}


def _texts(path: Path, key: str, value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise LatencyError(f"{path}: {key}: {value!r}; expected names and texts")
    return {name: _text(path, f"{key}.{name}", text) for name, text in value.items()}


def _list(path: Path, key: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise LatencyError(f"{path}: {key}: {value!r}; expected a list")
    return value
