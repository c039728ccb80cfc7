"""A target of the user's own, fitted to whole networks and to blocks that somebody measured on it."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

from nas.architecture import Architecture
from nas.errors import LatencyError, NasError
from nas.latency.calibration import (
    COVERAGE,
    MIN_NETWORKS,
    Calibration,
    calibrate,
    half_width,
    leave_one_out,
    require_networks,
)
from nas.latency.device import Device, write_device
from nas.latency.fit import (
    BlockSample,
    Measured,
    Sample,
    cross_validate,
    distinct,
    fit_coefficients,
    parse_block,
    summary,
)
from nas.latency.score import error_summary
from nas.latency.table import COEFFICIENT_COLUMNS, COEFFICIENTS, DEVICE, TABLE
from nas.latency.targets import find_folder, load_folder

COLUMNS = ("network", "ms")
"""The header of a file of measured networks."""

BLOCK_COLUMNS = ("block", "size", "ms")
"""The header of a file of measured blocks: a token of a layer string, height and width of its input, milliseconds."""

MAX_SIZE = 1 << 14

ROWS_PER_FEATURE = 2
"""With fewer networks and blocks, the coefficients follow the noise of single networks."""


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
    for line, cells in _rows(path, COLUMNS, "a network and milliseconds"):
        try:
            architecture = resolve(cells[0].strip())
        except NasError as error:
            raise LatencyError(f"{path}:{line}: {error}") from None
        ms = _milliseconds(f"{path}:{line}", cells[1])
        if architecture in found:
            first = found[architecture][0]
            raise LatencyError(f"{path}:{line}: the network of line {first} again; expected one row per network")
        found[architecture] = (line, ms)
    return [Sample(architecture, ms) for architecture, (_, ms) in found.items()]


def read_blocks(path: Path) -> list[BlockSample]:
    """The blocks and milliseconds of a CSV file with `BLOCK_COLUMNS`; a block may be listed more than once.

    Raises:
        LatencyError: an absent file, a wrong header or row; with file, line and expectation.
    """
    found = []
    for line, (block, size, ms) in _rows(path, BLOCK_COLUMNS, "a block, the size of its input and milliseconds"):
        place = f"{path}:{line}"
        if not (size.strip().isdecimal() and 0 < int(size) < MAX_SIZE):
            raise LatencyError(f"{place}: size {size!r}; expected the height and width of the block's input")
        try:
            layers = parse_block(block.strip(), int(size))
        except NasError as error:
            raise LatencyError(f"{place}: {error}") from None
        found.append(BlockSample(layers, _milliseconds(place, ms)))
    return found


def fit_own_target(
    samples: Sequence[Sample],
    origin: Origin,
    folder: Path,
    *,
    blocks: Sequence[BlockSample] = (),
    like: str | None = None,
) -> Device:
    """Write the folder of a target fitted to networks and blocks, and return what its `device.yaml` says.

    The coefficients of all ops are fitted, each fold judged by a fit to the others. The error is that of the networks
    if there are nine, else that of the blocks, which says little of whole networks. With `like`, the
    ops are those of another target, and a scale and an offset alone are fitted, each network left out in turn.

    Raises:
        LatencyError: too few networks or blocks, an op that the other target lacks, or a folder that cannot be written.
    """
    try:
        device = _fit_like(samples, origin, folder, like) if like else _fit_all(samples, blocks, origin, folder)
    except OSError as error:
        raise LatencyError(f"{folder}: {error.strerror}") from None
    write_device(device, folder / DEVICE)
    return device


def _fit_all(samples: Sequence[Sample], blocks: Sequence[BlockSample], origin: Origin, folder: Path) -> Device:
    rows: list[Measured] = [*samples, *blocks]
    counts: dict[str, int] = {}
    for row in rows:
        for name in row.features:
            counts[name] = counts.get(name, 0) + 1
    needed = ROWS_PER_FEATURE * len(counts)
    if (different := max(distinct(rows)) + 1) < needed:
        given = f"{len(samples)} networks" + (f" and {len(blocks)} blocks" if blocks else "")
        given += f", {different} of them different," if different < len(rows) else ""
        raise LatencyError(
            f"{given} cannot support the {len(counts)} coefficients of their ops; expected {needed} or more, or nine "
            f"networks and --like TARGET, which fits a scale and an offset alone"
        )
    errors = cross_validate(rows)
    judged = slice(len(samples)) if len(samples) >= MIN_NETWORKS else slice(len(samples), None)
    _write(folder, {COEFFICIENTS: _coefficient_lines(fit_coefficients(rows, {}), counts, len(rows))})
    found = summary(errors[judged], [row.ms for row in rows[judged]])
    fit = {key: round(value, 4) for key, value in asdict(found).items()}
    made = _device(samples, origin, folder, errors[judged], calibration=Calibration(), fit=fit, like=None)
    if not blocks:
        return made
    of = "whole networks" if judged.start is None else "blocks alone; that of whole networks is not known"
    note = {
        "source": f"{len(blocks)} blocks",
        "used_for": "coefficients of the ops",
        "note": f"the error is that of {of}",
    }
    return replace(made, provenance=(*made.provenance, note))


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


def _milliseconds(place: str, text: str) -> float:
    try:
        ms = float(text)
    except ValueError:
        ms = 0.0
    if not (isfinite(ms) and ms > 0):
        raise LatencyError(f"{place}: ms {text!r}; expected milliseconds above 0")
    return ms


def _rows(path: Path, columns: tuple[str, ...], what: str) -> list[tuple[int, list[str]]]:
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
    if not rows or tuple(rows[0][1]) != columns:
        found = ",".join(rows[0][1]) if rows else ""
        raise LatencyError(f"{path}:1: header {found!r}; expected {','.join(columns)}")
    for line, cells in rows[1:]:
        if len(cells) != len(columns):
            raise LatencyError(f"{path}:{line}: {len(cells)} cells; expected {len(columns)}, {what}")
    return rows[1:]
