"""Whole networks that were measured, beside what the device's table predicts of them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.architecture import Architecture
from nas.errors import NasError
from nas.json_file import load_json
from nas.report.drawing import Device, short
from nas.space import load_reference, references

Row = dict[str, Any]
"""`name`, `predicted` and `measured` in ms, and `calibrated`: whether the table's calibration stands on it."""


def measured_rows(device: Device, networks: Iterable[Architecture], files: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Networks of the calibration that can be named, and what the files say of this device."""
    rows = [row for record in files for row in _of_file(device.target, record)]
    if device.model is None:
        return rows
    known = {network.id: network for network in networks}
    for name, measured_ms in device.model.device.networks.items():
        network = load_reference(name) if name in references() else known.get(name)
        latency = None if network is None else device.total_ms(network)
        if latency is not None:
            rows.append(_row(name, latency[0], measured_ms, calibrated=True))
    return rows


def read_measured(path: Path) -> Mapping[str, Any]:
    """What `nas latency validate`, `nas search --verify` or `nas adapt` printed with --json.

    Raises:
        NasError: the file cannot be read, or holds no measurement.
    """
    record = load_json(path)
    if not isinstance(record, dict) or not any(isinstance(record.get(key), dict | list) for key in _PARTS):
        raise NasError(
            f"{path}: no measurement; expected what nas latency validate, nas search --verify or nas adapt prints "
            f"with --json"
        )
    return record


_PARTS = ("architectures", "verified", "latency")


def _of_file(target: str, record: Mapping[str, Any]) -> list[Row]:
    """Rows of one file that are of the target."""
    verified, validated = record.get("verified"), record.get("architectures", [])
    if verified and verified["target"] == target:
        return [_row(verified["architecture"], verified["ms"], verified["measured_ms"])]
    if record.get("target") != target:
        return []
    adapted = [entry for entry in record.get("latency", []) if entry["measured_ms"] is not None]
    return [
        *(_row(entry["architecture"], entry["estimated_ms"], entry["measured_ms"]) for entry in validated),
        *(_row(f"{entry['network']} of {record['study']}", entry["ms"], entry["measured_ms"]) for entry in adapted),
    ]


def _row(name: str, predicted_ms: float, measured_ms: float, *, calibrated: bool = False) -> Row:
    return {"name": name, "predicted": short(predicted_ms), "measured": short(measured_ms), "calibrated": calibrated}
