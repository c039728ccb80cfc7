"""Targets by name: the folders of `latency_models/`, their aliases, and `host`, this machine."""

import hashlib
from pathlib import Path

from nas.errors import LatencyError
from nas.latency.corrected import read_corrected
from nas.latency.device import Device, read_device
from nas.latency.host import HOST, host_dir, host_threads
from nas.latency.model import LatencyModel, OpCosts, OpSumModel
from nas.latency.table import COEFFICIENTS, DEVICE, TABLE, read_coefficients, read_table
from nas.resources import data_dir


def list_targets() -> list[Device]:
    """All shipped devices by name, and this machine last if it has been measured.

    Raises:
        LatencyError: a `device.yaml` is broken.
    """
    devices = [read_device(folder / DEVICE) for folder in _shipped()]
    if host_measured():
        devices.append(read_device(host_dir() / DEVICE))
    return devices


def load_target(name: str) -> LatencyModel:
    """The model of a device, by its name or an alias.

    Raises:
        LatencyError: no such device, a broken table, or `host` without measurements.
    """
    if threads := host_threads(name):
        if not host_measured(threads):
            again = f" --threads {threads}" if threads > 1 else ""
            raise LatencyError(
                f"{name} has not been measured yet; run: nas latency measure --target {HOST} --space SPACE{again}"
            )
        return load_folder(host_dir(threads))
    folders = {folder.name: folder for folder in _shipped()}
    if name in folders:
        return load_folder(folders[name])
    devices = [read_device(folder / DEVICE) for folder in folders.values()]
    for device in devices:
        if name in device.aliases:
            return load_folder(folders[device.target])
    known = [*folders, *(alias for device in devices for alias in device.aliases), HOST]
    raise LatencyError(f"unknown target {name!r}; expected one of {', '.join(known)}")


def host_measured(threads: int = 1) -> bool:
    """Whether this machine has a calibrated table."""
    return (host_dir(threads) / DEVICE).is_file()


def load_folder(folder: Path) -> OpSumModel:
    """The model of one folder: `device.yaml` with `table.csv`, `coefficients.csv`, or both: corrected rows.

    Raises:
        LatencyError: a file is absent or broken.
    """
    device = read_device(folder / DEVICE)
    measured, fitted = (folder / TABLE).is_file(), (folder / COEFFICIENTS).is_file()
    costs: OpCosts = read_table(folder / TABLE) if measured else read_coefficients(folder / COEFFICIENTS)
    if measured and fitted:
        costs = read_corrected(folder)
    files = (DEVICE, *((TABLE,) if measured else ()), *((COEFFICIENTS,) if fitted else ()))
    content = b"".join((folder / name).read_bytes() for name in files)
    return OpSumModel(device, costs, hashlib.sha256(content).hexdigest()[:12])


def _shipped() -> list[Path]:
    return sorted(path.parent for path in data_dir("latency_models").glob(f"*/{DEVICE}"))
