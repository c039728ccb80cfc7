"""`CorrectedTable`: measured ops with the corrections of their device, and similar ops in place of absent ones."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from math import log
from pathlib import Path

from nas.errors import LatencyError
from nas.latency.corrections import Corrections
from nas.latency.features import NETWORK
from nas.latency.table import COEFFICIENTS, TABLE, Row, as_deployed, read_coefficients, read_table
from nas.layers import Layer

NEIGHBOURS = 4
"""Measured ops that stand for one that was not."""

FARTHEST = 1.0
"""How far their widths may be away: a factor of e, in input and output together."""

_MIN_GROUP = 2


@dataclass(frozen=True)
class CorrectedTable:
    """What measured ops cost inside a network; ops of other widths from the rate of the nearest measured ones."""

    rows: Mapping[Layer, Row]
    corrections: Corrections
    _alone: dict[Layer, float | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def base_ms(self) -> float:
        """What every network pays once."""
        return self.corrections.base_ms

    def op_ms(self, layer: Layer) -> float | None:
        """Milliseconds of the op inside a network, None where nothing similar was measured either."""
        op = as_deployed(layer)
        alone_ms = self.rows[op].ms if op in self.rows else self._interpolated(op)
        return None if alone_ms is None else self.corrections.op_ms(op, alone_ms)

    def guessed(self, layer: Layer) -> bool:
        """Whether the op was not measured."""
        return as_deployed(layer) not in self.rows

    def _interpolated(self, op: Layer) -> float | None:
        if op not in self._alone:
            self._alone[op] = interpolate(op, self._groups.get(_shape(op), ()))
        return self._alone[op]

    @cached_property
    def _groups(self) -> Mapping[tuple[object, ...], list[Row]]:
        return grouped(self.rows.values())


def read_corrected(folder: Path, count: int | None = None) -> CorrectedTable:
    """The table of a folder with rows and coefficients; of so many rows, the first ones, or of all.

    Raises:
        LatencyError: a wrong header or row, with file, line and expectation; coefficients without the last one.
    """
    coefficients = read_coefficients(folder / COEFFICIENTS)
    if NETWORK not in coefficients.ms_per_unit:  # absent ones count as at their start: a file cut short would be wrong
        raise LatencyError(
            f"{folder / COEFFICIENTS}: no row {NETWORK!r}; expected one at the end: the file was cut short"
        )
    rows = dict(islice(read_table(folder / TABLE).rows.items(), count))
    return CorrectedTable(rows, Corrections(coefficients.ms_per_unit))


def grouped(rows: Iterable[Row]) -> dict[tuple[object, ...], list[Row]]:
    """Rows that differ in their widths alone."""
    groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[_shape(row.layer)].append(row)
    return groups


def interpolate(op: Layer, similar: Iterable[Row]) -> float | None:
    """Milliseconds of the op at the mean rate of the nearest `similar` rows, None if none is near."""
    near = [(distance, row) for row in similar if (distance := _distance(op, row.layer)) <= FARTHEST]
    near = sorted(near, key=lambda pair: pair[0])[:NEIGHBOURS]
    if not near:
        return None
    weights = [1 / (distance + 0.05) for distance, _ in near]
    rates = [row.ms / _work(row.layer) for _, row in near]
    return _work(op) * sum(w * rate for w, rate in zip(weights, rates, strict=True)) / sum(weights)


def interpolation_errors(rows: Iterable[Row]) -> list[float]:
    """For each row how far its interpolation from the others is off, relative to its time."""
    errors = []
    for group in grouped(rows).values():
        if len(group) < _MIN_GROUP:
            continue
        for row in group:
            found = interpolate(row.layer, [other for other in group if other is not row])
            if found is not None and row.ms > 0:
                errors.append(abs(found / row.ms - 1))
    return errors


def _shape(op: Layer) -> tuple[object, ...]:
    return op.kind, op.size, op.kernel, op.stride, op.act


def _distance(op: Layer, other: Layer) -> float:
    return abs(log(op.in_channels / other.in_channels)) + abs(log(op.out_channels / other.out_channels))


def _work(op: Layer) -> float:
    """Multiply-accumulates and values moved: what the time of an op is roughly proportional to."""
    return op.macs / 16 + op.in_values + op.out_values
