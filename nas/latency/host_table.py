"""The table of this machine on disk: rows are kept as soon as they are measured, and calibrated to whole networks."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from nas.architecture import Architecture
from nas.errors import ArchitectureError, LatencyError
from nas.latency.calibration import COVERAGE, Calibration, half_width
from nas.latency.confidence import INTERPOLATION
from nas.latency.corrected import interpolation_errors
from nas.latency.corrections import Corrections, cross_validated, fit_corrections, network_features
from nas.latency.csv_file import append, repair, replace_file
from nas.latency.device import Device, read_device, write_device
from nas.latency.dtype import provenance
from nas.latency.host import FLOAT, HostSetup, cpu_model, governor, runtime_version
from nas.latency.journal import Journal, read_journal
from nas.latency.score import score
from nas.latency.table import (
    COEFFICIENT_COLUMNS,
    COEFFICIENTS,
    COLUMNS,
    DEVICE,
    TABLE,
    Row,
    as_deployed,
    format_row,
    read_table,
)
from nas.latency.validation import Validation
from nas.layers import Layer, lower

NETWORKS = "networks.csv"
"""Whole networks, measured to correct the sum of the ops: a line of milliseconds, spread and JSON each."""

FOLDS = 10
"""Of the cross-validation that finds the error until the table is validated on fresh networks."""

_TABLE_HEADER = ",".join(COLUMNS) + "\n"
_NETWORKS_HEADER = "ms,spread,architecture\n"

LOCK_SECONDS = 900.0


class Measured(NamedTuple):
    """Milliseconds of a network, and how far its readings lie apart, relative to them."""

    ms: float
    spread: float


@dataclass(frozen=True)
class HostTable:
    """What has been measured here so far; only the process that holds the lock has one."""

    folder: Path
    setup: HostSetup = FLOAT
    rows: dict[Layer, Row] = field(default_factory=dict)
    networks: dict[Architecture, Measured] = field(default_factory=dict)

    @cached_property
    def journal(self) -> Journal:
        """Readings that are no rows yet."""
        return read_journal(self.folder)

    def missing(self, layers: Iterable[Layer]) -> list[Layer]:
        """The ops of these layers, as deployed, that have no row yet."""
        return sorted({as_deployed(layer) for layer in layers} - self.rows.keys(), key=str)

    def add(self, rows: Iterable[Row], networks: Mapping[Architecture, Measured]) -> None:
        """Keep ops and whole networks; they are on disk when this returns.

        Raises:
            LatencyError: the disk is full or not writable.
        """
        added = {row.layer: row for row in rows}
        append(self.folder / TABLE, "".join(map(format_row, added.values())))
        self.rows.update(added)
        rounded = {network: Measured(float(f"{ms:.6g}"), spread) for network, (ms, spread) in networks.items()}
        append(self.folder / NETWORKS, "".join(map(_network_line, rounded.items())))
        self.networks.update(rounded)

    def drop(self, layers: Iterable[Layer], networks: Iterable[Architecture]) -> None:
        """Forget ops and networks, so that they are measured again.

        Raises:
            LatencyError: the disk is full or not writable.
        """
        for layer in layers:
            del self.rows[layer]
        for network in networks:
            del self.networks[network]
        replace_file(self.folder / TABLE, _TABLE_HEADER + "".join(map(format_row, self.rows.values())))
        replace_file(self.folder / NETWORKS, _NETWORKS_HEADER + "".join(map(_network_line, self.networks.items())))

    @property
    def calibrated(self) -> bool:
        """Whether `device.yaml` stands on all networks that have been measured."""
        path = self.folder / DEVICE
        return path.is_file() and read_device(path).networks.keys() == {network.id for network in self.networks}

    def calibrate(self, note: str = "", doubt: float = 0.0) -> None:
        """Fit the corrections to all measured networks; write them, and `device.yaml` with the error that they leave.

        `note` says how the measuring went, and `doubt` what the interval has to grow by for it.

        Raises:
            LatencyError: fewer than nine networks, or a disk that is full or not writable.
        """
        measured = [network.ms for network in self.networks.values()]
        features = [self.features(network) for network in self.networks]
        estimates = cross_validated(features, measured, min(FOLDS, len(measured)))
        self._write_corrections(fit_corrections(features, measured))
        doubts = sorted(interpolation_errors(self.rows.values()))
        summary = score(estimates, measured)
        fit = summary | ({INTERPOLATION: round(doubts[int(len(doubts) * COVERAGE)], 4)} if doubts else {})
        errors = [estimate / ms - 1 for estimate, ms in zip(estimates, measured, strict=True)]
        device = self._device(note, fit, summary, errors)
        write_device(replace(device, interval=round(device.interval + doubt, 4)), self.folder / DEVICE)

    def features(self, network: Architecture) -> dict[str, float]:
        """What the corrections know a network by."""
        ops = [as_deployed(layer) for layer in lower(network)]
        return network_features([(op, self.rows[op].ms) for op in ops])

    def keep_validation(self, validation: Validation) -> None:
        """Put the error on networks that no fit has seen, and its interval, into `device.yaml`, with the note on both.

        Raises:
            LatencyError: fewer than nine networks, or a disk that is full or not writable.
        """
        path = self.folder / DEVICE
        errors = validation.errors
        known = read_device(path)
        source = f"nas latency validate {self.setup.options}"
        validated = {"source": source, "used_for": "error and interval", "note": validation.note}
        kept = (item for item in known.provenance if item["source"] != source)
        known = replace(known, provenance=(*kept, validated), error=validation.score, errors=tuple(errors))
        write_device(replace(known, interval=round(half_width(errors) + validation.report.doubt, 4)), path)

    def _write_corrections(self, corrections: Corrections) -> None:
        lines = [f"{name},{value:.6g},fit to whole networks\n" for name, value in corrections.coefficients.items()]
        replace_file(self.folder / COEFFICIENTS, "".join([",".join(COEFFICIENT_COLUMNS) + "\n", *lines]))

    def _device(self, note: str, fit: dict[str, float], error: dict[str, float], errors: list[float]) -> Device:
        return Device(
            target=self.setup.name,
            device=cpu_model(),
            aliases=(),
            runtime="ONNX Runtime",
            runtime_version=runtime_version(),
            threads=self.setup.threads,
            core=f"any; governor {governor()}",
            dtype=self.setup.dtype,
            resolution=None,
            date=datetime.now(UTC).date().isoformat(),
            provenance=provenance(f"nas latency measure {self.setup.options}", self.setup.dtype, note),
            fit=fit,
            error=error,
            calibration=Calibration(),
            networks={network.id: measured.ms for network, measured in self.networks.items()},
            coverage=COVERAGE,
            interval=round(half_width(errors), 4),
            errors=tuple(errors),
            rows=len(self.rows),
        )


def open_host_table(setup: HostSetup = FLOAT) -> AbstractContextManager[HostTable]:
    """The table of this machine, see `open_table`."""
    return open_table(setup.folder, setup)


@contextmanager
def open_table(folder: Path, setup: HostSetup = FLOAT) -> Iterator[HostTable]:
    """The table in `folder` for writing, one process at a time; a line that a kill tore is dropped.

    Raises:
        LatencyError: another process holds the table for longer than a fill takes, the table is corrupt, or the
            cache is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=LOCK_SECONDS):
            repair(folder / TABLE, _TABLE_HEADER)
            repair(folder / NETWORKS, _NETWORKS_HEADER)
            yield HostTable(folder, setup, dict(read_table(folder / TABLE).rows), _read_networks(folder / NETWORKS))
    except Timeout:
        raise LatencyError(f"{folder}: another process has been measuring for {LOCK_SECONDS:.0f} s") from None
    except OSError as error:
        raise LatencyError(f"{folder}: {error.strerror}") from None


def _network_line(item: tuple[Architecture, Measured]) -> str:
    line = io.StringIO()
    architecture, measured = item
    csv.writer(line, lineterminator="\n").writerow(
        (f"{measured.ms:.6g}", f"{measured.spread:.4f}", architecture.to_json())
    )
    return line.getvalue()


def _read_networks(path: Path) -> dict[Architecture, Measured]:
    rows = csv.reader(path.read_text(encoding="utf-8").splitlines()[1:])
    try:
        return {Architecture.from_json(text): Measured(float(ms), float(spread)) for ms, spread, text in rows}
    except (ValueError, ArchitectureError) as error:
        raise LatencyError(
            f"{path}: {error}; expected milliseconds, spread and an architecture in JSON per line"
        ) from None
