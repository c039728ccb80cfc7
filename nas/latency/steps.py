"""`width_steps`: the multiples of channels at which a target's latency really falls, as pruning needs to know them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from nas.errors import LatencyError
from nas.latency.csv_file import read_cells
from nas.latency.curves import KINDS, SWEEPS, WIDTHS, Curve, Sweep
from nas.latency.host import host_setup
from nas.latency.model import OpSumModel
from nas.latency.targets import find_folder, load_folder

DEFAULT_STEP = 8
"""What pruning keeps to where a target shows no steps (NetAdapt, 1804.03230)."""

STEPS = "steps.csv"
"""The measured sweeps of a target, beside its table."""

STEP_COLUMNS = ("kind", "size", "width", "ms", "spread")

Point = tuple[Sweep, int]
"""A width of a sweep."""


@dataclass(frozen=True)
class WidthSteps:
    """The steps of a target by kind of op.

    `source` says what they stand on: `measured`; `model`, whose curves are those of the target's latency model, which
    may know of no steps; or `assumed`, without any curve.
    """

    target: str
    source: Literal["measured", "model", "assumed"]
    curves: Sequence[Curve]

    @cached_property
    def by_kind(self) -> Mapping[str, int]:
        """The step that holds on every map, for each kind that was swept; 1 where latency falls with every channel."""
        found: dict[str, int] = {}
        for curve in self.curves:
            found[curve.sweep.kind] = min(found.get(curve.sweep.kind, curve.step), curve.step)
        return found

    def step(self, kind: str | None = None) -> int:
        """The multiple of channels to prune a kind of op to, or any layer where no kind is given.

        Never less than `DEFAULT_STEP`: smaller ones make many proposals that differ in little.

        Raises:
            LatencyError: an unknown kind.
        """
        if kind is not None and kind not in KINDS:
            raise LatencyError(f"width steps of {kind!r}; expected one of {', '.join(KINDS)}")
        found = self.by_kind.values() if kind is None else (self.by_kind.get(kind, 1),)
        return max(DEFAULT_STEP, *found, 1)


def width_steps(target: str) -> WidthSteps:
    """What is known of a target's steps, without measuring.

    Raises:
        LatencyError: no such target, or a broken table.
    """
    if setup := host_setup(target):
        curves = read_curves(setup.folder / STEPS)
        return WidthSteps(target, "measured", curves) if curves else WidthSteps(target, "assumed", ())
    model = load_folder(find_folder(target))
    return WidthSteps(model.target, "model", model_curves(model))


def read_curves(path: Path) -> list[Curve]:
    """The complete sweeps of a `steps.csv`; none if there is no file or a sweep is not finished.

    Raises:
        LatencyError: a wrong header or row, with file, line and expectation.
    """
    points = read_points(path) if path.exists() else {}
    by_sweep: dict[Sweep, dict[int, float]] = defaultdict(dict)
    for (sweep, width), ms in points.items():
        by_sweep[sweep][width] = ms
    complete = all(by_sweep[sweep].keys() >= set(WIDTHS) for sweep in SWEEPS)
    return [Curve(sweep, by_sweep[sweep]) for sweep in SWEEPS] if complete else []


def read_points(path: Path) -> dict[Point, float]:
    """Milliseconds of the widths that were measured so far.

    Raises:
        LatencyError: a wrong header or row, with file, line and expectation.
    """
    found = {}
    for line, cells in read_cells(path, STEP_COLUMNS):
        try:
            sweep, width, ms = Sweep(cells["kind"], int(cells["size"])), int(cells["width"]), float(cells["ms"])
        except ValueError:
            raise LatencyError(f"{path}:{line}: {','.join(cells.values())!r}; expected a kind and numbers") from None
        if sweep.kind not in KINDS or not (0 <= ms < float("inf")):
            expected = f"a kind of {', '.join(KINDS)} and milliseconds of at least 0"
            raise LatencyError(f"{path}:{line}: {','.join(cells.values())!r}; expected {expected}")
        found[sweep, width] = ms
    return found


def format_point(point: Point, ms: float, spread: float) -> str:
    """The line of a width in `steps.csv`."""
    sweep, width = point
    return f"{sweep.kind},{sweep.size},{width},{ms:.6g},{spread:.4f}\n"


def model_curves(model: OpSumModel) -> list[Curve]:
    """The sweeps as the model has them; those with an op that it does not know are left out."""
    known = (sweep for sweep in SWEEPS if not any(model.missing(sweep.layers(width)) for width in WIDTHS))
    return [Curve(sweep, {width: model.ops_ms(sweep.layers(width)) for width in WIDTHS}) for sweep in known]
