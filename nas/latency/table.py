"""What each op costs: a table of measured ops, or coefficients for the features of any op."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from nas.architecture import Activation
from nas.errors import LatencyError
from nas.latency.csv_file import read_cells
from nas.latency.features import NETWORK, features
from nas.layers import Kind, Layer

DEVICE = "device.yaml"
TABLE = "table.csv"
COEFFICIENTS = "coefficients.csv"

_COUNTS = ("in_channels", "out_channels", "size", "kernel", "stride")
COLUMNS = ("kind", *_COUNTS, "act", "ms", "spread")
"""The header of `table.csv`."""

COEFFICIENT_COLUMNS = ("feature", "ms_per_million", "evidence")
"""The header of `coefficients.csv`; the feature `network` counts once per network."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured op: its milliseconds, and how far its readings lie apart, relative to them."""

    layer: Layer
    ms: float
    spread: float


@dataclass(frozen=True, slots=True)
class Table:
    """Ops that were measured one by one."""

    rows: Mapping[Layer, Row]
    base_ms: float = 0.0

    def op_ms(self, layer: Layer) -> float | None:
        """Milliseconds of the op, None if it was not measured."""
        row = self.rows.get(as_deployed(layer))
        return None if row is None else row.ms

    def guessed(self, layer: Layer) -> bool:
        """Never: an op that was not measured has no cost."""
        return False


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Milliseconds per unit of each feature, fitted to whole networks."""

    ms_per_unit: Mapping[str, float]

    @property
    def base_ms(self) -> float:
        """The constant that every network pays once."""
        return self.ms_per_unit.get(NETWORK, 0.0)

    def op_ms(self, layer: Layer) -> float | None:
        """Milliseconds of the op, None if a feature of it was never seen."""
        found = features(layer)
        if not found.keys() <= self.ms_per_unit.keys():
            return None
        return sum(self.ms_per_unit[name] * value for name, value in found.items())

    def guessed(self, layer: Layer) -> bool:
        """Never: all ops are estimated in the one way whose error is known."""
        return False


def as_deployed(layer: Layer) -> Layer:
    """The op that runs: batch norm is folded into weights and bias, so that both cost the same."""
    return replace(layer, norm=False, bias=layer.kind in ("conv", "depthwise", "linear"))


def read_table(path: Path) -> Table:
    """The rows of a `table.csv`.

    Raises:
        LatencyError: a wrong header or row, with file, line and expectation.
    """
    rows: dict[Layer, Row] = {}
    for line, cells in read_cells(path, COLUMNS):
        row = _row(f"{path}:{line}", cells)
        if row.layer in rows:
            raise LatencyError(f"{path}:{line}: {row.layer} is listed twice; expected one row per op")
        rows[row.layer] = row
    return Table(rows)


def read_coefficients(path: Path) -> Coefficients:
    """The coefficients of a `coefficients.csv`.

    Raises:
        LatencyError: a wrong header or row, with file, line and expectation.
    """
    found: dict[str, float] = {}
    for line, cells in read_cells(path, COEFFICIENT_COLUMNS):
        if cells["feature"] in found:
            raise LatencyError(f"{path}:{line}: {cells['feature']} is listed twice; expected one row per feature")
        least = -1e6 if cells["feature"] == NETWORK else 0.0  # the constant alone may be negative
        found[cells["feature"]] = _number(f"{path}:{line}", "ms_per_million", cells["ms_per_million"], least)
    return Coefficients(found)


def format_row(row: Row) -> str:
    """The line of a row in `table.csv`."""
    return f"{row_key(row.layer, ',')},{row.ms:.6g},{row.spread:.4f}\n"


def row_key(layer: Layer, separator: str = " ") -> str:
    """All that tells the rows of ops as deployed apart."""
    return separator.join((layer.kind, *(str(getattr(layer, name)) for name in _COUNTS), layer.act))


def _row(place: str, cells: Mapping[str, str]) -> Row:
    kind, act = cells["kind"], cells["act"]
    if kind not in get_args(Kind):
        raise LatencyError(f"{place}: kind {kind!r}; expected one of {', '.join(get_args(Kind))}")
    if act not in get_args(Activation):
        raise LatencyError(f"{place}: act {act!r}; expected one of {', '.join(get_args(Activation))}")
    counts = {name: cells[name] for name in _COUNTS}
    for name, text in counts.items():
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 20):
            raise LatencyError(f"{place}: {name} {text!r}; expected a whole number of at least 1")
    layer = as_deployed(Layer(kind, **{name: int(text) for name, text in counts.items()}, act=act))  # type: ignore[arg-type]
    return Row(layer, _number(place, "ms", cells["ms"]), _number(place, "spread", cells["spread"]))


def _number(place: str, name: str, text: str, least: float = 0.0) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value < math.inf:
        raise LatencyError(f"{place}: {name} {text!r}; expected a number of at least {least:g}")
    return value
