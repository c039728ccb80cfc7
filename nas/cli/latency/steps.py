"""`nas latency steps`: the widths at which latency falls."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli.latency.common import progress_bar
from nas.cli.options import json_option
from nas.latency.host import HOST, host_setup

if TYPE_CHECKING:
    from nas.latency.steps import WidthSteps


@click.command()
@click.option("--target", default=HOST, show_default=True, help="host is measured; of others the model is swept.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Latency by width, as an image.")
@json_option
def steps(target: str, plot: Path | None, as_json: bool) -> None:
    """Find the multiples of channels at which latency really falls, because the runtime pads to them.

    Ops and a residual block are swept over all widths from 32 to 96, once; NetAdapt prunes to what is found.
    """
    from nas.cli import tables  # noqa: PLC0415

    found = _found(target)
    if plot is not None:
        from nas.latency.steps_plot import plot_steps  # noqa: PLC0415 - matplotlib

        plot_steps(found, plot)
    if as_json:
        tables.print_json(steps_record(found))
        return
    tables.print_table(
        ("swept ", "map", "step", "of the fall at its multiples", "widths between cost"),
        [
            [curve.sweep.kind, f"{curve.sweep.size}²", *_figures(curve.step, curve.share(curve.step), curve.between)]
            for curve in found.curves
        ],
    )
    click.echo(_conclusion(found))


def _found(target: str) -> "WidthSteps":
    from nas.latency.steps import width_steps  # noqa: PLC0415 - numpy

    if not (setup := host_setup(target)):
        return width_steps(target)
    from nas.latency.measure_steps import measure_steps  # noqa: PLC0415 - onnxruntime

    with progress_bar("measuring widths on this machine") as progress:
        return measure_steps(setup, progress=progress)


def steps_record(found: "WidthSteps") -> dict[str, Any]:
    """What `nas latency steps --json` prints; documented in docs/json.md."""
    return {
        "target": found.target,
        "source": found.source,
        "step": found.step(),
        "by_kind": dict(found.by_kind),
        "curves": [
            {
                "kind": curve.sweep.kind,
                "size": curve.sweep.size,
                "step": curve.step,
                "share": curve.share(curve.step) if curve.step > 1 else None,
                "between": curve.between,
                "widths": sorted(curve.ms),
                "ms": [curve.ms[width] for width in sorted(curve.ms)],
            }
            for curve in found.curves
        ],
    }


def _figures(step: int, share: float, between: float) -> tuple[object, ...]:
    return ("none", None, None) if step == 1 else (step, f"{share:.0%}", f"{between:+.0%}")


def _conclusion(found: "WidthSteps") -> str:
    if found.source == "measured":
        return f"\n{found.target}, measured: prune to multiples of {found.step()}, as nas adapt does"
    if max(found.by_kind.values(), default=1) == 1:
        return (
            f"\nThe model of {found.target} falls with every channel: it knows of no steps, and the device cannot be "
            f"measured from here. nas adapt keeps to multiples of {found.step()}, the step of the NetAdapt paper"
        )
    return f"\nSteps of the model of {found.target}, not measured: nas adapt prunes to multiples of {found.step()}"
