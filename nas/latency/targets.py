"""Targets by name: the folders of `latency_models/`, the user's own, their aliases, and `host`, this machine."""

import hashlib
import re
from pathlib import Path

from nas.errors import LatencyError
from nas.latency.corrected import read_corrected
from nas.latency.device import Device, read_device
from nas.latency.host import HOST, HostSetup, host_setup
from nas.latency.model import OpCosts, OpSumModel
from nas.latency.table import COEFFICIENTS, DEVICE, TABLE, read_coefficients, read_table
from nas.resources import cache_dir, data_dir

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


def list_targets() -> list[Device]:
    """All shipped devices by name, the user's own, and this machine last if it has been measured.

    Raises:
        LatencyError: a `device.yaml` is broken.
    """
    return [read_device(folder / DEVICE) for folder in (*_folders(), *_host_folders())]


def load_target(name: str, *, as_calibrated: bool = False) -> OpSumModel:
    """The model of a device, by its name, an alias, or the path of its folder; `as_calibrated` as in `load_folder`.

    Raises:
        LatencyError: no such device, a broken table, or `host` without measurements.
    """
    return load_folder(find_folder(name), as_calibrated=as_calibrated)


def find_folder(name: str) -> Path:
    """The folder of a device, by its name, an alias, or the path of the folder.

    Raises:
        LatencyError: no such device, or `host` without measurements.
    """
    if setup := host_setup(name):
        if not host_measured(setup):
            raise LatencyError(f"{name} has not been measured yet; run: nas latency measure {setup.options}")
        return setup.folder
    if "/" in name:
        return Path(name)
    folders = {folder.name: folder for folder in _folders()}
    if name in folders:
        return folders[name]
    devices = [read_device(folder / DEVICE) for folder in folders.values()]
    for device in devices:
        if name in device.aliases:
            return folders[device.target]
    known = [*folders, *(alias for device in devices for alias in device.aliases), HOST]
    raise LatencyError(f"unknown target {name!r}; expected one of {', '.join(known)}")


def canonical_target(name: str) -> str:
    """The name under which trials for a device are recorded, for the name or an alias; nothing is measured or loaded.

    Raises:
        LatencyError: no such device.
    """
    return name if host_setup(name) else load_target(name).target


def host_measured(setup: HostSetup) -> bool:
    """Whether this machine has a calibrated table of that setup."""
    return (setup.folder / DEVICE).is_file()


def load_folder(folder: Path, *, as_calibrated: bool = False) -> OpSumModel:
    """The model of one folder: `device.yaml` with `table.csv`, `coefficients.csv`, or both: corrected rows.

    With `as_calibrated` rows that were measured later on a miss do not count: they change what similar ops are
    interpolated from, and without them one version always gives the same estimates, as a study needs that is to go on.

    Raises:
        LatencyError: a file is absent or broken.
    """
    device = read_device(folder / DEVICE)
    measured, fitted = (folder / TABLE).is_file(), (folder / COEFFICIENTS).is_file()
    costs: OpCosts = read_table(folder / TABLE) if measured else read_coefficients(folder / COEFFICIENTS)
    if measured and fitted:
        costs = read_corrected(folder, device.rows if as_calibrated else None)
    files = (DEVICE, COEFFICIENTS if fitted else TABLE)  # rows measured later on a miss make no new version
    content = b"".join((folder / name).read_bytes() for name in files)
    return OpSumModel(device, costs, hashlib.sha256(content).hexdigest()[:12])


def new_target(name: str, root: Path | None = None, *, replace: bool = False) -> Path:
    """The folder, not yet made, for a device of the user's: in `root`, or where `load_target` finds it by name.

    Raises:
        LatencyError: the name is no plain word, is taken by a device that is not the user's, or exists and may not
            be replaced.
    """
    if not _NAME.fullmatch(name):
        raise LatencyError(f"target {name!r}; expected a name of small letters, digits, '-', '_' and '.'")
    shipped = [read_device(folder / DEVICE) for folder in _folders_in(data_dir("latency_models"))]
    taken = {HOST, *(device.target for device in shipped), *(alias for device in shipped for alias in device.aliases)}
    if name in taken or host_setup(name):
        raise LatencyError(f"target {name!r} is taken; expected another name than {', '.join(sorted(taken))}")
    folder = (root or _own_root()) / name
    if (folder / DEVICE).exists() and not replace:
        raise LatencyError(f"{folder}: exists; give --replace, or another --target")
    return folder


def _folders() -> list[Path]:
    return [*_folders_in(data_dir("latency_models")), *_folders_in(_own_root())]


def _host_folders() -> list[Path]:
    """The tables of this machine as it is now, float32 first; those of another runtime stay on disk."""
    found = (host_setup(path.parent.name) for path in (cache_dir() / "latency").glob(f"*/{HOST}*/{DEVICE}"))
    setups = sorted({setup for setup in found if setup}, key=lambda setup: (setup.dtype, setup.threads))
    return [setup.folder for setup in setups if host_measured(setup)]


def _own_root() -> Path:
    return cache_dir() / "targets"


def _folders_in(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob(f"*/{DEVICE}"))
