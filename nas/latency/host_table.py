"""The table of this machine on disk: rows are kept as soon as they are measured, and calibrated to whole networks."""

import csv
import io
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from nas.architecture import Architecture
from nas.errors import ArchitectureError, LatencyError
from nas.latency.calibration import COVERAGE, calibrate, half_width, leave_one_out
from nas.latency.device import Device, read_device, write_device
from nas.latency.host import DTYPE, HOST, THREADS, cpu_model, governor, host_dir, runtime_version
from nas.latency.table import COLUMNS, DEVICE, TABLE, Row, as_deployed, format_row, read_table
from nas.layers import Layer, lower

NETWORKS = "networks.csv"
"""Whole networks, measured to calibrate the sum of the ops: a line of milliseconds and JSON each."""

LOCK_SECONDS = 900.0


@dataclass(frozen=True)
class HostTable:
    """What has been measured here so far; only the process that holds the lock has one."""

    folder: Path
    rows: dict[Layer, Row] = field(default_factory=dict)
    networks: dict[Architecture, float] = field(default_factory=dict)

    def add_row(self, row: Row) -> None:
        """Keep an op; it is on disk when this returns.

        Raises:
            LatencyError: the disk is full or not writable.
        """
        _append(self.folder / TABLE, format_row(row))
        self.rows[row.layer] = row

    def add_network(self, architecture: Architecture, ms: float) -> None:
        """Keep the measured milliseconds of a whole network, as `add_row` does.

        Raises:
            LatencyError: the disk is full or not writable.
        """
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow((f"{ms:.6g}", architecture.to_json()))
        _append(self.folder / NETWORKS, line.getvalue())
        self.networks[architecture] = float(f"{ms:.6g}")

    @property
    def calibrated(self) -> bool:
        """Whether `device.yaml` stands on all networks that have been measured."""
        path = self.folder / DEVICE
        return path.is_file() and read_device(path).networks.keys() == {network.id for network in self.networks}

    def calibrate(self) -> None:
        """Fit scale and offset to all measured networks and write `device.yaml` with the error that they leave.

        Raises:
            LatencyError: fewer than nine networks, or a disk that is full or not writable.
        """
        measured = list(self.networks.values())
        sums = [sum(self.rows[as_deployed(layer)].ms for layer in lower(network)) for network in self.networks]
        errors = leave_one_out(sums, measured)
        write_device(
            Device(
                target=HOST,
                device=cpu_model(),
                aliases=(),
                runtime="ONNX Runtime",
                runtime_version=runtime_version(),
                threads=THREADS,
                core=f"any; governor {governor()}",
                dtype=DTYPE,
                resolution=None,
                date=datetime.now(UTC).date().isoformat(),
                provenance=({"source": "nas latency measure --target host", "used_for": "ops and whole networks"},),
                fit=None,
                error=error_summary(errors),
                calibration=calibrate(sums, measured),
                networks={network.id: ms for network, ms in self.networks.items()},
                coverage=COVERAGE,
                interval=round(half_width(errors), 4),
                errors=tuple(errors),
            ),
            self.folder / DEVICE,
        )


def open_host_table() -> AbstractContextManager[HostTable]:
    """The table of this machine, see `open_table`."""
    return open_table(host_dir())


@contextmanager
def open_table(folder: Path) -> Iterator[HostTable]:
    """The table in `folder` for writing, one process at a time; a line that a kill tore is dropped.

    Raises:
        LatencyError: another process holds the table for longer than a fill takes, the table is corrupt, or the
            cache is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=LOCK_SECONDS):
            _repair(folder / TABLE, ",".join(COLUMNS) + "\n")
            _repair(folder / NETWORKS, "ms,architecture\n")
            yield HostTable(folder, dict(read_table(folder / TABLE).rows), _read_networks(folder / NETWORKS))
    except Timeout:
        raise LatencyError(f"{folder}: another process has been measuring for {LOCK_SECONDS:.0f} s") from None
    except OSError as error:
        raise LatencyError(f"{folder}: {error.strerror}") from None


def error_summary(errors: list[float]) -> dict[str, float]:
    """Number of networks, mean and worst absolute error and shares within 5 and 10 %; percent."""
    percent = [abs(error) * 100 for error in errors]
    return {
        "networks": len(percent),
        "mape": round(sum(percent) / len(percent), 2),
        "worst": round(max(percent), 2),
        "within_5": round(sum(p <= 5 for p in percent) / len(percent) * 100, 1),
        "within_10": round(sum(p <= 10 for p in percent) / len(percent) * 100, 1),
    }


def _append(path: Path, line: str) -> None:
    """One write and one sync per line: after a kill the line is there or not."""
    try:
        with path.open("ab", buffering=0) as file:
            file.write(line.encode())
            os.fsync(file.fileno())
    except OSError as error:
        raise LatencyError(f"{path}: {error.strerror}") from None


def _repair(path: Path, header: str) -> None:
    """Create the file with its header, or drop what stands behind its last complete line."""
    text = path.read_bytes() if path.exists() else b""
    if not text.endswith(b"\n"):
        draft = path.with_suffix(".new")
        draft.write_bytes(text[: text.rfind(b"\n") + 1] or header.encode())
        draft.replace(path)


def _read_networks(path: Path) -> dict[Architecture, float]:
    rows = csv.reader(path.read_text(encoding="utf-8").splitlines()[1:])
    try:
        return {Architecture.from_json(text): float(ms) for ms, text in rows}
    except (ValueError, ArchitectureError) as error:
        raise LatencyError(f"{path}: {error}; expected milliseconds and an architecture in JSON per line") from None
