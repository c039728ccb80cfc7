"""A target of the user's own, fitted to whole networks that somebody measured on it."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

from nas.architecture import Architecture
from nas.errors import LatencyError, NasError
from nas.latency.calibration import COVERAGE, Calibration, calibrate, half_width, leave_one_out, require_networks
from nas.latency.device import Device, write_device
from nas.latency.fit import Sample, cross_validate, fit_coefficients, network_features, summary
from nas.latency.score import error_summary
from nas.latency.table import COEFFICIENT_COLUMNS, COEFFICIENTS, DEVICE, TABLE
from nas.latency.targets import find_folder, load_folder

COLUMNS = ("network", "ms")
"""The header of a file of measurements."""

NETWORKS_PER_FEATURE = 2
"""With fewer, the coefficients follow the noise of single networks."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What the user tells of the device, for its `device.yaml`."""

    device: str
    runtime: str
    runtime_version: str
    threads: int
    core: str
    dtype: str
    source: str


def read_measurements(path: Path, resolve: Callable[[str], Architecture]) -> list[Sample]:
    """The networks and milliseconds of a CSV file with the columns `network` and `ms`; `resolve` reads a network.

    Raises:
        LatencyError: an absent file, a wrong header or row, a network listed twice; with file, line and expectation.
    """
    found: dict[Architecture, tuple[int, float]] = {}
    for line, cells in _rows(path):
        try:
            architecture, ms = resolve(cells[0].strip()), float(cells[1])
        except NasError as error:
            raise LatencyError(f"{path}:{line}: {error}") from None
        except ValueError:
            ms = 0.0
        if not (isfinite(ms) and ms > 0):
            raise LatencyError(f"{path}:{line}: ms {cells[1]!r}; expected milliseconds above 0")
        if architecture in found:
            first = found[architecture][0]
            raise LatencyError(f"{path}:{line}: the network of line {first} again; expected one row per network")
        found[architecture] = (line, ms)
    return [Sample(architecture, ms) for architecture, (_, ms) in found.items()]


def fit_own_target(samples: Sequence[Sample], origin: Origin, folder: Path, *, like: str | None = None) -> Device:
    """Write the folder of a target fitted to `samples`, and return what its `device.yaml` says.

    The coefficients of all ops are fitted, each fold of the networks judged by a fit to the others. With `like`, the
    ops are those of another target, and a scale and an offset alone are fitted, each network left out in turn.

    Raises:
        LatencyError: too few networks, an op that the other target lacks, or a folder that cannot be written.
    """
    try:
        device = _fit_like(samples, origin, folder, like) if like else _fit_all(samples, origin, folder)
    except OSError as error:
        raise LatencyError(f"{folder}: {error.strerror}") from None
    write_device(device, folder / DEVICE)
    return device


def _fit_all(samples: Sequence[Sample], origin: Origin, folder: Path) -> Device:
    counts: dict[str, int] = {}
    for sample in samples:
        for name in network_features(sample.architecture):
            counts[name] = counts.get(name, 0) + 1
    needed = NETWORKS_PER_FEATURE * len(counts)
    if len(samples) < needed:
        raise LatencyError(
            f"{len(samples)} networks cannot support the {len(counts)} coefficients of their ops; expected "
            f"{needed} or more, or --like TARGET, which fits a scale and an offset alone"
        )
    errors = cross_validate(samples)
    _write(folder, {COEFFICIENTS: _coefficient_lines(fit_coefficients(samples, {}), counts, len(samples))})
    found = summary(errors, [sample.ms for sample in samples])
    fit = {key: round(value, 4) for key, value in asdict(found).items()}
    return _device(samples, origin, folder, errors, calibration=Calibration(), fit=fit, like=None)


def _fit_like(samples: Sequence[Sample], origin: Origin, folder: Path, like: str) -> Device:
    require_networks(len(samples))
    base_folder = find_folder(like)
    base = load_folder(base_folder)
    sums, measured = [base.sum_ms(sample.architecture) for sample in samples], [sample.ms for sample in samples]
    calibration = calibrate(sums, measured)
    costs = [base_folder / name for name in (COEFFICIENTS, TABLE) if (base_folder / name).is_file()]
    _write(folder, {path.name: path.read_text(encoding="utf-8") for path in costs})
    errors = leave_one_out(sums, measured)
    return _device(samples, origin, folder, errors, calibration=calibration, fit=base.device.fit, like=base.target)


def _device(  # noqa: PLR0913 - what the two ways to fit have in common
    samples: Sequence[Sample],
    origin: Origin,
    folder: Path,
    errors: Sequence[float],
    *,
    calibration: Calibration,
    fit: Mapping[str, float] | None,
    like: str | None,
) -> Device:
    resolutions = {sample.architecture.resolution for sample in samples}
    used_for = f"scale and offset; the ops are those of {like}" if like else "coefficients of the ops"
    return Device(
        target=folder.name,
        device=origin.device,
        aliases=(),
        runtime=origin.runtime,
        runtime_version=origin.runtime_version,
        threads=origin.threads,
        core=origin.core,
        dtype=origin.dtype,
        resolution=resolutions.pop() if len(resolutions) == 1 else None,
        date=datetime.now(UTC).date().isoformat(),
        provenance=(
            {"source": origin.source, "used_for": used_for},
            {"source": "nas latency fit", "used_for": "making these files"},
        ),
        fit=fit,
        error=error_summary(errors),
        calibration=calibration,
        networks={sample.architecture.id: sample.ms for sample in samples} if like else {},
        coverage=COVERAGE,
        interval=round(half_width(errors), 4),
        errors=tuple(errors),
    )


def _coefficient_lines(coefficients: Mapping[str, float], counts: Mapping[str, int], total: int) -> str:
    lines = [",".join(COEFFICIENT_COLUMNS)]
    lines += [
        f"{name},{ms:.6g},fit; in {counts[name]} of {total} networks" for name, ms in sorted(coefficients.items())
    ]
    return "\n".join(lines) + "\n"


def _write(folder: Path, costs: Mapping[str, str]) -> None:
    """The costs of the ops by file name, in place of those that a target of this name had."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in {COEFFICIENTS, TABLE} - costs.keys():
        (folder / name).unlink(missing_ok=True)
    for name, text in costs.items():
        draft = (folder / name).with_suffix(".new")
        draft.write_text(text, encoding="utf-8")
        draft.replace(folder / name)


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, cells) for cells in reader if cells]
    except OSError as error:
        raise LatencyError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LatencyError(f"{path}: not a text file; expected CSV in UTF-8") from None
    except csv.Error as error:
        raise LatencyError(f"{path}:{reader.line_num}: {error}; expected CSV") from None
    if not rows or tuple(rows[0][1]) != COLUMNS:
        found = ",".join(rows[0][1]) if rows else ""
        raise LatencyError(f"{path}:1: header {found!r}; expected {','.join(COLUMNS)}")
    for line, cells in rows[1:]:
        if len(cells) != len(COLUMNS):
            raise LatencyError(
                f"{path}:{line}: {len(cells)} cells; expected {len(COLUMNS)}, a network and milliseconds"
            )
    return rows[1:]
